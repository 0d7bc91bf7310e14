"""One driver at a time where there are no locks: leases in a store, here one in memory."""

import json
import threading
import time
from pathlib import Path

import pytest

from raysweep.errors import InputError
from raysweep.folder import lock
from raysweep.folder.lock import LEASES, find_driver, only_driver
from raysweep.trials.storage import Output

GONE = {"host": "elsewhere", "process": 7, "machine": "another", "started": "1", "renewed": 3}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.setattr(lock, "RENEW_S", 0.2)
    monkeypatch.setattr(lock, "PATIENCE_S", 2.0)
    monkeypatch.setattr(lock, "_LOOK_EVERY_S", 0.05)
    return Output("mock:///bucket/sweep")


def leases(output: Output) -> list[str]:
    return output.names(LEASES, ".json")


def test_a_lease_keeps_others_out_until_it_is_given_back(store: Output) -> None:
    assert find_driver(store) is None
    with only_driver(store):
        found = find_driver(store)
        assert found is not None
        assert found.name.startswith("host ")
        time.sleep(0.5)
        later = find_driver(store)
        assert later is not None
        assert later == found  # since when it runs does not change as the lease is renewed
        told: list[str] = []
        with pytest.raises(InputError, match=found.name), only_driver(store, told.append):
            pass
        assert len(told) == 1
        assert found.name in told[0]
        assert len(leases(store)) == 1
    assert find_driver(store) is None
    assert leases(store) == []


def test_a_lease_that_is_not_renewed_is_taken_over(store: Output) -> None:
    store.write(f"{LEASES}/gone.json", json.dumps(GONE).encode())
    began = time.monotonic()
    with only_driver(store):
        assert time.monotonic() - began >= 1.9  # as long as a driver may be silent
        assert len(leases(store)) == 1
        assert f"{LEASES}/gone.json" not in leases(store)


def test_a_process_of_this_machine_that_has_ended_is_not_waited_for(
    store: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 60.0)
    gone = {**GONE, "machine": lock._machine(), "process": 2**22 + 1}
    store.write(f"{LEASES}/gone.json", json.dumps(gone).encode())
    began = time.monotonic()
    with only_driver(store):
        assert time.monotonic() - began < 20


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"[1]", b'{"host": "cut', b"\xff\xfe"])
def test_a_damaged_lease_is_nobodys(store: Output, content: bytes) -> None:
    store.write(f"{LEASES}/odd.json", content)
    with only_driver(store):
        assert len(leases(store)) == 1


def test_of_many_that_come_at_once_never_two_drive(store: Output) -> None:
    driving: list[str] = []
    most: list[int] = []
    drove: list[str] = []
    begin = threading.Barrier(5)

    def drive(name: str) -> None:
        begin.wait()
        for _ in range(6):
            try:
                with only_driver(store):
                    driving.append(name)
                    most.append(len(driving))
                    time.sleep(0.05)
                    driving.remove(name)
                    drove.append(name)
                    return
            except InputError:
                time.sleep(0.1)

    threads = [threading.Thread(target=drive, args=(str(n),)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert drove
    assert max(most) == 1
    assert leases(store) == []


def test_a_store_that_fails_for_a_moment_costs_no_lease(
    store: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    with only_driver(store):
        write = store.write

        def out_of_reach(name: str, content: bytes) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr(store, "write", out_of_reach)
        time.sleep(0.6)
        monkeypatch.setattr(store, "write", write)
        [name] = leases(store)
        before = json.loads(store.read(name) or b"")["renewed"]
        end = time.monotonic() + 20
        while json.loads(store.read(name) or b"")["renewed"] == before:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_folder_has_a_lock_and_no_leases(tmp_path: Path) -> None:
    with only_driver(Output(tmp_path)):
        assert find_driver(Output(tmp_path)) is not None
        with pytest.raises(InputError, match="another driver"), only_driver(Output(tmp_path)):
            pass
    assert [path.name for path in tmp_path.iterdir()] == [".driver"]
