"""The generator with three and four modalities, against enumeration by dictionaries."""

import itertools
import math

import numpy as np
import pytest
from reference_information import best_accuracy, information, paper_joint

from raysweep.data.information import exact_information
from raysweep.data.label_model import LabelModel, LabelSettings, label_model
from raysweep.data.observation import Observation
from raysweep.data.registry import load
from raysweep.data.synthetic import unique_counts
from raysweep.errors import InputError

SMALL = {"train": 400, "validation": 200, "test": 200}
LARGE = {"train": 400, "validation": 200, "test": 20_000}


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("U", range(9))
def test_unique_bits_are_dealt_out_evenly_the_rest_to_the_last(U: int, modalities: int) -> None:
    counts = unique_counts(U, modalities=modalities)
    assert len(counts) == modalities
    assert sum(counts) == U
    assert list(counts) == sorted(counts)
    assert counts[-1] - counts[0] <= 1
    if modalities == 2:
        assert counts == (U // 2, U - U // 2) == unique_counts(U)


@pytest.mark.parametrize(("U", "modalities"), [(0, 3), (5, 3), (6, 4), (8, 3), (8, 4)])
def test_exact_information_is_that_of_the_papers_label(U: int, modalities: int) -> None:
    ends = np.cumsum([8 - U, *unique_counts(U, modalities=modalities)])
    joint = {}
    for (bits, _, _, label), p in paper_joint(0).items():
        parts = [bits[start:stop] for start, stop in itertools.pairwise([0, *ends])]
        # Outcomes: what each modality shows, then the label.
        joint[(*((parts[0], own) for own in parts[1:]), label)] = p
    every, label = tuple(range(modalities)), modalities
    known = load("synthetic", {"U": U, "modalities": modalities, **SMALL}).information
    assert known is not None
    columns = known.columns()
    for k in every:
        assert columns[f"I{k + 1}"] == pytest.approx(information(joint, (k,), (label,)), abs=1e-9)
        assert columns[f"bayes_{k + 1}"] == pytest.approx(best_accuracy(joint, (k,), label))
    assert pytest.approx(information(joint, (0, 1), (label,)), abs=1e-9) == known.I12
    assert known.I_all == pytest.approx(information(joint, every, (label,)), abs=1e-9)
    assert known.bayes_fused == pytest.approx(best_accuracy(joint, every, label))
    parts_of_pair = known.pid_R + known.pid_U1 + known.pid_U2 + known.pid_S
    assert parts_of_pair == pytest.approx(known.I12, abs=1e-9)


def shown(bits, chance, lack):
    """All that a modality can show of its bits, None for a missing one, with probabilities."""
    for flips in itertools.product((0, 1), repeat=len(bits)):
        p = math.prod(chance if flip else 1 - chance for flip in flips)
        yield tuple(b ^ f for b, f in zip(bits, flips, strict=True)), p * (1 - lack)
    yield None, lack


@pytest.mark.parametrize(
    "observation",
    [
        Observation(),
        Observation(noise_1=0.1, noise_2=0.2),
        Observation(missing_1=0.2, missing_2=0.4),
        Observation(noise_2=0.3, missing_1=0.5),
    ],
    ids=str,
)
def test_exact_information_of_what_is_noisy_or_missing(observation: Observation) -> None:
    table = np.random.default_rng(0).dirichlet(np.ones(3), size=64).reshape(*[2] * 6, 3)
    model = LabelModel((0, 1), (0,), (0, 1), table, ((2,),))
    joint: dict[tuple[object, ...], float] = {}
    for bits in itertools.product((0, 1), repeat=6):
        own = [bits[:2] + part for part in (bits[2:3], bits[3:5], bits[5:6])]
        views = [
            shown(of, observation.noise(k), observation.missing(k))
            for k, of in enumerate(own, start=1)
        ]
        for seen in itertools.product(*views):
            p = math.prod(chance for _, chance in seen) / 64
            if p > 0:
                for label, p_label in enumerate(table[bits]):
                    key = (*(what for what, _ in seen), label)
                    joint[key] = joint.get(key, 0.0) + p * p_label
    known = exact_information(model, observation)
    expected = [information(joint, (k,), (3,)) for k in range(3)]
    np.testing.assert_allclose([known.I1, known.I2, *known.I_further], expected, atol=1e-9)
    assert pytest.approx(information(joint, (0, 1), (3,)), abs=1e-9) == known.I12
    assert known.I_all == pytest.approx(information(joint, (0, 1, 2), (3,)), abs=1e-9)
    assert known.bayes_fused == pytest.approx(best_accuracy(joint, (0, 1, 2), 3), abs=1e-9)
    assert known.bayes_further == pytest.approx((best_accuracy(joint, (2,), 3),), abs=1e-9)


@pytest.mark.parametrize(("U", "modalities"), [(8, 4), (5, 3)])
def test_rows_come_from_the_joint_distribution(U: int, modalities: int) -> None:
    views = load("synthetic", {"U": U, "modalities": modalities, "transformed": "none", **LARGE})
    first, second, *further = unique_counts(U, modalities=modalities)
    model = label_model(LabelSettings(first, second, unique_further=tuple(further)), draw=0)
    rows = views.splits.test
    bits = [(x[rows] > 0).astype(int) for x in views.inputs]
    for x in bits[1:]:
        np.testing.assert_array_equal(x[:, :8], bits[0][:, :8])
    # Unconditionally every bit is a fair coin, and the modalities' own bits have nothing in common.
    own = np.concatenate([x[:, 8:] for x in bits], axis=1)
    agree = ((own[:, :, None] == own[:, None, :]).mean(axis=0))[np.triu_indices(own.shape[1], 1)]
    np.testing.assert_allclose(own.mean(axis=0), 0.5, atol=4.5 * 0.5 / math.sqrt(20_000))
    np.testing.assert_allclose(agree, 0.5, atol=4.5 * 0.5 / math.sqrt(20_000))
    # The mean of log p(y | seen) / p(y) over the rows is the information, up to chance.
    task = [bits[0][:, position] for position in model.shared]
    for x, positions in zip(bits, model.unique, strict=True):
        task += [x[:, 8 + position] for position in positions]
    y, prior = views.y[rows], model.table.reshape(-1, 4).mean(axis=0)
    known = views.information
    shared = len(model.shared)
    for seen, expected in (
        (range(8), known.I_all),
        ((*range(shared), *model.axes(modalities)), known.I_further[-1]),
        ((*range(shared), *model.axes(3)), known.I_further[0]),
        ((*range(shared), *model.axes(1), *model.axes(2)), known.I12),
    ):
        gone = tuple(axis for axis in range(8) if axis not in seen)
        table = model.table.mean(axis=gone)
        surprise = np.log(table[tuple(task[axis] for axis in sorted(seen))][np.arange(len(y)), y])
        told = surprise - np.log(prior[y])
        assert told.mean() == pytest.approx(expected, abs=4.5 * told.std() / math.sqrt(len(y)))


def test_the_first_two_modalities_stay_as_they_are() -> None:
    options = {"U": 0, "noise_1": 0.1, "missing_2": 0.3, "nuisance": 0.6, "transformed": "both"}
    for modalities, given in ((3, {"U": 0}), (4, options)):
        pair = load("synthetic", {**given, **SMALL})
        views = load("synthetic", {**given, "modalities": modalities, **SMALL})
        assert len(views.inputs) == modalities
        for one, other in zip(pair.inputs, views.inputs, strict=False):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(pair.y, views.y)
    # More training rows contain the fewer ones.
    more = load("synthetic", {"U": 0, "modalities": 3, **SMALL, "train": 500})
    fewer = load("synthetic", {"U": 0, "modalities": 3, **SMALL})
    for x, longer in zip(fewer.inputs, more.inputs, strict=True):
        signs = [rows[views.splits.test] > 0 for rows, views in ((x, fewer), (longer, more))]
        assert (signs[0] == signs[1]).mean() > 0.95  # but for the scaling


def test_two_modalities_said_or_left_out_are_the_same_data() -> None:
    said, left_out = (
        load("synthetic", {"U": 5, **given, **SMALL}) for given in ({"modalities": 2}, {})
    )
    for one, other in zip(said.inputs, left_out.inputs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert said.information.I_all == said.information.I12
    columns = said.information.columns()
    columns.pop("I_all")
    assert columns == left_out.information.columns()
    assert said.characteristics == {**left_out.characteristics, "modalities": 2}


def test_which_modality_is_distorted() -> None:
    def distinct(transformed: str) -> list[int]:
        parameters = {"U": 2, "modalities": 4, "transformed": transformed, **SMALL}
        return [len(np.unique(np.round(x[:, 0], 9))) for x in load("synthetic", parameters).inputs]

    assert [count > 300 for count in distinct("both")] == [True] * 4
    assert [count == 2 for count in distinct("modality_2")] == [True, False, True, True]
    both = load("synthetic", {"U": 2, "modalities": 4, "transformed": "both", **SMALL})
    assert not np.allclose(both.inputs[2][:, 0], both.inputs[3][:, 0])


def test_loose_nuisance_bits_are_loose_between_all() -> None:
    parameters = {"U": 8, "modalities": 3, "nuisance": 0.5, "transformed": "none", **LARGE}
    views = load("synthetic", parameters)
    bits = [x[views.splits.test, :8] > 0 for x in views.inputs]
    for a, b, correlation in ((0, 1, 0.5), (0, 2, 0.5), (1, 2, 0.25)):
        agree = (bits[a] == bits[b]).mean()
        assert agree == pytest.approx((1 + correlation) / 2, abs=4 * 0.5 / math.sqrt(160_000))
    assert views.population is None


@pytest.mark.parametrize("missing", [{}, {"missing_1": 0.2}, {"missing_1": 0.2, "missing_2": 0.1}])
@pytest.mark.parametrize("modalities", [3, 4])
def test_every_input_with_its_probability(modalities: int, missing: dict[str, float]) -> None:
    views = load("synthetic", {"U": 6, "modalities": modalities, **missing, **SMALL})
    population, known = views.population, views.information
    columns = known.columns()
    for k, (x, margin) in enumerate(zip(population.inputs, population.margins, strict=True), 1):
        assert len(x) == len(margin)
        assert margin.sum() == pytest.approx(1.0, abs=1e-12)
        assert margin.max(axis=1).sum() == pytest.approx(columns[f"bayes_{k}"], abs=1e-12)
        lack = missing.get(f"missing_{k}", 0.0)
        assert margin[(x == 0).all(axis=1)].sum() == pytest.approx(lack, abs=1e-12)
    if modalities == 4:
        assert population.joint is None
        return
    joint = population.joint.conditional * population.joint.weight[:, None]
    assert joint.sum() == pytest.approx(1.0, abs=1e-9)
    assert joint.max(axis=1).sum() == pytest.approx(known.bayes_fused, abs=1e-9)
    if missing:
        return
    # The rows of the splits are among the joint inputs.
    places = [{row.tobytes(): i for i, row in enumerate(x)} for x in population.inputs]
    listed = set(zip(*(pair.tolist() for pair in population.joint.pairs), strict=True))
    for row in range(0, 800, 40):
        seen = [place[x[row].tobytes()] for place, x in zip(places, views.inputs, strict=True)]
        assert tuple(seen) in listed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"U1": 2}, "U1 is 2 and modalities is 3, but U1 is defined for two modalities"),
        ({"synergy": 0.5}, r"synergy is 0\.5 and modalities is 3, .* expected modalities 2, or no"),
        ({"modalities": 5}, r"modalities is 5, expected an integer in 2\.\.4"),
    ],
)
def test_what_does_not_go_together(given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load("synthetic", {"U": 4, "modalities": 3, **SMALL, **given})
