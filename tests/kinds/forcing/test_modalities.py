"""Studies over the number of modalities: what is measured, validated and written."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
import yaml
from tiny_evaluation import pack_of
from tiny_runs import assert_same_table, opened, study, table

from raysweep.data.views import Population, Splits, Views
from raysweep.kinds.forcing.memory import pack_bytes
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.kinds.sweep import science_digest
from raysweep.metrics import Preprocessing, measure
from raysweep.models.shape import MultimodalShape
from raysweep.runners import local
from raysweep.seeds import derive_seed
from raysweep.study import checks
from raysweep.study.cells import expand
from raysweep.study.reader import StudyFileError, parse_study
from raysweep.study.spec import Evaluation
from raysweep.training import evaluate
from raysweep.trials.columns import column_of
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Arm, Stage, Trial

SHAPE = MultimodalShape((3, 4, 2), 3, depths=(2, 1, 1), widths=(5, 5, 5))
DATA = {"dataset": "synthetic", "U": 6, "train": 64, "validation": 32, "test": 64}


def views_of(seed: int, population: Population | None = None) -> Views:
    rng = np.random.default_rng(seed)
    order = rng.permutation(60)
    return Views(
        inputs=tuple(rng.normal(size=(60, d)) for d in SHAPE.inputs),
        y=rng.integers(0, 3, 60),
        classes=3,
        splits=Splits(order[:20], order[20:35], order[35:]),
        population=population,
    )


def layers_of(pack, member: int, inputs) -> tuple[list[list[np.ndarray]], dict[str, np.ndarray]]:
    """Hidden layers [n, width] of each modality and logits [n, c] of every head, plainly."""
    flat, start = pack.parameters[member].double().numpy(), 0
    hidden: list[list[np.ndarray]] = []
    logits = {}
    sizes = zip(SHAPE.inputs, SHAPE.depths, SHAPE.widths, inputs, strict=True)
    for number, (d, depth, width, x) in enumerate(sizes, start=1):
        hidden.append([])
        for size, columns in [(width, d), *[(width, width)] * (depth - 1), (3, width)]:
            block = flat[start : start + size * (columns + 1)].reshape(size, columns + 1)
            start += block.size
            z = x @ block[:, :-1].T + block[:, -1]
            x = np.where(z > 0, z, 0.1 * z)
            hidden[-1].append(x)
        logits[str(number)] = z
        hidden[-1].pop()
    block = flat[start:].reshape(3, -1)
    both = np.concatenate([own[-1] for own in hidden], axis=1)
    logits["fused"] = both @ block[:, :-1].T + block[:, -1]
    return hidden, logits


def test_performance_is_that_of_each_head() -> None:
    pack, views = pack_of(shape=SHAPE, scale=0.5), [views_of(seed) for seed in range(3)]
    found = evaluate.performance(pack, views, "test")
    assert list(found.accuracy) == ["1", "2", "3", "fused"]
    for member, which in enumerate(pack.dataset):
        view = views[which]
        rows = view.splits.test
        _, logits = layers_of(pack, member, [x[rows] for x in view.inputs])
        for head, of_head in logits.items():
            y = view.y[rows]
            log_p = scipy.special.log_softmax(of_head, axis=1)[np.arange(len(y)), y]
            assert found.accuracy[head][member] == (of_head.argmax(axis=1) == y).mean()
            assert found.loss[head][member] == pytest.approx(-log_p.mean(), rel=1e-9)


@pytest.mark.parametrize("joint_rows", [2**17, 7])
def test_population_performance_is_the_sum_over_all_that_can_happen(
    joint_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "_JOINT_ROWS", joint_rows)
    rng = np.random.default_rng(4)
    inputs = tuple(rng.normal(size=(p, d)) for p, d in zip((5, 4, 3), SHAPE.inputs, strict=True))
    places = rng.permutation(list(itertools.product(range(5), range(4), range(3))))[:20]
    weight, conditional = rng.dirichlet(np.ones(20)), rng.dirichlet(np.ones(3), size=20)
    population = Population.listed(inputs, tuple(places.T), weight, conditional)
    pack = pack_of(shape=SHAPE, scale=0.5)
    views = [views_of(seed, population) for seed in range(3)]
    found = evaluate.population_performance(pack, views)
    for member in range(len(pack.dataset)):
        rows = [x[of] for x, of in zip(inputs, places.T, strict=True)]
        _, logits = layers_of(pack, member, rows)
        for head, of_head in logits.items():
            joint = weight[:, None] * conditional
            right = joint[np.arange(20), of_head.argmax(axis=1)].sum()
            surprise = -(joint * scipy.special.log_softmax(of_head, axis=1)).sum()
            assert found.accuracy[head][member] == pytest.approx(right, abs=1e-12)
            assert found.loss[head][member] == pytest.approx(surprise, rel=1e-9)
    unlisted = Population(inputs, population.margins, None)
    partly = evaluate.population_performance(pack, [views_of(seed, unlisted) for seed in range(3)])
    assert list(partly.accuracy) == list(partly.loss) == ["1", "2", "3"]
    np.testing.assert_array_equal(partly.accuracy["3"], found.accuracy["3"])


@pytest.mark.parametrize("layers", ["last", "best"])
def test_alignment_is_the_mean_over_pairs_and_chance_shuffles_each_modality(layers: str) -> None:
    pack, views = pack_of(shape=SHAPE, scale=0.5), [views_of(seed) for seed in range(3)]
    evaluation = Evaluation(
        metrics={"cka": {}, "mutual_knn": {}}, rows=60, layers=layers, calibrate=5
    )
    scores = evaluate.alignment(pack, views, "test", evaluation)
    found = scores["cka"]
    seed = derive_seed("calibration", "test")
    draws = [np.random.default_rng(key) for key in (seed, (seed, 2))]
    orders = [[np.arange(25)] * 6]
    orders += [[np.arange(25), *(draw.permutation(25) for _ in range(5))] for draw in draws]
    preprocessing = Preprocessing(clip_quantile=0.95, normalize=True)
    for member, which in enumerate(pack.dataset):
        rows = views[which].splits.test
        hidden, _ = layers_of(pack, member, [x[rows] for x in views[which].inputs])
        hidden = [of[-1:] for of in hidden] if layers == "last" else hidden
        prepared = [
            [preprocessing(torch.from_numpy(h)[None])[0].numpy() for h in of] for of in hidden
        ]
        by_hand = []
        for shuffle in range(6):
            shuffled = [[h[orders[k][shuffle]] for h in of] for k, of in enumerate(prepared)]
            by_hand.append(
                [
                    max(measure("cka", x, y) for x in one for y in other)
                    for one, other in itertools.combinations(shuffled, 2)
                ]
            )
        for (a, b), expected in zip(((1, 2), (1, 3), (2, 3)), by_hand[0], strict=True):
            assert found.pairs[a, b][member] == pytest.approx(expected, abs=1e-9)
        means = np.mean(by_hand, axis=1)
        assert found.value[member] == pytest.approx(means[0], abs=1e-9)
        assert len(found.layers[member].split()) == 3
        chance = float(found.calibration.chance[member])
        assert chance == pytest.approx(means[1:].mean(), abs=1e-9)
        p = (1 + (means[1:] >= means[0] - 1e-9).sum()) / 6
        assert float(found.calibration.p_value[member]) == pytest.approx(p)
        corrected = (means[0] - chance) / (1 - chance)
        assert float(found.calibration.corrected[member]) == pytest.approx(corrected, abs=1e-9)
    assert found.distinct is None
    counts = scores["mutual_knn"].distinct
    assert counts is not None
    assert [list(of) for of in counts] == [[25] * 7] * 3


def rows_of(**changes: object) -> list[dict[str, object]]:
    wanted = study(**changes)
    science = science_digest(wanted)
    found = []
    for cell in expand(wanted):
        trials = tuple(
            Trial(cell, 0, 1, strength, arm, Stage.CONFIRM, science)
            for strength, arm in ((0.0, Arm.NONE), (1.0, Arm.FORCED), (1.0, Arm.PLACEBO))
        )
        assert pack_bytes(wanted, Pack(trials)) > 0
        found += run_pack(wanted, Pack(trials))
    return found


def test_rows_of_two_three_and_four_modalities() -> None:
    metrics = {"unbiased_cka": {}, "mutual_knn": {"topk": 5}}
    rows = rows_of(data={**DATA, "modalities": [2, 3, 4]}, evaluation__metrics=metrics)
    [plain, *_] = rows_of(data=DATA, evaluation__metrics=metrics)
    assert [row["modalities"] for row in rows] == [2] * 3 + [3] * 3 + [4] * 3
    assert "modalities" not in plain
    # Two modalities said are the two that were left out, in every number.
    differ = {name for name in rows[0] if name not in plain or rows[0][name] != plain[name]}
    assert differ <= {"key", "cell", "modalities", "I_all", "train_seconds"}
    for row in rows:
        modalities = int(str(row["modalities"]))
        undocumented = {name for name in row if not column_of(name).meaning}
        assert undocumented == set()
        numbers = range(1, modalities + 1)
        heads = [*map(str, numbers), "fused"]
        for head, split in itertools.product(heads, ("validation", "test", "population")):
            there = row.get(f"performance_{head}_{split}")
            listed = (head, split, modalities) != ("fused", "population", 4)
            assert (there is not None) == listed
            assert (row.get(f"loss_{head}_{split}") is not None) == listed
            assert (f"curve_performance_{head}" in row) or split != "test"
        assert f"performance_{modalities + 1}_test" not in row
        pairs = list(itertools.combinations(numbers, 2))
        for metric, split in itertools.product(metrics, ("validation", "test")):
            values = [row.get(f"pair_{a}-{b}_{metric}_{split}") for a, b in pairs]
            if modalities == 2:
                assert values == [None]
            else:
                mean = row[f"alignment_{metric}_{split}"]
                assert mean == pytest.approx(np.mean(np.array(values, float)), abs=1e-12)
        assert [f"distinct_rows_{k}_test" in row for k in range(1, 5)] == [
            k <= modalities for k in range(1, 5)
        ]
        assert row["I_all"] == pytest.approx(rows[0]["I12"], abs=1e-9)
        sizes = [(n,) * modalities for n in (12, 1, 8)]
        shape = MultimodalShape(sizes[0], 4, sizes[1], sizes[2])
        assert row["parameters"] == shape.parameter_count


@pytest.mark.slow
def test_a_study_over_modalities_runs_to_its_end(tmp_path: Path) -> None:
    wanted = study(
        data={**DATA, "modalities": [2, 3]},
        training__epochs=1,
        search={"trials": 2, "generation": 2, "seeds": 1},
        confirm__seeds=2,
    )
    for name in ("one", "other"):
        local.run(wanted, opened(tmp_path / name, wanted))
    first = table(tmp_path / "one")
    assert_same_table(first, table(tmp_path / "other"))
    assert sorted(first["modalities"].unique()) == [2, 3]
    assert first.loc[first["modalities"] == 2, "performance_3_test"].isna().all()
    assert first.loc[first["modalities"] == 3, "performance_3_test"].notna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {**DATA, "modalities": [2, 3], "synergy": [0, 0.5]}},
            r"data\.synergy\.1: .*synergy is 0\.5 and modalities is 3, .*expected modalities 2",
        ),
        (
            {"data": {**DATA, "modalities": 3, "U1": 3}},
            r"data\.U1: .*U1 is 3 and modalities is 3, .*expected modalities 2, or no U1",
        ),
        (
            {"data": {**DATA, "modalities": 4, "U1": 0}},
            r"data\.U1: .*U1 is 0 and modalities is 4, .*expected modalities 2, or no U1",
        ),
        (
            {"data": {**DATA, "modalities": [2, 5]}},
            r"data\.modalities\.1: expected an integer in 2",
        ),
        (
            {"data": {**DATA, "modalities": [2, 3]}, "training__engine": "kernel"},
            r"training\.engine: engine kernel trains two modalities, and the data have 3",
        ),
        (
            {
                "data": {**DATA, "modalities": [2, 4]},
                "verdict__performance": "performance_fused_population",
            },
            r"verdict\.performance: .* no performance_fused_population; choose",
        ),
    ],
)
def test_what_a_study_cannot_ask(changes: dict[str, object], message: str) -> None:
    with pytest.raises(StudyFileError, match=message) as caught:
        study(**changes)
    assert len(caught.value.faults) == 1


def test_an_emergence_study_is_about_pairs() -> None:
    document = {
        "name": "x",
        "kind": "emergence",
        "data": {**DATA, "modalities": [2, 3]},
        "training": {"batch_size": 16},
    }
    text = yaml.safe_dump(document, sort_keys=False)
    message = r"line \d+: data\.modalities\.1: emergence studies compare the two encoders of a pair"
    with pytest.raises(StudyFileError, match=message) as caught:
        parse_study(text, "x", Path(), (), checks.check)
    assert len(caught.value.faults) == 1
