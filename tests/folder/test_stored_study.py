"""A study's file that was edited, damaged or lost between a run and what goes on with it."""

import html
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_runs import (
    assert_same_table,
    begun,
    opened,
    parts,
    raysweep,
    study,
    table,
    words,
    write_study,
)

from raysweep.errors import InputError
from raysweep.folder.conclusion import conclude
from raysweep.folder.run_folder import RunFolder
from raysweep.folder.stored_study import KEPT_NAME, StoredStudy
from raysweep.runners import local
from raysweep.study.reader import dump_study
from raysweep.trials.storage import Output

FLAGS = ("--runner", "local", "--no-mlflow")
ELSEWHERE = "mock:///bucket/sweep"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a finished run of tiny.yaml, which lies beside it."""
    folder = tmp_path_factory.mktemp("finished")
    write_study(folder / "tiny.yaml")
    done = raysweep(folder, "run", "tiny.yaml", "--out", "out", *FLAGS)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to do harm to."""
    write_study(tmp_path / "tiny.yaml")
    return Path(shutil.copytree(finished, tmp_path / "out"))


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "study.yaml").read_text()
    assert text.count(old) == 1
    (folder / "study.yaml").write_text(text.replace(old, new))


def stored(folder: Path) -> dict[str, int]:
    return {name: (folder / "parts" / name).stat().st_mtime_ns for name in parts(folder)}


def registered(folder: Path) -> str:
    """What the report says of the plan."""
    page = (folder / "report.html").read_text()
    found = re.search(r"<p><span class='tag \w+'>(.*?)</p>", page)
    assert found is not None
    return html.unescape(found.group(1))


@pytest.mark.slow
def test_an_edit_of_the_folders_own_file_is_refused_with_the_change(out: Path) -> None:
    before = stored(out)
    edit(out, "  epochs: 2\n", "  epochs: 3\n")
    for action in (("resume", out, *FLAGS), ("analyze", out)):
        done = raysweep(out.parent, *action)
        assert done.returncode == 2
        assert "-  epochs: 2\n+  epochs: 3\n" in done.stderr
        assert "remove the file" in words(done.stderr)
        assert "Traceback" not in done.stderr
    assert stored(out) == before
    assert "  epochs: 3\n" in (out / "study.yaml").read_text()  # what was typed is not lost

    (out / "study.yaml").unlink()
    undone = raysweep(out.parent, "resume", out, *FLAGS)
    assert undone.returncode == 0, undone.stderr
    assert "study.yaml was missing; the adopted study is used and restored" in words(undone.stderr)
    assert "  epochs: 2\n" in (out / "study.yaml").read_text()
    assert stored(out) == before
    assert registered(out).startswith("confirmatory</span>The plan was registered before")


@pytest.mark.slow
def test_an_edit_that_the_given_study_replaces_is_told(out: Path) -> None:
    before = stored(out)
    edit(out, "epochs: 2", "epochs: 4")
    done = raysweep(out.parent, "run", "tiny.yaml", "--out", "out", *FLAGS)
    assert done.returncode == 0, done.stderr
    assert "out/study.yaml was edited after the last run" in words(done.stderr)
    assert "epochs: 2" in (out / "study.yaml").read_text()
    assert stored(out) == before
    again = raysweep(out.parent, "run", "tiny.yaml", "--out", "out", *FLAGS)
    assert "was edited" not in again.stderr


@pytest.mark.slow
def test_an_edit_that_extends_is_taken_and_told_in_the_report(out: Path) -> None:
    before = stored(out)
    edit(out, "[1000, 1001, 1002, 1003]", "[1000, 1001, 1002, 1003, 1004]")
    done = raysweep(out.parent, "resume", out, *FLAGS)
    assert done.returncode == 0, done.stderr
    assert before.items() < stored(out).items()
    assert set(table(out)["seed"]) >= {1000, 1004}
    assert registered(out) == "exploratory</span>1 confirm runs were not planned."
    # What was added is adopted, too: it cannot be taken away again.
    edit(out, ", 1004]", "]")
    with pytest.raises(InputError, match=r"-  seeds: \[1000, 1001, 1002, 1003, 1004\]"):
        RunFolder(Output(out)).existing_study()


