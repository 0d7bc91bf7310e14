"""Training steps recorded once and launched as a whole: CUDA graphs.

A packed step is about 90 kernels of a few microseconds each, so that launching them one by one
takes a GPU longer than running them. Rules of a capture: torch's notes on CUDA graphs
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). What a step reads and writes
stays at its address, nothing in it waits for the device, and numbers that change from step to step
are counted on the device, as those of Python are part of the recording.
"""

import contextlib
import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Protocol

import torch

from raysweep.models.memory import is_memory_short

_log = logging.getLogger(__name__)

Step = Callable[[], None]


class Graphs(Protocol):
    """Where a step is recorded: CUDA, or what stands for it in tests."""

    def warm_up(self, step: Step) -> None:
        """Run a step as it is, in the surroundings in which it is going to be captured."""
        ...

    def capture(self, step: Step) -> Step:
        """Record a step without running it.

        Returns:
            What runs it, each time on what then lies in the tensors that it was recorded with.

        Raises:
            RuntimeError: it cannot be recorded; nothing was run.
        """
        ...


class CapturedSteps:
    """Runs the steps of a pack: each kind at first eagerly, then captured, then replayed.

    A kind is a number of rows, and whether the step is an epoch's first, which does more. Every
    call is one training step. Not to be used any further once the members have changed.

    Args:
        graphs: where steps are captured.
    """

    def __init__(self, graphs: Graphs) -> None:
        self._graphs: Graphs | None = graphs
        self._where: dict[int, torch.Tensor] = {}
        self._replays: dict[tuple[int, bool], Step | None] = {}

    def run(
        self, step: Callable[[torch.Tensor, bool], None], where: torch.Tensor, first: bool
    ) -> None:
        """Run a step.

        Args:
            step: the same at every call; is given `where`, always in the same tensor for as many
                rows, and `first`. Not kept, as it knows its engine and the engine these steps: a
                pack's memory would outlive the pack by that circle.
            where: int64 [m, b], which rows are the batch.
            first: whether it is the first step of an epoch.
        """
        if self._graphs is None:
            return step(where, first)
        rows = where.shape[1]
        if rows not in self._where:
            self._where[rows] = torch.empty_like(where, memory_format=torch.contiguous_format)
        bound = partial(step, self._where[rows].copy_(where), first)
        kind = rows, first
        if kind not in self._replays:
            self._graphs.warm_up(bound)
            self._replays[kind] = None
            return None
        replay = self._replays[kind]
        if replay is None:
            try:
                replay = self._replays[kind] = self._graphs.capture(bound)
            except RuntimeError as error:
                if is_memory_short(error):
                    # Half of the pack, captured, is faster than all of it step by step.
                    raise
                _log.warning("a training step cannot be captured, so it runs eagerly: %s", error)
                self._graphs = None
                self._replays.clear()
                return bound()
        return replay()


class CudaGraphs:
    """CUDA graphs of one engine, in a memory pool that they share.

    They may share it, as one runs after the other and none leaves a result in it.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = _side_stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, step: Step) -> None:
        """See `Graphs.warm_up`."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            step()
        here.wait_stream(self._stream)

    def capture(self, step: Step) -> Step:
        """See `Graphs.capture`."""
        graph = torch.cuda.CUDAGraph()
        try:
            # The outer context: where a capture fails, torch.cuda.graph leaves its stream current.
            with (
                torch.cuda.stream(self._stream),
                torch.cuda.graph(graph, pool=self._pool, stream=self._stream),
            ):
                step()
        except torch.OutOfMemoryError:
            raise  # the allocator's own, at which the capture ends
        except RuntimeError as error:
            if not is_memory_short(error):
                _failed.add(self._device)
            # Before torch 2.12 a failed capture goes on for the allocator, which then refuses to
            # empty its cache (pytorch/pytorch#180395); later ones say that none is underway.
            with contextlib.suppress(RuntimeError, AttributeError):
                torch._C._cuda_endAllocateToPool(self._stream.device_index, self._pool)
            raise
        return graph.replay


_failed: set[torch.device] = set()
"""Where a capture has failed: another one would fail, too, and torch up to 2.13 keeps its memory
(pytorch/pytorch#190348)."""


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all packs, as cuBLAS keeps a workspace for each stream that it has ever seen."""
    return torch.cuda.Stream(device)


def graphs_on(device: torch.device) -> Graphs | None:
    """Where steps on a device are captured; None where they are not."""
    if device.type != "cuda" or device in _failed:
        return None
    return CudaGraphs(device)
