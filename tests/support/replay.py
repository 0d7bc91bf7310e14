"""CUDA graphs without CUDA: operators recorded and run again by the rules of a capture.

As in a capture, recording changes nothing outside; what waits for the device is refused; numbers of
Python's and the addresses of tensors are part of the recording. As in a graph's memory pool, what a
recording has made for itself is rubbish as soon as anything else may have run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS_BACK = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "repeat_interleave"}
"""Operators that wait for the device: a value, or the size of the result, is needed by the host."""

FROM_HOST = {"lift_fresh"}
"""What `torch.tensor` and an index by a list come down to: numbers copied from the host."""

ASYNCHRONOUS = {"linalg_vector_norm", "linalg_cholesky_ex", "linalg_solve_triangular"}
"""The operators of linear algebra that do not look at a status that the device returns."""


class NotPermitted(RuntimeError):
    """The operation is not permitted when a stream is capturing."""


def refuse(func: torch._ops.OpOverload, arguments: list[object]) -> None:
    """Raise for an operator that a capture does not permit."""
    name = func.overloadpacket.__name__
    solves = "linalg" in name and name not in ASYNCHRONOUS
    masks = name.startswith("index") and any(
        x.dtype == torch.bool for x in arguments[1:2] if isinstance(x, torch.Tensor)
    )
    if name in READS_BACK | FROM_HOST or solves or masks:
        raise NotPermitted(f"{func} is not permitted when a stream is capturing")


def tensors(tree: object) -> list[torch.Tensor]:
    """All tensors in a tree of arguments or results."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def key(tensor: torch.Tensor) -> int:
    """What tensors on the same memory have in common."""
    return tensor.untyped_storage()._cdata


class OnDevice(TorchDispatchMode):
    """Refuses whatever is not permitted in a capture, and tensors that are not on the device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        refuse(func, tree_leaves((args, kwargs)))
        out = func(*args, **(kwargs or {}))
        if any(tensor.device.type != self._device for tensor in tensors((args, kwargs, out))):
            raise NotPermitted(f"{func} has a tensor that is not on the device")
        return out


@dataclass
class Call:
    """An operator with its arguments and the tensors that its results went to."""

    func: torch._ops.OpOverload
    args: tuple[object, ...]
    kwargs: dict[str, object]
    results: list[torch.Tensor]


@dataclass
class Recording(TorchDispatchMode):
    """Records what runs in it and undoes it at the end; a call runs it again."""

    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._made: dict[int, torch.UntypedStorage] = {}
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        refuse(func, tree_leaves((args, kwargs)))
        given = {key(tensor) for tensor in tensors((args, kwargs))}
        for tensor in tensors((args, kwargs)) if func._schema.is_mutable else ():
            self._keep(tensor)
        out = func(*args, **kwargs)
        results = tensors(out)
        self._made |= {key(t): t.untyped_storage() for t in results if key(t) not in given}
        if func._schema.is_mutable or any(key(result) not in given for result in results):
            self.calls.append(Call(func, args, kwargs, results))  # all but views
        return out

    def _keep(self, tensor: torch.Tensor) -> None:
        storage, name = tensor.untyped_storage(), key(tensor)
        if name not in self._made and name not in self._before:
            self._before[name] = storage, storage.clone()

    def __exit__(self, *raised) -> None:
        super().__exit__(*raised)
        for storage, before in self._before.values():
            storage.copy_(before)
        self._spoil()

    def _spoil(self) -> None:
        for storage in self._made.values():
            storage.fill_(0xFF)  # NaN, -1 or true

    def __call__(self) -> None:
        """Run what was recorded, on what now lies in the tensors that it was recorded with."""
        self._spoil()
        with torch.no_grad():
            for call in self.calls:
                found = tensors(call.func(*call.args, **call.kwargs))
                for result, value in zip(call.results, found, strict=True):
                    if key(result) != key(value):
                        result.copy_(value)
        self._spoil()


@dataclass
class Replays:
    """`raysweep.training.captured.Graphs` on the CPU; counts what it was asked for."""

    warm_ups: int = 0
    replayed: int = 0
    recordings: list[Recording] = field(default_factory=list)

    def warm_up(self, step: Callable[[], None]) -> None:
        self.warm_ups += 1
        step()

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        recording = Recording()
        with recording:
            step()
        self.recordings.append(recording)

        def replay() -> None:
            self.replayed += 1
            recording()

        return replay