HARM: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[: len(content) // 2],
    "cut at the end of a line": lambda content: content[: content.index(b"confirm:")],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "no text": lambda content: b"\xff\xfe" + content,
}


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_study_is_restored(tmp_path: Path, harm: str) -> None:
    folder = opened(tmp_path, study())
    content = (tmp_path / "study.yaml").read_bytes()
    (tmp_path / "study.yaml").write_bytes(HARM[harm](content))
    assert folder.existing_study() == study()
    assert "study.yaml was damaged" in folder.restore_study()
    assert (tmp_path / "study.yaml").read_bytes() == content
    assert folder.restore_study() == ""


@pytest.mark.slow
def test_a_damaged_study_stops_nobody(out: Path, finished: Path) -> None:
    before = stored(out)
    content = (out / "study.yaml").read_bytes()
    for action in (("resume", out), ("run", "tiny.yaml", "--out", out)):
        (out / "study.yaml").write_bytes(content[: len(content) // 2])
        done = raysweep(out.parent, *action, *FLAGS)
        assert done.returncode == 0, done.stderr
        told = words(done.stderr)
        assert "study.yaml was damaged; the adopted study is used and restored" in told
        assert (out / "study.yaml").read_bytes() == content
    assert stored(out) == before
    assert_same_table(table(out), table(finished))


def test_an_edit_with_a_mistake_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    folder = opened(tmp_path, study())
    edit(tmp_path, "  trials: 4\n", "  trails: 6\n")
    assert folder.restore_study() == ""
    with pytest.raises(
        InputError, match=r"(?s)did you mean trials\?.*remove the file: the adopted"
    ):
        folder.existing_study()
    assert "trails" in (tmp_path / "study.yaml").read_text()


@pytest.mark.slow
def test_without_a_copy_the_report_still_tells_of_other_science(out: Path) -> None:
    # A folder of an older version, or one whose copy was lost.
    before = set(parts(out))
    (out / KEPT_NAME).unlink()
    edit(out, "  epochs: 2\n", "  epochs: 3\n")
    folder = RunFolder(Output(out))
    local.run(folder.existing_study(), folder)
    assert before < set(parts(out))
    conclude(folder, folder.existing_study())
    assert registered(out).startswith("exploratory</span>what the trials' numbers depend on (")
    assert "was kept" not in registered(out)


def test_without_a_copy_a_damaged_study_is_given_again(tmp_path: Path) -> None:
    folder = opened(tmp_path, study())
    kept = (tmp_path / KEPT_NAME).read_bytes()
    (tmp_path / KEPT_NAME).write_text('{"sha256": "0", "study": "name: x"}')
    (tmp_path / "study.yaml").write_text("name: tiny\ndata: [")
    with pytest.raises(InputError, match=f"raysweep run STUDY --out {re.escape(str(tmp_path))}"):
        folder.existing_study()
    folder.adopt(study())
    assert folder.existing_study() == study()
    assert (tmp_path / KEPT_NAME).read_bytes() == kept


@pytest.mark.parametrize("place", ["a folder", ELSEWHERE])
def test_it_is_the_same_on_any_filesystem(tmp_path: Path, place: str) -> None:
    output = Output(tmp_path if place == "a folder" else place)
    stored = StoredStudy(output)
    assert stored.study() is None
    assert stored.restore() == ""
    stored.adopt(study())
    assert stored.study() == study()
    stored.adopt(study(training__epochs=3))  # there is nothing to lose yet
    stored.adopt(study())
    begun(output)
    output.write("study.yaml", dump_study(study(training__epochs=3)).encode())
    with pytest.raises(InputError, match=r"(?s)-  epochs: 2.*\+  epochs: 3"):
        stored.study()
    with pytest.raises(InputError, match="another study"):
        stored.adopt(study(training__epochs=3))
    output.delete("study.yaml")
    assert stored.study() == study()
    assert "was missing" in stored.restore()
    assert output.read("study.yaml") == dump_study(study()).encode()
    stored.adopt(study(confirm__seeds=5))
    assert stored.study() == study(confirm__seeds=5)


def test_a_driver_killed_while_it_adopts_leaves_an_extension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = study(confirm__seeds=5)
    folder = opened(tmp_path, study())
    write = folder.output.write

    def killed(name: str, content: bytes) -> None:
        if name == KEPT_NAME:
            raise KeyboardInterrupt
        write(name, content)

    monkeypatch.setattr(folder.output, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.adopt(larger)
    monkeypatch.undo()
    assert opened(tmp_path, larger).existing_study() == larger
