import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from tiny_evaluation import (
    DATASET,
    KNOWN,
    MEMBERS,
    SHAPE,
    VIEWS,
    logits_of,
    pack_of,
    softmax,
    tower,
    views_of,
)

from raysweep.metrics import PAPER, Preprocessing, measure
from raysweep.models.trained import TrainedPack
from raysweep.seeds import derive_seed
from raysweep.study.spec import Evaluation
from raysweep.training import evaluate


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_performance_is_that_of_scikit_learn_member_by_member(
    split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = pack_of(scale=0.5)
    for chunk in (2**28, 1):  # all rows at once, and in pieces
        monkeypatch.setattr(evaluate, "_CHUNK_BYTES", chunk)
        monkeypatch.setattr(evaluate, "_LEAST_CHUNK_ROWS", 7)
        found = evaluate.performance(pack, VIEWS, split)
        for member, which in enumerate(DATASET):
            view = VIEWS[which]
            rows = getattr(view.splits, split)
            logits = logits_of(pack, member, view.x1[rows], view.x2[rows])
            for head in SHAPE.heads:
                y = view.y[rows]
                accuracy = accuracy_score(y, logits[head].argmax(axis=1))
                entropy = log_loss(y, softmax(logits[head]), labels=range(SHAPE.classes))
                assert found.accuracy[head][member] == pytest.approx(accuracy, abs=1e-12)
                assert found.loss[head][member] == pytest.approx(entropy, rel=1e-9)


# Alignment


METRICS = {
    "unbiased_cka": {},
    "mutual_knn": {"topk": 4},
    "procrustes_distance": {},
    "cka": {"kernel": "rbf", "sigma_unit": "median"},
}


@pytest.mark.parametrize("layers", ["last", "best"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_alignment_is_that_of_each_member_by_itself(layers: str, dtype: str) -> None:
    pack = pack_of(dtype)
    evaluation = Evaluation.model_validate(
        {"metrics": METRICS, "layers": layers, "rows": 24, "preprocessing": {"clip_quantile": 0.9}}
    )
    scores = evaluate.alignment(pack, VIEWS, "test", evaluation)
    assert list(scores) == list(METRICS)
    rows = [evaluate.alignment_rows(view, "test", 24) for view in VIEWS]
    hidden = [
        pack.forward(m, np.stack([getattr(v, side)[r] for v, r in zip(VIEWS, rows, strict=True)]))[
            0
        ]
        for m, side in ((1, "x1"), (2, "x2"))
    ]
    for name, options in METRICS.items():
        for member in range(MEMBERS):
            value = {}
            for i, one in enumerate(hidden[0]):
                for j, two in enumerate(hidden[1]):
                    value[f"{i + 1}-{j + 1}"] = measure(
                        name,
                        one[member].T,
                        two[member].T,
                        preprocessing=Preprocessing(clip_quantile=0.9, normalize=True),
                        **options,
                    )
            best = min if name == "procrustes_distance" else max
            expected = "2-3" if layers == "last" else best(value, key=lambda pair: value[pair])
            assert scores[name].layers[member] == expected
            assert scores[name].value[member] == pytest.approx(value[expected], rel=1e-9)


@pytest.mark.parametrize("layers", ["last", "best"])
def test_chance_is_the_same_aggregate_over_permuted_rows(layers: str) -> None:
    """Against a loop over members, permutations and pairs of layers."""
    pack = pack_of()
    evaluation = Evaluation.model_validate(
        {"metrics": ["cka", "procrustes_distance"], "layers": layers, "calibrate": 4}
    )
    scores = evaluate.alignment(pack, VIEWS, "test", evaluation)
    rows = [view.splits.test for view in VIEWS]
    xs, ys = (
        pack.forward(m, np.stack([getattr(v, side)[r] for v, r in zip(VIEWS, rows, strict=True)]))[
            0
        ][-1 if layers == "last" else 0 :]
        for m, side in ((1, "x1"), (2, "x2"))
    )
    for name, score in scores.items():
        assert score.calibration is not None
        best, ideal = (min, 0.0) if name == "procrustes_distance" else (max, 1.0)
        for member in range(0, MEMBERS, 3):
            draw = np.random.default_rng(derive_seed("calibration", "test"))
            null = []
            for _ in range(4):
                order = draw.permutation(len(rows[0]))
                null.append(
                    best(
                        measure(
                            name,
                            one[member].T,
                            two[member].T[order],
                            preprocessing=Preprocessing(clip_quantile=0.95, normalize=True),
                        )
                        for one in xs
                        for two in ys
                    )
                )
            chance, value = np.mean(null), score.value[member]
            assert score.calibration.chance[member] == pytest.approx(chance, rel=1e-8)
            corrected = (value - chance) / (ideal - chance)
            assert score.calibration.corrected[member] == pytest.approx(corrected, rel=1e-8)
            as_good = sum(best(n, value) == n for n in null)
            assert score.calibration.p_value[member] == (1 + as_good) / 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_different_inputs_have_few_different_representations(dtype: str) -> None:
    view = views_of(0, rows=400)
    repeated = dataclasses.replace(view, inputs=(view.x1[np.arange(400) % 5], view.x2))
    evaluation = Evaluation.model_validate({"metrics": ["cka", "mutual_knn"]})
    scores = evaluate.alignment(pack_of(dtype), [repeated] * 3, "test", evaluation)
    assert scores["cka"].distinct is None
    counts = scores["mutual_knn"].distinct
    assert counts is not None
    assert counts[0].tolist() == [5] * MEMBERS
    # Two rows may lie as near along one direction as float32 tells apart.
    assert (counts[1] <= 365).all()
    assert (counts[1] >= (365 if dtype == "float64" else 363)).all()


def test_the_aligned_layer_is_the_one_that_is_named() -> None:
    best = Evaluation.model_validate({"metrics": ["cka"], "layers": "aligned"})
    pack, rows = pack_of(), [view.splits.test for view in VIEWS]
    for named, one, two in ((1, 1, 1), (2, 2, 2), (None, 2, 3)):
        score = evaluate.alignment(pack, VIEWS, "test", best, named)["cka"]
        assert score.layers == (f"{one}-{two}",) * MEMBERS
        for member, which in enumerate(DATASET):
            first = tower(pack, member, 1, VIEWS[which].x1[rows[which]])[one - 1]
            second = tower(pack, member, 2, VIEWS[which].x2[rows[which]])[two - 1]
            expected = measure("cka", first, second, preprocessing=PAPER)
            assert score.value[member] == pytest.approx(expected, rel=1e-9)
    last = best.model_copy(update={"layers": "last"})
    plain = evaluate.alignment(pack, VIEWS, "test", last)["cka"].value
    named = evaluate.alignment(pack, VIEWS, "test", last, 1)["cka"].value
    np.testing.assert_array_equal(plain, named)


def test_distinct_rows_are_those_of_the_layers_that_are_reported() -> None:
    """Rows of equal direction and other lengths are equal once normalised; layer 2 has two left."""
    pack = pack_of()
    size, columns = SHAPE.widths[0], SHAPE.inputs[0] + 1
    first = pack.parameters[:, : size * columns].view(MEMBERS, size, columns)
    second = pack.parameters[:, size * columns : size * (columns + size + 1)]
    second = second.view(MEMBERS, size, size + 1)
    # Without biases a row of twice the length stays so; layer 2 of rank one has two directions.
    first[:, :, -1] = second[:, :, -1] = 0
    second[:, :, :-1] = second[:, :, :1] * second[:, :1, :-1]
    view = views_of(0, rows=200)
    lengths = np.random.default_rng(5).choice([1.0, 2.0], 200)[:, None]
    view = dataclasses.replace(view, inputs=(view.x1[np.arange(200) % 9] * lengths, view.x2))
    expected = {}
    for layers in ("best", "last"):
        evaluation = Evaluation.model_validate(
            {
                "metrics": {"mutual_knn": {"topk": 3}, "cka": {}},
                "layers": layers,
                "preprocessing": {"clip_quantile": 1.0},
            }
        )
        score = evaluate.alignment(pack, [view] * 3, "test", evaluation)["mutual_knn"]
        assert score.distinct is not None
        # Undefined where both directions are one: constant.
        expected[layers] = [{"1": 9, "2": 2, "": 1}[pair[:1]] for pair in score.layers]
        assert score.distinct[0].tolist() == expected[layers]
        assert score.distinct[1].tolist() == [165] * MEMBERS
    assert 9 in expected["best"]
    assert set(expected["last"]) <= {1, 2}


def test_alignment_is_measured_on_some_rows_of_the_split() -> None:
    view = VIEWS[1]
    some = evaluate.alignment_rows(view, "test", 10)
    assert len(set(some)) == 10
    assert set(some) < set(view.splits.test)
    np.testing.assert_array_equal(some, evaluate.alignment_rows(view, "test", 10))
    np.testing.assert_array_equal(evaluate.alignment_rows(view, "test", 25), view.splits.test)
    assert len(evaluate.alignment_rows(view, "validation", 10)) == 10


def test_a_diverged_member_leaves_the_others_as_they_are() -> None:
    evaluation = Evaluation.model_validate({"metrics": METRICS, "layers": "best"})

    def everything(pack: TrainedPack) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        population = evaluate.population_performance(pack, KNOWN)
        assert population is not None
        for name, part in (
            ("test", evaluate.performance(pack, KNOWN, "test")),
            ("population", population),
        ):
            found |= {f"accuracy {name} {head}": part.accuracy[head] for head in SHAPE.heads}
            found |= {f"loss {name} {head}": part.loss[head] for head in SHAPE.heads}
        for name, score in evaluate.alignment(pack, KNOWN, "validation", evaluation).items():
            found[name] = score.value
            found[f"layers {name}"] = np.array(score.layers)
        return found

    whole, broken = everything(pack_of()), everything(pack_of(diverged=2))
    others = np.arange(MEMBERS) != 2
    for name, values in broken.items():
        np.testing.assert_array_equal(values[others], whole[name][others])
        if name in METRICS or name.startswith("loss"):
            assert np.isnan(values[2])
    assert broken["layers mutual_knn"][2] == ""


def test_rounding_is_no_alignment() -> None:
    # Hidden units at 1 but for differences that float32 cannot hold: what is left is rounding.
    pack = pack_of("float32", scale=1e-9)
    for modality_tower in SHAPE.towers:
        for layer in modality_tower.hidden:
            layer.view(pack.parameters)[:, :, -1] = 1.0
    evaluation = Evaluation.model_validate({"metrics": ["unbiased_cka", "mutual_knn"]})
    for score in evaluate.alignment(pack, VIEWS, "test", evaluation).values():
        assert np.isnan(score.value).all()
        assert set(score.layers) == {""}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_of_equal_inputs_have_equal_representations(dtype: str) -> None:
    """Also where a stacked product rounds them differently: each dataset has repeats of its own."""
    pack = pack_of(dtype)
    draw = np.random.default_rng(1)
    which = np.stack([draw.integers(0, 12, 57) for _ in range(3)])
    inputs = torch.from_numpy(draw.normal(size=(3, 12, SHAPE.inputs[0])))
    repeated = torch.stack([x[of] for x, of in zip(inputs, which, strict=True)])
    hidden, _ = pack.forward(1, repeated)
    jittered = [h * (1 + 1e-7 * torch.rand(h.shape, dtype=h.dtype)) for h in hidden]
    for before, after in zip(
        jittered, evaluate.alike_where_inputs_are(jittered, repeated, DATASET), strict=True
    ):
        for member, dataset in enumerate(DATASET):
            own = which[dataset]
            firsts = [int(np.flatnonzero(own == value)[0]) for value in own]
            assert torch.equal(after[member], before[member][:, firsts])
    plain = evaluate.alike_where_inputs_are(hidden, inputs[:, :12], DATASET)
    assert all(one is other for one, other in zip(plain, hidden, strict=True))
