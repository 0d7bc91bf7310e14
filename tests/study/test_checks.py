import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from checked import faults, load
from tiny_two_cells import StudyFactory

from raysweep.data.label_model import LabelSettings
from raysweep.data.registry import DATASETS
from raysweep.data.registry import load as load_data
from raysweep.errors import InputError
from raysweep.losses import LOSSES
from raysweep.metrics import REGISTRY
from raysweep.study.reader import StudyFileError

# Names


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("data.dataset=synthetik", "unknown dataset 'synthetik' (did you mean synthetic?); choose"),
        ("data.dataset=[digits]", "data.dataset: expected text, found ['digits']"),
        ("data.UU=3", "unknown characteristic of synthetic 'UU' (did you mean U?)"),
        ("data.U=[]", "the grid is empty; expected an integer in 0..8"),
        ("data.U=[1, 1]", "values used twice: 1"),
        ("data.U=4.5", "expected an integer in 0..8, found 4.5"),
        ("data.U=true", "expected an integer in 0..8, found True"),
        ("data.U='4'", "expected an integer in 0..8, found '4'"),
        ("data.temperature=.nan", "1000, found nan"),
        ("data.temperature=1" + "0" * 400, "1000, found 1000000"),
        ("data.transform=deep", "expected one of depth, width, found 'deep'"),
        ("data.transform={a: 1}", "expected one of depth, width, found {'a': 1}"),
        ("data.train=1000000000", "at most 100000000 rows"),
        ("alignment.loss=infonse", "unknown loss 'infonse' (did you mean infonce?); choose from"),
        (
            "alignment.options.temperatur=1",
            "unknown option of infonce 'temperatur' (did you mean temperature?)",
        ),
        ("alignment.options.temperature=-1", "expected a number in 0.005..100, found -1"),
        ("alignment={loss: cka, negatives: all}", "cka has no negatives; leave this out, or take"),
        ("alignment.negatives=none", "unknown value 'none'; choose from other_groups, all"),
        ("alignment.options.projection_dim=8", "projection_dim needs projection linear or mlp"),
        ("evaluation.metrics=[ckka]", "unknown metric 'ckka' (did you mean cka?); choose from"),
        ("evaluation.metrics.cka.topk=3", "unknown option of cka 'topk'"),
        ("evaluation.metrics.mutual_knn.topk=2.5", "topk: expected an integer >= 1, found 2.5"),
        ("verdict.performance=accuracy", "unknown value 'accuracy'"),
    ],
)
def test_a_name_or_value_that_no_registry_has(
    study_of: StudyFactory, override: str, fault: str
) -> None:
    assert any(fault in found for found in faults(study_of, override)), faults(study_of, override)


def test_every_name_in_the_registries_is_taken(study_of: StudyFactory) -> None:
    for name, metric in REGISTRY.items():
        searched = metric.higher_is_better and metric.paired
        rest = [] if searched else ["search.objective=performance"]
        assert study_of(f"evaluation.metrics=[{name}]", *rest).metric == name
    for name in LOSSES:
        assert study_of(f"alignment.loss={name}").alignment.loss == name


def test_what_a_dataset_needs_is_asked_for(study_of: StudyFactory) -> None:
    assert faults(study_of, "data={dataset: synthetic}") == [
        "data: dataset synthetic needs U: task bits unique to a modality; the other 8 - U are "
        "shared (an integer in 0..8)"
    ]


# What does not go together


def test_a_search_maximizes_what_grows_with_alignment(study_of: StudyFactory) -> None:
    metrics = "evaluation.metrics={procrustes_distance: {}, uniformity: {}, cka: {}}"
    [first] = faults(study_of, metrics)
    assert "maximizes procrustes_distance, which is lower for more alignment" in first
    [second] = faults(study_of, metrics, "search.metric=uniformity")
    assert "maximizes uniformity, which does not depend on the pairs" in second
    study_of(metrics, "search.metric=cka")
    study_of(metrics, "search.objective=performance")
    for offered in first.partition("choose from ")[2].split(", "):
        assert REGISTRY[offered].higher_is_better


