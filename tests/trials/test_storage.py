import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.errors import InputError
from raysweep.trials.storage import Output


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(params=["folder", "file URI", "in memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    if request.param == "in memory":
        return Output("mock:///bucket/sweep")
    place = tmp_path / "a sweep"
    return Output(place.as_uri() if request.param == "file URI" else place)


def test_what_is_written_is_read_back(output: Output) -> None:
    assert output.read("parts/x.arrow") is None
    assert output.names("parts", ".arrow") == []
    for name in ("parts/b.arrow", "parts/a.arrow", "parts/a.txt", "study.yaml"):
        output.write(name, name.encode() * 3)
    output.write("parts/b.arrow", b"replaced \0\xff")
    assert output.read("parts/b.arrow") == b"replaced \0\xff"
    assert output.read("study.yaml") == b"study.yaml" * 3
    assert output.names("parts", ".arrow") == ["parts/a.arrow", "parts/b.arrow"]
    output.delete("parts/a.arrow")
    output.delete("parts/a.arrow")
    assert output.names("parts", ".arrow") == ["parts/b.arrow"]


def test_a_file_uri_is_the_folder_it_names(tmp_path: Path) -> None:
    place = tmp_path / "with space"
    output = Output(place.as_uri())
    output.write("x", b"1")
    assert (place / "x").read_bytes() == b"1"
    assert output.local == place
    assert output.location == str(place)


def test_a_relative_folder_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = Output("out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    output.write("x", b"1")
    assert files(tmp_path) == {"out/x"}


names = st.lists(st.sampled_from(["..", ".", "", "a", "b", "/", "..a"]), min_size=1, max_size=4)


@settings(max_examples=60)
@given(names.map("/".join))
def test_no_name_leads_out_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    output = Output(outside / "inside")
    for act in (lambda: output.write(name, b"1"), lambda: output.read(name)):
        try:
            act()
        except (ValueError, OSError):
            continue
    assert all(path.startswith("inside/") for path in files(outside))


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "/"])
def test_a_name_outside_is_refused(tmp_path: Path, name: str) -> None:
    output = Output(tmp_path)
    for act in (output.read, output.delete, lambda n: output.write(n, b"")):
        with pytest.raises(ValueError, match="not a name inside"):
            act(name)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output(tmp_path)
    output.write("x", b"old")

    def disk_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        output.write("x", b"new")
    monkeypatch.undo()
    assert output.read("x") == b"old"
    assert files(tmp_path) == {"x"}


def test_content_is_synced_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str, bytes]] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        content = Path(path).read_bytes() if os.path.isfile(path) else b""
        seen.append(("sync", Path(path).relative_to(tmp_path).as_posix(), content))
        sync(descriptor)

    def noted_replace(source: str, target: str) -> None:
        seen.append(("rename", Path(target).relative_to(tmp_path).as_posix(), b""))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    Output(tmp_path / "out").write("parts/x", b"content")
    (first, temporary, content), *rest = seen
    assert first == "sync"
    assert temporary.startswith("out/parts/x.")
    assert content == b"content"
    # The two folders are new: without a sync of their parents they would not outlive a power cut.
    assert [(act, path) for act, path, _ in rest] == [
        ("rename", "out/parts/x"),
        ("sync", "out/parts"),
        ("sync", "out"),
        ("sync", "."),
    ]
    seen.clear()
    Output(tmp_path / "out").write("parts/y", b"")
    assert [path for act, path, _ in seen if act == "sync"][1:] == ["out/parts"]


def test_what_is_shown_of_a_place_can_be_opened_and_pasted(tmp_path: Path) -> None:
    uri = "s3://bucket/one?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1"
    remote = Output(uri)
    assert remote.place("report.html") == uri.replace("one?", "one/report.html?")
    local = Output(tmp_path / "what? a sweep")
    assert local.place("report.html") == f"{tmp_path}/what? a sweep/report.html"
    for output in (remote, local, Output("mock:///bucket/sweep")):
        assert shlex.split(f"raysweep resume {output.argument}")[2:] == [output.location]


def test_a_left_over_temporary_file_is_no_result(tmp_path: Path) -> None:
    output = Output(tmp_path)
    output.write("parts/a.arrow", b"1")
    (tmp_path / "parts" / "b.arrow.0123.tmp").write_bytes(b"half")
    (tmp_path / "parts" / "folder.arrow").mkdir()
    assert output.names("parts", ".arrow") == ["parts/a.arrow"]


def test_a_place_that_cannot_be_written_raises_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    output = Output(tmp_path / "file")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        output.write("parts/x", b"1")
    assert output.read("parts/x") is None


@pytest.mark.parametrize(
    "location", ["gopher://x/y", "mock:///", "/", "file:///with space", "", "a\0b"]
)
def test_a_location_that_cannot_be_opened_is_a_mistake(location: str) -> None:
    with pytest.raises(InputError, match=r"give a folder"):
        Output(location)


def test_what_killed_processes_left_half_written_is_removed_once_it_is_old(tmp_path: Path) -> None:
    output = Output(tmp_path)
    output.write("parts/a.arrow", b"1")
    dies = (
        "import os, signal, sys; from raysweep.trials.storage import Output;"
        "sys.addaudithook(lambda event, _: event == 'os.rename' and os.kill(os.getpid(), 9));"
        "Output(sys.argv[1]).write(sys.argv[2], b'half')"
    )
    for name in ("parts/b.arrow", "trials.parquet"):
        died = subprocess.run([sys.executable, "-c", dies, tmp_path, name], check=False)
        assert died.returncode == -signal.SIGKILL
    own = {"parts/a.arrow", "parts/notes.tmp", "parts/b.arrow.0123.tmp"}
    for name in own:
        (tmp_path / name).touch()
    left = files(tmp_path) - own
    assert len(left) == 2
    output.remove_unfinished()
    assert files(tmp_path) == own | left
    two_hours_ago = time.time() - 7200
    for name in own | left:
        os.utime(tmp_path / name, (two_hours_ago, two_hours_ago))
    output.remove_unfinished()
    assert files(tmp_path) == own
