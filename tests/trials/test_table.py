import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.errors import InputError
from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study.cells import Cell
from raysweep.trials.columns import REQUIRED
from raysweep.trials.storage import Output
from raysweep.trials.table import (
    PART_SUFFIX,
    PARTS,
    TABLE_NAME,
    Row,
    compact,
    read_parts,
    read_searched,
    read_table,
    results_of,
    tabled_keys,
    write_part,
)
from raysweep.trials.trial import Arm, Stage, Status, Trial, TrialResult

CELL = Cell("synthetic", (("U", 4),), (0,), "mlp", 1, 1, 8, 8)
OTHER_CELL = replace(CELL, width_1=16)


def trial(seed: int, cell: Cell = CELL) -> Trial:
    return Trial(cell, 0, seed, 0.5, Arm.FORCED, Stage.SEARCH, "s", 1, seed)


def row(one: Trial, **more: Any) -> dict[str, Any]:
    return {
        "key": one.key,
        "study": "x",
        "cell": one.cell.id,
        "draw": one.draw,
        "seed": one.seed,
        "strength": one.strength,
        "arm": one.arm.value,
        "stage": one.stage.value,
        "status": "ok",
        "generation": one.generation,
        "number": one.number,
        "chosen_by": one.chosen_by,
        **more,
    }


def plan(*trials: Trial) -> dict[str, Trial]:
    return {one.key: one for one in trials}


def path_of(folder: Path, name: str) -> Path:
    return folder / PARTS / f"{name}{PART_SUFFIX}"


def test_rows_are_read_back_as_they_were(tmp_path: Path) -> None:
    output = Output(tmp_path)
    rows: list[Row] = [
        row(trial(1), alignment_cka_validation=0.25, reason="", performance_1_test=None),
        row(trial(2), alignment_cka_validation=None, file="ü|x", performance_1_test=1),
    ]
    write_part(output, "a", rows)
    found = read_parts(output)
    assert found.damaged == ()
    columns = dict.fromkeys(name for one in rows for name in one)
    assert found.table.to_pylist() == [{c: one.get(c) for c in columns} for one in rows]
    assert found.table.schema.field("performance_1_test").type == pa.float64()


# Damage


@settings(max_examples=60)
@given(st.data())
def test_a_part_that_is_cut_or_changed_counts_as_missing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("run")
    output = Output(folder)
    write_part(output, "a", [row(trial(1))])
    write_part(output, "b", [row(trial(2))])
    whole = path_of(folder, "a").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.one_of(
            st.just(whole[:at]),
            st.just(whole[at:] + whole),
            st.integers(1, 255).map(
                lambda flip: whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
            ),
            st.just(whole[:at] + bytes(len(whole) - at)).filter(lambda zeros: zeros != whole),
            st.binary(max_size=200),
        )
    )
    path_of(folder, "a").write_bytes(damaged)
    found = read_parts(output)
    assert found.damaged == (f"{PARTS}/a{PART_SUFFIX}",)
    assert list(found.results()) == [trial(2).key]


def test_a_part_without_the_needed_columns_counts_as_missing(tmp_path: Path) -> None:
    output = Output(tmp_path)
    for missing in REQUIRED:
        one = row(trial(1))
        del one[missing]
        write_part(output, missing, [one])
    assert len(read_parts(output).damaged) == len(REQUIRED)
    assert read_parts(output, ["parts/none.arrow"]).damaged == ("parts/none.arrow",)
    assert read_parts(output).results() == {}


def test_a_damaged_part_is_run_again(tmp_path: Path, tiny_study: Study) -> None:
    output = Output(tmp_path)
    sweep = Sweep(tiny_study)
    pack = sweep.next_pack()
    assert pack is not None
    write_part(output, pack.key, [row(t) for t in pack.trials])
    assert Sweep(tiny_study, read_parts(output).results()).next_pack() != pack
    file = path_of(tmp_path, pack.key)
    file.write_bytes(file.read_bytes()[:-1])
    assert Sweep(tiny_study, read_parts(output).results()).next_pack() == pack


# Compaction


def test_the_table_has_the_planned_rows_in_the_planned_order(tmp_path: Path) -> None:
    output = Output(tmp_path)
    one, two, three, four = (trial(seed) for seed in (1, 2, 3, 4))
    write_part(output, "z", [row(one, performance_1_test=0.1)])
    write_part(output, "a", [row(three, performance_1_test=0.3), row(two, performance_1_test=0.2)])
    assert compact(output, read_parts(output), plan(two, four, one)) == 2
    frame = read_table(tmp_path)
    assert list(frame["key"]) == [two.key, one.key]
    assert list(frame["performance_1_test"]) == [0.2, 0.1]
    before = (tmp_path / TABLE_NAME).read_bytes()
    compact(output, read_parts(output), plan(two, four, one))
    assert (tmp_path / TABLE_NAME).read_bytes() == before