def test_only_what_depends_on_the_pairs_has_a_level_of_chance(study_of: StudyFactory) -> None:
    metrics = "evaluation.metrics={cka: {}, effective_rank_1: {}}"
    study_of(metrics)
    [fault] = faults(study_of, metrics, "evaluation.calibrate=9")
    assert "effective_rank_1 has no level of chance" in fault
    [fault] = faults(study_of, "evaluation.calibrate=1")
    assert "give 0 for no calibration, or at least 2 permutations; found 1" in fault


def test_widths_that_a_loss_or_metric_cannot_compare(study_of: StudyFactory) -> None:
    widths = ("model={width_1: 8, width_2: [8, 4]}",)
    study_of(*widths)
    [fault] = faults(study_of, *widths, "alignment.options.projection=none")
    assert "needs equal widths" in fault
    [fault] = faults(study_of, *widths, "evaluation.metrics={cka: {}, alignment: {}}")
    assert fault.endswith("compares equal widths only, the model has 8 and 4")


def test_population_performance_needs_a_population(study_of: StudyFactory) -> None:
    wanted = "verdict.performance=performance_1_population"
    study_of(wanted)
    # With flipped bits there are too many inputs to list.
    [fault] = faults(study_of, "data.noise_1=0.1", wanted)
    assert fault.endswith("no performance_1_population; choose performance_1_test")
    digits = ("data={dataset: digits, overlap: 2}", "data.test=200")
    study_of(*digits)
    assert "dataset digits cannot be listed" in faults(study_of, *digits, wanted)[0]
    # Not the first value of the axis, and two axes at once.
    axes = ("data.noise_1=[0.0, 0.1]", "data.nuisance=[1.0, 0.5]", "data.U=[0, 2]")
    study_of(*axes)
    assert [fault.partition(", so")[0] for fault in faults(study_of, *axes, wanted)] == [
        "verdict.performance: the inputs of dataset synthetic cannot be listed where noise_1 is "
        "0.1, expected 0",
        "verdict.performance: the inputs of dataset synthetic cannot be listed where nuisance is "
        "0.5, expected 1 when U is 2",
    ]


def test_rows_must_suffice(study_of: StudyFactory) -> None:
    study_of("training.batch_size=64", "evaluation.metrics.mutual_knn.topk=31")
    [fault] = faults(study_of, "training.batch_size=65")
    assert "65 rows do not fit into the smallest training split of 64 rows" in fault
    [fault] = faults(study_of, "data.train=[128, 32]", "training.batch_size=33")
    assert "of 32 rows" in fault
    [fault] = faults(study_of, "evaluation.metrics.mutual_knn.topk=32")
    assert fault.startswith("evaluation.metrics.mutual_knn.topk: topk is 32, and alignment is meas")
    study_of("evaluation.rows=16", "evaluation.metrics.mutual_knn.topk=15")
    assert (
        "on 16 rows"
        in faults(study_of, "evaluation.rows=16", "evaluation.metrics.cknna.topk=16")[0]
    )
    # The default of an option counts, too: topk 10 on 8 rows.
    [fault] = faults(study_of, "evaluation.metrics=[mutual_knn]", "data.validation=8")
    assert fault.endswith("topk must be below that")


def test_rows_of_other_blocks_count(study_of: StudyFactory) -> None:
    two = "data=[{dataset: digits, overlap: 0}, {dataset: synthetic, U: 1, train: 15, test: 64}]"
    [fault] = faults(study_of, two)
    assert fault.startswith("line 10: training.batch_size: 16 rows do not fit")


def test_combinations_that_a_dataset_refuses(study_of: StudyFactory) -> None:
    [fault] = faults(study_of, "data={dataset: digits, overlap: 2, train: 1700}")
    assert "there are 1797" in fault
    [fault] = faults(study_of, "data.U1=4")
    assert "expected 0..2 when U is 2" in fault


