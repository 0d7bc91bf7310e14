"""Watches a Ray that is used: where its processes die, its library ends this one without a word."""

import _thread
import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from raysweep.errors import RunnerLost
from raysweep.folder.scratch import remove_own
from raysweep.runners.ray_cluster import ray
from raysweep.text import go_on

_WATCH_S = 0.25
_KNOCK_S = 5.0
_RECONNECT_S = float(os.environ.get("RAY_gcs_rpc_server_reconnect_timeout_s", "60"))  # noqa: SIM112
"""So long Ray itself tries to reach a head node again, before it ends this process."""
_STUCK_S = 3.0


@contextlib.contextmanager
def guarded(place: str) -> Iterator[None]:
    """Interrupt the block where Ray is gone: one that was started here, or one that was joined.

    A block that cannot be interrupted, as Ray's library waits in it for a head node, is ended with
    its process, as that library would, but not without a word.

    Args:
        place: the output folder, as a user writes it.

    Only in the main thread: elsewhere the block runs unwatched.

    Raises:
        RunnerLost: one of its processes died, or the head node stays silent for nearly as long as
            Ray waits for it.
    """
    if threading.current_thread() is not threading.main_thread():
        # No other thread can be interrupted, and the main one has other things to do.
        yield
        return
    ended, lost = threading.Event(), list[str]()
    with contextlib.ExitStack() as kept:
        watched = _watched(ray._private.worker._global_node, kept)

        def watch() -> None:
            while not ended.wait(_WATCH_S):
                lost.extend(reason for one in watched if (reason := one()))
                if lost and not ended.is_set():
                    _thread.interrupt_main()
                    if not ended.wait(_STUCK_S):
                        _end_process(f"Ray is gone: {lost[0]}; {go_on(place)}")
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        except KeyboardInterrupt:
            if not lost:
                raise
            raise RunnerLost(f"Ray is gone: {lost[0]}") from None
        finally:
            ended.set()
            thread.join()


def _end_process(last_words: str) -> None:
    os.write(2, f"\n{last_words}\n".encode(errors="backslashreplace"))
    with contextlib.suppress(Exception):  # the words are said; what follows only tidies up
        node = ray._private.worker._global_node
        for info in itertools.chain(*(node.all_processes or {}).values()):
            info.process.kill()
        remove_own()
    os._exit(1)


def _watched(node: Any, kept: contextlib.ExitStack) -> list[Callable[[], str]]:
    """What is asked again and again: each says what is gone, mostly nothing."""
    if node is None:
        return []
    if node.all_processes:
        return [
            _Process(name, info.process)
            for name in ("raylet", "gcs_server")
            for info in node.all_processes.get(name, ())
        ]
    door = kept.enter_context(socket.socket(socket.AF_UNIX))
    try:
        door.connect(node.raylet_socket_name)
    except OSError:
        return [_HeadNode(node.gcs_address)]
    door.setblocking(False)
    return [_Raylet(door), _HeadNode(node.gcs_address)]


class _Process:
    """A process that was started here."""

    def __init__(self, name: str, process: Any) -> None:
        self._name, self._process = name, process

    def __call__(self) -> str:
        ended = self._process.poll() is not None
        return f"its process {self._name} was ended from outside" if ended else ""


class _Raylet:
    """Ray's process on this machine, where the cluster is not ours: it hangs up when it ends."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door

    def __call__(self) -> str:
        try:
            open_still = bool(self._door.recv(1))
        except BlockingIOError:
            open_still = True
        except OSError:
            open_still = False
        return "" if open_still else "its process raylet on this machine has ended"


class _HeadNode:
    """A head node, which may be away for a while, or behind a link that is cut for a while."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._last = self._answered = time.monotonic()

    def __call__(self) -> str:
        now = time.monotonic()
        if now - self._last < _KNOCK_S:
            return ""
        host, _, port = self._address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S):
                self._answered = now
        except OSError:
            pass
        self._last = time.monotonic()
        silent = self._last - self._answered
        if silent < max(_RECONNECT_S - 2 * _KNOCK_S, _KNOCK_S):
            return ""
        return f"the head node {self._address} has not answered for {silent:.0f} s"
