"""Compiles the CPU kernel once per machine, in a process of its own.

A process that compiles links the kernel's pieces otherwise than one that loads them from Numba's
cache, and its results differ in the last bit. Processes that only load agree in every bit, so that
nobody trains with what it has compiled itself; and workers that start together do not all compile.
"""

import hashlib
import math
import pickle
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numpy as np
import torch
from numba import from_dtype

from raysweep.folder.file_lock import lock
from raysweep.losses import AlignmentLoss, build_loss
from raysweep.models.shape import MultimodalShape
from raysweep.plugins import import_path
from raysweep.training.engine import KERNEL_LOSSES
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.kernel import pack
from raysweep.training.kernel.routine import DIGEST, Routine
from raysweep.training.kernel_engine import KernelEngine
from raysweep.training.kernel_losses import KernelLoss, routines_of

_LOCK_NAME = "raysweep-kernel.lock"
_STEP = "step"
_READY: set[tuple[str, str]] = set()


def make_ready(dtype: str, *losses: Routine) -> None:
    """See that the kernel lies compiled on this machine's disk; at once, if it does.

    The first call on a machine takes some ten seconds, the first one with another loss a few.
    Where no process can be started or nothing can be stored, the kernel is compiled when it is
    first used: all the same but for the last bit.

    Args:
        dtype: "float32" or "float64".
        losses: what computes the alignment losses that the kernel does.
    """
    needed = [_STEP, *(loss.name for loss in losses)]
    if all((dtype, part) in _READY for part in needed):
        return
    folder = Path(pack.advance.stats.cache_path)
    marks = {part: folder / f"raysweep-{_machine()}-{dtype}-{part}.compiled" for part in needed}

    def missing() -> list[str]:
        return [part for part, mark in marks.items() if not mark.exists()]

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if missing():
            with open(folder / _LOCK_NAME, "a") as file:
                lock(file, math.inf)
                parts = missing()
                remove_unreadable(folder)
                if parts and _compile_elsewhere(dtype, parts):
                    for part in parts:
                        marks[part].touch()
    except OSError:
        return
    _READY.update((dtype, part) for part in needed)


def compiled_engine(
    shape: MultimodalShape,
    members: Members,
    data: PackData,
    settings: TrainSettings,
    loss: AlignmentLoss,
    parameters: torch.Tensor,
) -> KernelEngine:
    """A `KernelEngine`, and what it needs lies compiled."""
    known = None
    if members.strength.any():
        known = KernelLoss.of(loss, shape, settings.batch_size, np.dtype(settings.dtype))
    make_ready(settings.dtype, *([] if known is None else [known.routine]))
    return KernelEngine(shape, members, data, settings, loss, parameters)


def compile_here(dtype: str, *parts: str) -> None:
    """Compile what a step always uses, and some losses, so that Numba keeps them on disk.

    Args:
        dtype: "float32" or "float64".
        parts: names of losses; "step" for what is always used.
    """
    if _STEP in parts:
        _take_a_step(dtype)
    element = from_dtype(np.dtype(dtype))
    pack.load(element)
    for routine in routines_of(*KERNEL_LOSSES):
        if routine.name in parts:
            routine.load(element)


def _take_a_step(dtype: str) -> None:
    """Call every entry point once."""
    rows, x = 8, np.zeros((1, 8, 2))
    one, label = np.ones(1), np.arange(rows)[None] % 2
    shape = MultimodalShape(inputs=(2, 2), classes=2, depths=(1, 1), widths=(2, 2))
    engine = KernelEngine(
        shape,
        Members(one, one, one, one, 0 * one, one, one),
        PackData((x, x), label, (x, x), label, np.zeros(1)),
        TrainSettings(epochs=1, batch_size=rows, dtype=dtype, engine="kernel"),
        build_loss("cka"),
        shape.initial_parameters([0]).to(getattr(torch, dtype)),
    )
    stream = torch.zeros(1, dtype=torch.int64)
    engine.train_epoch(torch.arange(rows, dtype=torch.int32)[None], stream)
    engine.validate()


def remove_unreadable(folder: Path) -> None:
    """Remove the indices of Numba's cache that an earlier version left and that cannot be read.

    Numba unpickles an index before it looks whether the source has changed since: where a class
    that the index names has gone, the function could not be compiled any more.

    Args:
        folder: of the cache.
    """
    for index in folder.glob("*.nbi"):
        with open(index, "rb") as file:
            try:
                pickle.load(file)  # the version of Numba
                pickle.loads(file.read())
            except Exception:
                index.unlink(missing_ok=True)


def _compile_elsewhere(dtype: str, parts: list[str]) -> bool:
    names = ", ".join(map(repr, (dtype, *parts)))
    code = f"from {__name__} import compile_here; compile_here({names})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=import_path.environment(sys.path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def _machine() -> str:
    """Names what the compiled code depends on: its sources, Numba and the processor."""
    features = llvm.get_host_cpu_features().flatten()
    facts = (DIGEST, numba.__version__, llvm.get_host_cpu_name(), features)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