def test_a_trial_that_is_there_twice_is_one_row(tmp_path: Path) -> None:
    output = Output(tmp_path)
    write_part(output, "b", [row(trial(1), train_seconds=2.0)])
    write_part(output, "a", [row(trial(2)), row(trial(1), train_seconds=1.0)])
    found = read_parts(output)
    assert sorted(found.results()) == sorted([trial(1).key, trial(2).key])
    compact(output, found, plan(trial(1), trial(2)))
    assert list(read_table(tmp_path)["train_seconds"]) == [
        1.0,
        pytest.approx(float("nan"), nan_ok=True),
    ]


def test_the_table_says_what_the_plan_of_now_says(tmp_path: Path) -> None:
    # A strength that both criteria chose may, once more trials are there, be chosen by one only.
    output = Output(tmp_path)
    before = replace(trial(1), chosen_by="alignment+performance", generation=0, number=7)
    write_part(output, "a", [row(before)])
    now = replace(before, chosen_by="performance", generation=-1, number=-1)
    compact(output, read_parts(output), plan(now))
    [found] = read_table(tmp_path).to_dict("records")
    assert (found["chosen_by"], found["generation"], found["number"]) == ("performance", -1, -1)


def test_many_columns_are_read_without_a_warning_of_pandas_at_the_next_one(tmp_path: Path) -> None:
    output = Output(tmp_path)
    write_part(output, "a", [row(trial(1), **{f"mine_{k}": 0.5 for k in range(150)})])
    compact(output, read_parts(output), plan(trial(1)))
    frame = read_table(tmp_path)
    assert frame.shape[1] > 150
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert frame.assign(one_more=1)["one_more"].tolist() == [1]


def test_columns_are_in_the_documented_order(tmp_path: Path) -> None:
    output = Output(tmp_path)
    write_part(
        output, "a", [row(trial(1), nuisance=1, mine=0.5, performance_2_test=0.5, n_train=9)]
    )
    write_part(output, "b", [row(trial(2), activation="x", alignment_cka_test=0.5, width_1=8)])
    compact(output, read_parts(output), plan(trial(1), trial(2)))
    names = list(read_table(tmp_path).columns)
    assert names[:3] == ["key", "study", "cell"]
    assert names.index("number") < names.index("activation") < names.index("nuisance")
    assert names.index("nuisance") < names.index("n_train") < names.index("width_1")
    assert names[-3:] == ["alignment_cka_test", "mine", "performance_2_test"]


def test_free_axes_of_cells_stand_with_the_data(tmp_path: Path) -> None:
    output = Output(tmp_path)
    one = trial(1, replace(CELL, parameters=(("genre", "war"),)))
    write_part(output, "a", [row(one, genre="war", f1=0.5, n_train=9)])
    compact(output, read_parts(output), plan(one))
    assert list(read_table(tmp_path).columns)[-3:] == ["genre", "n_train", "f1"]


def test_columns_of_different_types_go_together(tmp_path: Path) -> None:
    output = Output(tmp_path)
    values = {"a": 1, "b": 2.5, "c": None}
    for name, value in values.items():
        write_part(output, name, [row(trial(ord(name)), mixed=value, noise=value)])
    write_part(output, "d", [row(trial(100), mixed="text")])
    write_part(output, "e", [row(trial(101), mixed=3), row(trial(102), mixed="x")])
    found = read_parts(output)
    assert found.table.column("mixed").to_pylist() == ["1", "2.5", None, "text", "3", "x"]
    # Numbers stay numbers.
    assert found.table.column("noise").to_pylist() == [1.0, 2.5, None, None, None, None]
    compact(output, found, plan(trial(97), trial(100)))
    assert list(read_table(tmp_path)["mixed"]) == ["1", "text"]


def test_an_empty_run_has_an_empty_table(tmp_path: Path) -> None:
    output = Output(tmp_path)
    assert read_parts(output).results() == {}
    assert compact(output, read_parts(output), plan(trial(1))) == 0
    with pytest.raises(InputError, match="columns missing: study, cell"):
        read_table(tmp_path)


def test_a_search_gets_its_columns(tmp_path: Path) -> None:
    rows: list[Row] = [
        row(trial(1), alignment_cka_validation=0.5, alignment_layers_cka_validation="1-2"),
        {**row(trial(2), alignment_cka_validation=None), "status": "diverged"},
    ]
    write_part(Output(tmp_path), "a", rows)
    read = read_parts(Output(tmp_path)).results()
    direct = {result.key: result for result in results_of(rows)}
    assert read.keys() == direct.keys()
    for key, result in read.items():
        assert result.status is direct[key].status
        assert list(result.values) == ["alignment_cka_validation"]
        assert (
            result.values["alignment_cka_validation"]
            == direct[key].values["alignment_cka_validation"]
        )
    assert read[trial(2).key].status is Status.DIVERGED


# A look at a run: the table, and the parts that it lacks


