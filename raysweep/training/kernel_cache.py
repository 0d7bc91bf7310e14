"""Compiles the CPU kernel once per machine, in a process of its own.

A process that compiles links the kernel's pieces otherwise than one that loads them from Numba's
cache, and its results differ in the last bit. Processes that only load agree in every bit, so that
nobody trains with what it has compiled itself; and workers that start together do not all compile.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numpy as np
import torch

from raysweep import import_path
from raysweep.models.shape import PairShape
from raysweep.objective import build_loss
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.kernel import pack
from raysweep.training.kernel_engine import KernelEngine

_LOCK_NAME = "raysweep-kernel.lock"
_READY: set[str] = set()


def make_ready(dtype: str) -> None:
    """See that the kernel lies compiled on this machine's disk; at once, if it does.

    The first call on a machine takes about half a minute. Where no process can be started or
    nothing can be stored, the kernel is compiled when it is first used: all the same but for the
    last bit.

    Args:
        dtype: "float32" or "float64".
    """
    if dtype in _READY:
        return
    folder = Path(pack.advance.stats.cache_path)
    mark = folder / f"raysweep-{_machine()}-{dtype}.compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not mark.exists():
            with open(folder / _LOCK_NAME, "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not mark.exists() and _compile_elsewhere(dtype):
                    mark.touch()
    except OSError:
        return
    _READY.add(dtype)


def compile_here(dtype: str) -> None:
    """Call every entry point once, so that Numba compiles it and keeps it on disk.

    Args:
        dtype: "float32" or "float64".
    """
    rows, x = 8, np.zeros((1, 8, 2))
    one, label = np.ones(1), np.arange(rows)[None] % 2
    shape = PairShape(d1=2, d2=2, classes=2, depth_1=1, depth_2=1, width_1=2, width_2=2)
    engine = KernelEngine(
        shape,
        Members(one, one, one, one, one, one, one),
        PackData((x, x), label, (x, x), label, np.zeros(1)),
        TrainSettings(epochs=1, batch_size=rows, dtype=dtype, engine="kernel"),
        build_loss("infonce", {}),
        shape.initial_parameters([0]).to(getattr(torch, dtype)),
    )
    stream = torch.zeros(1, dtype=torch.int64)
    engine.train_epoch(torch.arange(rows, dtype=torch.int32)[None], stream)
    engine.validate()


def _compile_elsewhere(dtype: str) -> bool:
    code = f"from {__name__} import compile_here; compile_here({dtype!r})"
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
    facts = (pack.DIGEST, numba.__version__, llvm.get_host_cpu_name(), features)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
