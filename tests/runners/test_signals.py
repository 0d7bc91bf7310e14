"""Interruptions that wait for the end of a block."""

import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raysweep.runners.signals import held_back

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def held(work: Callable[[], object]) -> None:
    with held_back():
        work()


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.signal(number, interrupt) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that is interrupted while it loads, after its first part and before its name."""
    name = "interrupted_while_it_loads"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "part.py").write_text(f"import {name} as whole\ndef get(): return whole.value\n")
    (folder / "__init__.py").write_text(
        f"import signal\nfrom {name} import part\n"
        "if not hasattr(signal, 'was_interrupted'):\n"
        "    signal.was_interrupted = True\n    signal.raise_signal(signal.SIGTERM)\n"
        "value = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(signal, "was_interrupted", True, raising=False)
    monkeypatch.delattr(signal, "was_interrupted")
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def test_an_import_is_whole_before_it_is_interrupted(package: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        held(lambda: importlib.import_module(package))
    assert importlib.import_module(package).part.get() == 1


def test_without_it_what_was_cut_short_stays_broken(package: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module(package)
    with pytest.raises(AttributeError, match="value"):
        importlib.import_module(package).part.get()


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_that_came_acts_once_and_the_handlers_are_as_before(number: int) -> None:
    done = []

    def work() -> None:
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGINT)
        done.append(True)

    with pytest.raises(KeyboardInterrupt) as caught:
        held(work)
    assert done
    assert caught.value.args == (number,)
    assert [signal.getsignal(one) for one in NUMBERS] == [interrupt] * 3


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_back():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_error_of_the_block_is_not_lost() -> None:
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError("its own")

    with pytest.raises(KeyboardInterrupt) as caught:
        held(work)
    assert isinstance(caught.value.__context__, ValueError)


def test_in_another_thread_it_does_nothing() -> None:
    seen = []

    def work() -> None:
        with held_back():
            seen.append([signal.getsignal(one) for one in NUMBERS])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[interrupt] * 3]