def results_by_sight(output: Output) -> dict[str, TrialResult]:
    """What a look finds, which has to be what reading all parts finds."""
    found = read_searched(output).results()
    assert found == read_parts(output).results()
    return found


@pytest.fixture
def compacted(tmp_path: Path) -> Output:
    """Two parts, both in the trial table."""
    output = Output(tmp_path)
    write_part(output, "a", [row(trial(1), alignment_cka_validation=0.1)])
    write_part(output, "b", [row(trial(2), alignment_cka_validation=0.2, performance_1_test=1.0)])
    assert compact(output, read_parts(output), plan(trial(1), trial(2))) == 2
    return output


def test_a_look_reads_only_the_parts_that_the_table_lacks(
    compacted: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_part(compacted, "c", [row(trial(3), alignment_cka_validation=0.3)])
    confirm = replace(trial(4), stage=Stage.CONFIRM)
    write_part(compacted, "d", [{**row(confirm, number=0.5), "status": "diverged"}])
    whole = read_parts(compacted).results()
    names = []
    read = compacted.read
    monkeypatch.setattr(compacted, "read", lambda name: names.append(name) or read(name))
    assert read_searched(compacted).results() == whole
    assert names == [TABLE_NAME, "parts/c.arrow", "parts/d.arrow"]
    assert whole[trial(2).key].values == {"alignment_cka_validation": 0.2}
    assert whole[confirm.key] == TrialResult(confirm.key, Status.DIVERGED, {})


def test_a_look_sees_parts_that_changed_or_went(compacted: Output, tmp_path: Path) -> None:
    write_part(compacted, "b", [row(trial(2), alignment_cka_validation=0.4)])
    assert results_by_sight(compacted)[trial(2).key].number("alignment_cka_validation") == 0.4
    file = path_of(tmp_path, "b")
    file.write_bytes(file.read_bytes()[:-1])
    assert read_searched(compacted).damaged == ("parts/b.arrow",)
    assert results_by_sight(compacted).keys() == {trial(1).key}
    file.unlink()
    assert results_by_sight(compacted).keys() == {trial(1).key}


def test_a_table_without_all_rows_stands_for_no_part(compacted: Output) -> None:
    compact(compacted, read_parts(compacted), plan(trial(2)))
    assert results_by_sight(compacted).keys() == {trial(1).key, trial(2).key}


@pytest.mark.parametrize("content", [None, b"", b"PAR1 not really PAR1"])
def test_a_look_needs_no_table(compacted: Output, tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / TABLE_NAME).unlink()
    if content is not None:
        (tmp_path / TABLE_NAME).write_bytes(content)
    assert results_by_sight(compacted).keys() == {trial(1).key, trial(2).key}


# Reading a table


def test_a_table_is_found_by_folder_and_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output(tmp_path)
    write_part(output, "a", [row(trial(1))])
    compact(output, read_parts(output), plan(trial(1)))
    monkeypatch.chdir(tmp_path)
    for place in (
        tmp_path,
        str(tmp_path),
        tmp_path / TABLE_NAME,
        TABLE_NAME,
        ".",
        tmp_path.as_uri(),
    ):
        assert list(read_table(place)["key"]) == [trial(1).key]


def test_what_is_no_table_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no trial table there; give a run's output folder"):
        read_table(tmp_path)
    with pytest.raises(InputError, match="no trial table there"):
        read_table(tmp_path / "gone.parquet")
    (tmp_path / "notes.csv").write_text("a,b")
    with pytest.raises(InputError, match="no trial table there"):
        read_table(tmp_path / "notes.csv")
    (tmp_path / TABLE_NAME).write_bytes(b"PAR1 something else PAR1")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_table(tmp_path)
    pq.write_table(pa.table({"key": ["a"], "cell": ["b"]}), tmp_path / TABLE_NAME)
    with pytest.raises(InputError, match="not a trial table, columns missing: study, draw, seed"):
        read_table(tmp_path)
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(InputError, match="is a folder, expected a file"):
        read_table(tmp_path / "folder.parquet")


def test_arrow_reads_from_none_of_the_interpreters_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads would free that late, and abort a command that ends just then."""
    arrows: list[bool] = []

    def buffer_reader(memory: object) -> pa.BufferReader:
        # A buffer over Python's bytes cannot be written to.
        arrows.append(isinstance(memory, pa.Buffer) and memory.is_mutable)
        return reader(memory)

    reader = pa.BufferReader
    monkeypatch.setattr(pa, "BufferReader", buffer_reader)
    output = Output(tmp_path)
    write_part(output, "a", [row(trial(1))])
    compact(output, read_parts(output), plan(trial(1)))
    assert tabled_keys(output) == {trial(1).key}
    assert list(read_table(tmp_path)["key"]) == [trial(1).key]
    assert len(read_searched(output).table) == 1
    # The part once, the table three times.
    assert arrows == [True] * 4
