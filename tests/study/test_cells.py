import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_two_cells import StudyFactory
from write_golden import CELLS, bundled_cells

from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study.cells import Cell, expand, varying


def study(data: object, model: object | None = None, **rest: object) -> Study:
    return Study.model_validate({"name": "x", "data": data, "model": model or {}, **rest})


def ids(*args: object, **rest: object) -> list[str]:
    return [cell.id for cell in expand(study(*args, **rest))]


def test_cells_of_the_bundled_studies_are_what_they_were() -> None:
    # Another id would be another cell: results that are there would be trained again.
    assert bundled_cells() == json.loads(CELLS.read_text()), (
        "if this was meant, run python tests/support/write_golden.py"
    )


def test_an_id_is_the_content_and_nothing_else() -> None:
    block = {"dataset": "synthetic", "U": 4, "D_phi": 1}
    [one] = ids([block])
    assert one == "synthetic-b0b7f16865"
    turned = dict(reversed(block.items()))
    assert ids([turned]) == ids([{**block, "draws": 5}]) == [one]
    assert ids([block], search={"trials": 40}, seed=3, confirm={"seeds": 2}) == [one]
    assert ids([block], {"depth": 1, "width": [64]}) == [one]


def test_everything_that_a_cell_consists_of_is_in_its_id() -> None:
    block = {"dataset": "synthetic", "U": 4}
    variants: list[tuple[object, object]] = [
        ([block], {}),
        ([{**block, "U": 5}], {}),
        ([{**block, "D_phi": 1}], {}),
        ([{**block, "U": "4"}], {}),
        ([{"dataset": "channels", "U": 4}], {}),
        ([block], {"depth": 2}),
        ([block], {"depth_1": 2, "depth_2": 1}),
        ([block], {"depth_1": 1, "depth_2": 2}),
        ([block], {"width": 32}),
        ([block], {"width_1": 32, "width_2": 64}),
        ([block], {"width_1": 64, "width_2": 32}),
    ]
    found = [cell for data, model in variants for cell in ids(data, model)]
    assert len(set(found)) == len(variants)


def test_the_last_axis_runs_fastest() -> None:
    cells = expand(
        study(
            [{"dataset": "synthetic", "U": [8, 0], "D_phi": [1, 2]}, {"dataset": "digits"}],
            {"width": [16, 8], "depth_1": [1, 2], "depth_2": [3]},
        )
    )
    found = [
        (c.dataset, *dict(c.parameters).values(), c.depth_1, c.depth_2, c.width_1) for c in cells
    ]
    models = [(1, 3, 16), (1, 3, 8), (2, 3, 16), (2, 3, 8)]
    points = [("synthetic", d, u) for u, d in itertools.product([8, 0], [1, 2])]
    assert found == [(*p, *m) for p in [*points, ("digits",)] for m in models]


def test_a_cell_named_twice_gets_the_draws_of_both() -> None:
    cells = expand(
        study(
            [
                {"dataset": "synthetic", "U": [0, 4], "draws": [2, 0]},
                {"dataset": "synthetic", "U": [4, 8], "draws": [0, 1]},
            ]
        )
    )
    assert [(dict(c.parameters)["U"], c.draws) for c in cells] == [
        (0, (2, 0)),
        (4, (2, 0, 1)),
        (8, (0, 1)),
    ]


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    def of(path: str, digest: str) -> Cell:
        [cell] = expand(study([{"dataset": "arrays", "path": path}], files={path: digest}))
        return cell

    assert of("/a/x.npz", "11").id == of("/b/y.npz", "11").id
    assert of("/a/x.npz", "11").id != of("/a/x.npz", "22").id
    assert of("/a/x.npz", "11").contents == (("/a/x.npz", "11"),)


def test_defaults_may_be_written_or_left_out(study_of: StudyFactory) -> None:
    plain = [cell.id for cell in expand(study_of())]
    for same in ("data.temperature=0.05", "data.D_phi=1", "data.U1=null", "model.width=[8]"):
        assert [cell.id for cell in expand(study_of(same))] == plain
    assert [cell.id for cell in expand(study_of("data.temperature=0.06"))] != plain
    # An integer where a number is meant is the same number.
    one, other = (expand(study_of(f"data.temperature={t}"))[0].id for t in ("1", "1.0"))
    assert one == other


def test_labels_name_what_differs(study_of: StudyFactory) -> None:
    assert list(varying(expand(study_of())).values()) == ["synthetic U=2", "synthetic U=6"]
    one = study_of("data.U=[2]")
    assert list(varying(expand(one)).values()) == ["synthetic"]
    both = study(
        [{"dataset": "synthetic", "U": [0, 4]}, {"dataset": "digits", "overlap": 2}],
        {"depth_1": [1, 2], "depth_2": [1]},
    )
    assert list(varying(expand(both)).values()) == [
        "synthetic U=0 depth=1",
        "synthetic U=0 depth_1=2 depth_2=1",
        "synthetic U=4 depth=1",
        "synthetic U=4 depth_1=2 depth_2=1",
        "digits depth=1",
        "digits depth_1=2 depth_2=1",
    ]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/data/a.npz"], ["a.npz"]),
        (["/data/a.npz", "/data/b.npz"], ["a.npz", "b.npz"]),
        (["/data/one/a.npz", "/data/two/a.npz"], ["one/a.npz", "two/a.npz"]),
        (["/one/x/a.npz", "/two/x/a.npz", "/b.npz"], ["one/x/a.npz", "two/x/a.npz", "b.npz"]),
        (["/a.npz", "/two/a.npz"], ["/a.npz", "two/a.npz"]),
    ],
)
def test_cells_of_own_data_go_by_as_much_of_a_path_as_tells_files_apart(
    paths: list[str], names: list[str]
) -> None:
    digests = {path: str(number) for number, path in enumerate(paths)}
    blocks = [{"dataset": "arrays", "path": path} for path in paths]
    for data in ([{"dataset": "arrays", "path": paths}], blocks):
        cells = expand(study([*data, {"dataset": "synthetic"}], files=digests))
        assert list(varying(cells).values()) == [*names, "synthetic"]


def test_a_file_that_is_called_like_another_cell() -> None:
    blocks = [{"dataset": "arrays", "path": "/synthetic"}, {"dataset": "synthetic"}]
    cells = expand(study(blocks, files={"/synthetic": "0"}))
    assert list(varying(cells).values()) == [f"synthetic {cell.id}" for cell in cells]


values = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b", 0.5, True, 1.0]))
blocks = st.fixed_dictionaries(
    {"dataset": st.sampled_from(["synthetic", "channels"])},
    optional={
        name: st.lists(values, min_size=1, max_size=2, unique_by=repr)
        for name in ("U", "temperature")
    },
)


@settings(max_examples=60)
@given(
    st.lists(blocks, min_size=1, max_size=3),
    st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True),
)
def test_ids_and_labels_tell_cells_apart(data: list, depths: list[int]) -> None:
    cells = expand(study(data, {"depth_1": depths, "depth_2": depths}))
    contents = {repr((c.dataset, sorted(c.parameters), c.depth_1, c.depth_2)) for c in cells}
    assert len({cell.id for cell in cells}) == len(cells) == len(contents)
    labels = varying(cells)
    assert len(set(labels.values())) == len(cells)
