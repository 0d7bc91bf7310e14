"""What is said of faulty study files: every fault, whatever else is wrong, in words that help."""

import pytest
import yaml
from file_faults import faults_of
from tiny_two_cells import TINY

KNN40 = "metrics: {mutual_knn: {topk: 40}}"


def changed(*sections: str, data: str = "") -> str:
    """TINY with sections in place of its own, or besides them."""
    lines = TINY.replace("U: [2, 6]", data or "U: [2, 6]").splitlines()
    names = [section.split(":")[0] for section in sections]
    kept = [line for line in lines if line.split(":")[0] not in names]
    return "\n".join([*kept, *sections])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            changed("training: {batch_size: 65, learning_rate: x}"),
            ["batch_size: 65 rows do not fit", "learning_rate: expected a number"],
        ),
        (
            changed("training: {batch_size: 65}", f"evaluation: {{{KNN40}}}", data="U: [9]"),
            ["U.0: expected an integer in 0..8", "batch_size: 65 rows", "topk is 40"],
        ),
        (
            changed(f"evaluation: {{rows: 1, {KNN40}}}"),
            ["rows: must be greater", "topk is 40, and alignment is measured on 32 rows"],
        ),
        (
            changed("evaluation: {rows: 1, calibrate: 9, metrics: {uniformity: {}, cka: {}}}"),
            ["rows: must be", "uniformity has no level of ch", "the search maximizes uniformity"],
        ),
        (
            changed("evaluation: {layers: x, metrics: {uniformity: {}}}"),
            ["layers: unknown value", "the search maximizes uniformity"],
        ),
        (
            changed(
                "model: {width_1: 8, width_2: 16, depth: 0}",
                "evaluation: {metrics: [cka, alignment]}",
                "alignment: {loss: mse, options: {projection: none}}",
            ),
            ["depth: must be", "needs equal widths", "the model has 8 and 16"],
        ),
        (
            changed("model: {width: 8, width_1: 0, width_2: 4}"),
            ["width_1: must be", "give either width or width_1 and width_2"],
        ),
        (
            changed(
                "search: {sampler: grid, trials: 3, options: {temperature: [0.1, 0.2]}}",
                "alignment: {options: {temperature: 0.1}}",
            ),
            ["trials must be a multiple of 2", "options given twice: temperature"],
        ),
        (
            changed(
                "search: {options: {temperature: {low: 2, high: 1}}}",
                "alignment: {options: {temperature: 0.1}}",
            ),
            ["upside down", "options given twice: temperature"],
        ),
        (
            changed(
                "training: {batch_size: 16, engine: kernel}",
                "resources: {gpus_per_pack: 1}",
                "alignment: {layer: 2}",
            ),
            ["asks for GPUs", "engine kernel aligns last layers", "no hidden layer 2"],
        ),
        (
            changed("search: {metric: foo}", "evaluation: {metrics: 3}"),
            ["search.metric: unknown metric 'foo'", "metrics: expected a list of names, or a map"],
        ),
        (
            changed(
                "verdict: {performance: performance_fused_population}",
                data="draws: -1",
            ).replace("dataset: synthetic", "dataset: digits\n  overlap: 2").replace("32", "200"),
            ["draws: give a count", "dataset digits cannot be listed"],
        ),
        (
            changed("search: {draws: [0]}", "seed: 0").replace(
                "data:", "data:\n- 3\n-"
            ),
            ["data.0: expected a mapping of keys, found 3", "draws used twice: 0"],
        ),
    ],
)  # fmt: skip
def test_no_fault_hides_another(text: str, told: list[str]) -> None:
    faults = faults_of(text)
    assert len(faults) == len(told), faults
    assert all(any(words in fault for fault in faults) for words in told), faults


def test_a_default_that_stands_in_for_a_fault_is_none() -> None:
    """Each of these defaults would be too much for the rows there are."""
    [fault] = faults_of(changed("training: {batch_size: x}"))
    assert "batch_size: expected a whole number" in fault
    [fault] = faults_of(
        changed("evaluation: {metrics: 3}").replace("validation: 32", "validation: 8")
    )
    assert "metrics: expected a list" in fault


def test_what_cannot_be_read_is_told_once() -> None:
    [fault] = faults_of(TINY + "seed: 2024-13-45\n")
    assert fault.startswith("line 14: seed: cannot be read as a value (month must be")
    [fault] = faults_of(TINY.replace("U: [2, 6]", "U: [2, 2024-13-45]"))
    assert fault.startswith("line 5: data.U.1: cannot be read as a value")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "{kind: [forcing]}",
            "expected one of forcing, emergence, trial, models, found ['forcing']",
        ),
        (
            "{search: {objective: null}}",
            "expected one of alignment, performance, both, found None",
        ),
        ("{evaluation: {metrics: cka}}", "expected a list of names, or a mapping of names"),
    ],
)
def test_a_value_of_the_wrong_kind_is_shown_as_it_is(given: str, told: str) -> None:
    [fault] = faults_of(
        changed(
            *(
                f"{k}: {yaml.safe_dump(v, default_flow_style=True).strip()}"
                for k, v in yaml.safe_load(given).items()
            )
        )
    )
    assert told in fault


def test_every_bad_name_of_a_metric_is_told_at_its_place() -> None:
    faults = faults_of(changed("evaluation: {metrics: [cka, cka, bla, 3, null]}"))
    assert [fault.partition(": ")[2].partition(": ") for fault in faults] == [
        ("evaluation.metrics", ": ", "values used twice: cka; give each value once"),
        ("evaluation.metrics.2", ": ", faults[1].rpartition("metrics.2: ")[2]),
        ("evaluation.metrics.3", ": ", "expected the name of a metric; found 3"),
        ("evaluation.metrics.4", ": ", "expected the name of a metric; found None"),
    ]
    assert "unknown metric 'bla'" in faults[1]


def test_a_default_that_does_not_fit_points_at_what_the_user_wrote() -> None:
    faults = faults_of("name: x\ndata:\n  dataset: digits\n  overlap: 2\n  train: 84\n  test: 9\n")
    assert faults == (
        "line 2: data: batches of 128 rows, the default, do not fit into the training split of 84 "
        "rows; give training.batch_size",
        "line 2: data: mutual_knn is measured by default: topk is 10, and alignment is measured on "
        "9 rows (the smallest of evaluation.rows, validation and test split); topk must be below "
        "that",
    )