def test_every_combination_of_the_axes_is_checked(study_of: StudyFactory) -> None:
    block = "data={dataset: synthetic, U: [4, 6], U1: [0, 2], D_phi: [1, 12], "
    block += "activation: [tanh, sigmoid], train: 64, validation: 32, test: 32}"
    found = sorted(faults(study_of, block))
    own = "; give what goes together in data blocks of its own)"
    assert found == [
        "data.D_phi.1: D_phi is 12, expected at most 10 with sigmoid layers (float64 cannot tell "
        "the inputs apart after more) (in the combination D_phi: 12, activation: 'sigmoid'" + own,
        "data.U1.0: dataset synthetic: U1 is 0, expected 2..4 when U is 6 (at most 4 unique bits "
        "of each modality) (in the combination U1: 0, U: 6" + own,
    ]
    assert len(faults(study_of, "data={dataset: digits, overlap: 2, train: [99, 1700]}")) == 1
    # Faults of the rows are told beside them.
    both = faults(study_of, "data.U1=[0, 3]", "training.batch_size=65")
    assert [fault.partition(": ")[0] for fault in both] == [
        *2 * ["--set data.U1=[0, 3]"],
        "training.batch_size",
    ]


def test_faults_of_combinations_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: a\ndata:\n- dataset: synthetic\n  U: [4, 6]\n  U1:\n  - 2\n  - 0\n")
    with pytest.raises(StudyFileError, match=r"line 7: data\.0\.U1\.1: .* U: 6; give what goes"):
        load(path)


def test_a_class_prior_that_no_label_has_is_found_in_every_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(settings: LabelSettings, draw: int) -> None:
        if settings.imbalance > 1 and draw == 3:
            raise InputError("dataset synthetic: the class prior stays .1 from its target")

    monkeypatch.setattr("raysweep.data.synthetic.label_model", refuse)
    rules = DATASETS["synthetic"].rules
    axes = {p.name: (p.default,) for p in DATASETS["synthetic"].parameters}
    axes |= {"U": (2, 4), "imbalance": (1.0, 5.0)}
    found = [fault for rule in rules for fault in rule.faults(axes, [0, 3])]
    assert [(chosen["U"], chosen["imbalance"]) for chosen, _ in found] == [(2, 5.0)]


@pytest.mark.parametrize("dataset", ["synthetic", "channels"])
def test_rules_say_what_loading_says(dataset: str) -> None:
    """Both ways to know: by the rules alone, and by drawing the rows."""
    axes: dict[str, list[Any]] = {
        "synthetic": {
            "U": [0, 6],
            "U1": [None, 0, 3],
            "D_phi": [12],
            "activation": ["tanh", "sigmoid"],
            "noise_2": [0.0, 0.1],
            "nuisance": [0.5, 1.0],
        },
        "channels": {"D_phi": [2, 12], "activation": ["tanh", "sigmoid"], "nuisance_bits": [1]},
    }[dataset]
    known = DATASETS[dataset]
    defaults = {p.name: (p.default,) for p in known.parameters}
    for values in itertools.product(*axes.values()):
        parameters = dict(zip(axes, values, strict=True))
        one = {**defaults, **{name: (value,) for name, value in parameters.items()}}
        refused = [f for rule in known.rules for f in rule.faults(one, [0])]
        parameters |= {"train": 8, "validation": 8, "test": 8}
        if refused:
            with pytest.raises(InputError, match=re.escape(refused[0][1])):
                load_data(dataset, parameters)
            continue
        views = load_data(dataset, parameters)
        unlisted = [f for rule in known.listed for f in rule.faults(one, [0])]
        assert (views.population is None) == bool(unlisted)


# Resolved


def test_every_default_is_written_out(study_of: StudyFactory) -> None:
    study = study_of()
    declared = {p.name for p in DATASETS["synthetic"].parameters if p.default is not None}
    assert set(study.data[0].axes) == declared | {"U"}
    assert study.alignment.options["temperature"] == 0.07
    assert study.evaluation.metrics["mutual_knn"] == {"topk": 5, "similarity": "cosine"}


def test_the_layer_that_is_aligned_is_in_every_encoder(study_of: StudyFactory) -> None:
    deep = "model={depth_1: [3, 2], depth_2: [4]}"
    assert study_of(deep, "alignment.layer=2").alignment.layer == 2
    [fault] = faults(study_of, deep, "alignment.layer=3")
    assert "alignment.layer: there is no hidden layer 3 in the shallowest encoder, of de" in fault
    [fault] = faults(study_of, "training.engine=kernel", "alignment.layer=1")
    assert "engine kernel aligns last layers only" in fault
    for layer in ("0", "first", "1.0", "true"):
        [fault] = faults(study_of, f"alignment.layer={layer}")
        assert "expected last, or the number of a hidden layer, from 1; found" in fault
