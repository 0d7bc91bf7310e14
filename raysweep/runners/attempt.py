"""One attempt at a pack: in pieces where memory is short, and with a time limit."""

import contextlib
import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache

import torch
from threadpoolctl import threadpool_limits

from raysweep.kinds.kind import kind_of
from raysweep.models.memory import is_memory_short
from raysweep.plugins.user_code import make_importable
from raysweep.plugins.user_threads import thread_endings
from raysweep.study.spec import Resources, StudyBase
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row
from raysweep.trials.trial import Trial

_log = logging.getLogger(__name__)

TIMED_OUT_EXIT = 124
_LAST_RESORT_S = 15.0

Execute = Callable[[StudyBase, Pack, str], list[Row]]
Estimate = Callable[[StudyBase, Pack, str], int]
GIGABYTE = 1e9


def attempt(
    study: StudyBase,
    pack: Pack,
    device: str = "cpu",
    pieces: int = 1,
    execute: Execute | None = None,
    estimate: Estimate | None = None,
) -> list[Row]:
    """Run a pack in pieces that fit its memory; where that runs out, halve them and try again.

    Members do not depend on what they are packed with, so pieces change no result beyond the
    rounding of stacked products (about 1e-12 in float64).

    Args:
        study: the study the pack belongs to.
        pack: trials that train together.
        device: a torch device.
        pieces: train the pack in so many pieces from the start, >= 1.
        execute: what runs one piece; by default what the study's kind asks for.
        estimate: peak memory of a piece, in bytes; likewise.

    Returns:
        One row per trial, in the pack's order.

    Raises:
        MemoryError: memory is short even for a single trial.
    """
    kind = kind_of(study)
    execute, estimate = execute or kind.run_pack, estimate or kind.pack_bytes
    rows: list[Row] = []
    left = [pack.trials]
    for _ in range(max(pieces, 1).bit_length() - 1):
        left = [half for piece in left for half in _halves(piece)]
    most = study.resources.memory_per_pack * GIGABYTE
    while len(left[0]) > 1 and estimate(study, Pack(left[0]), device) > most:
        left = [half for piece in left for half in _halves(piece)]
    while left:
        piece = left.pop(0)
        try:
            rows += execute(study, Pack(piece), device)
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_memory_short(error):
                raise
            if len(piece) == 1:
                raise MemoryError(
                    f"memory is short even for one trial at a time ({error}); "
                    f"{kind.short_of_memory}, or use a larger machine"
                ) from error
        # The error's traceback kept the tensors alive until here.
        if device != "cpu":
            torch.cuda.empty_cache()
        left[:0] = _halves(piece)
    return rows


def device_for(study: StudyBase, pack: Pack | None = None) -> str:
    """``cuda`` where the study gives a pack a GPU and torch finds one, else ``cpu``.

    Args:
        study: its ``resources`` say so.
        pack: the pack; None for what the study says of all.
    """
    resources = study.resources if pack is None else resources_of(study, pack)
    if resources.gpus_per_pack <= 0:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    _warn_of_missing_gpu(resources.placed_by[1])
    return "cpu"


def resources_of(study: StudyBase, pack: Pack) -> Resources:
    """What a pack needs; its cells need the same."""
    return study.resources.of(dict(pack.cells[0].parameters))


def use_threads_of(study: StudyBase, pack: Pack) -> None:
    """Have torch use as many threads as the pack has CPUs, in whatever process it runs."""
    threads = _threads(resources_of(study, pack))
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
        threadpool_limits(threads)


def _threads(resources: Resources) -> int:
    return max(1, int(resources.cpus_per_pack))


@cache
def _warn_of_missing_gpu(asked: str) -> None:
    _log.warning(
        "resources.%s asks for a GPU, but torch %s finds none (CUDA build: %s); "
        "packs are trained on the CPU, and the rows say so in their column device",
        asked,
        torch.__version__,
        torch.version.cuda or "no",
    )


@contextlib.contextmanager
def own_threads() -> Iterator[None]:
    """A block after which this process has as many threads as before: it may not be ours alone."""
    of_torch, others = torch.get_num_threads(), threadpool_limits()
    try:
        yield
    finally:
        torch.set_num_threads(of_torch)
        others.restore_original_limits()


def prepare_process(study: StudyBase) -> None:
    """Make this process one that runs packs: its imports, its threads, the CPU kernel compiled.

    Sums are split by threads, so that every process that runs packs must use the same number for
    its results to be equal in every bit. What takes a while, as the kernel does on a machine that
    never ran it, is done here, where it does not count against a pack's time limit.
    """
    make_importable(study.code_folders or ())
    kind_of(study).prepare()
    threads = _threads(study.resources)
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    if study.training is None:
        return
    if study.training.engine != "torch" and device_for(study) == "cpu":
        with contextlib.suppress(ImportError):  # without Numba "auto" trains by torch
            from raysweep.training.kernel_cache import make_ready
            from raysweep.training.kernel_losses import routines_of

            make_ready(study.training.dtype, *routines_of(study.loss))


@contextlib.contextmanager
def time_limit(limit_s: float | None, record: Callable[[str], None]) -> Iterator[None]:
    """End this process if the block takes longer than a limit.

    A hanging computation cannot be interrupted from Python, only its process can be ended; so this
    is for worker processes, whose caller notices that they are gone.

    Args:
        limit_s: the limit in seconds; None for no limit.
        record: called with the reason and the place where the block hangs, before the end.
    """
    if limit_s is None:
        yield
        return
    hanging = threading.get_ident()
    started = time.monotonic()

    def end() -> None:
        frame = sys._current_frames().get(hanging)
        place = "".join(traceback.format_stack(frame)) if frame is not None else ""
        ended = thread_endings()
        with contextlib.suppress(Exception):
            record(
                f"{place}TimeLimit: still running after {time.monotonic() - started:.0f} s "
                f"(the limit is {limit_s:g} s per pack){f'; {ended}' if ended else ''}"
            )
        os._exit(TIMED_OUT_EXIT)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    # A thread of its own in C: ends the process also where native code never gives Python a turn.
    faulthandler.dump_traceback_later(limit_s + _LAST_RESORT_S, exit=True)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def _halves(piece: tuple[Trial, ...]) -> list[tuple[Trial, ...]]:
    middle = (len(piece) + 1) // 2
    return [half for half in (piece[:middle], piece[middle:]) if half]
