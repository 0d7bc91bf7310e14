"""How much of a row the graph of a forward pass holds, and passes that hold no more than that."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_PART_BYTES = 2**26


def numbers_of_a_row(
    forward: Callable[[Tensor, Tensor], Sequence[Tensor]],
    parameter_count: int,
    rows_of: Callable[[int], Tensor],
) -> int:
    """Numbers of a row that one member's forward pass leaves for the backward pass.

    Args:
        forward: (parameters [1, parameter_count], x [1, n, inputs]) -> layers.
        parameter_count: of a member.
        rows_of: n -> x.
    """
    few, many = (_held(forward, parameter_count, rows_of(rows)) for rows in (4, 12))
    return -(-(many - few) // 8)


def _held(
    forward: Callable[[Tensor, Tensor], Sequence[Tensor]], parameter_count: int, x: Tensor
) -> int:
    parameters = torch.zeros(1, parameter_count, requires_grad=True)
    with _Held() as held, torch.enable_grad():
        hidden = forward(parameters, x)
        numbers = held.numbers
    del hidden  # the graph, until it has been counted
    return numbers


def in_parts(
    layers: Callable[[Tensor], list[Tensor]], x: Tensor, numbers: int, least: int = 1
) -> list[Tensor]:
    """Layers of all rows, computed on a few of them at a time; where no graph is kept.

    Args:
        layers: x [m, b, inputs] -> each [m, b, width].
        x: [m, n, inputs].
        numbers: that a row takes while it is computed, of one member.
        least: rows at a time, at least.
    """
    of_row = len(x) * max(numbers, 1) * x.element_size()
    found = [layers(part) for part in x.split(max(_PART_BYTES // of_row, least), dim=1)]
    return [torch.cat(of_parts, dim=1) for of_parts in zip(*found, strict=True)]


class _Held(TorchDispatchMode):
    """Counts the numbers of the tensors that operations make while it is entered and that live."""

    def __init__(self) -> None:
        super().__init__()
        self._addresses: set[int] = set()
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage(), tensor.itemsize)
        return made

    def _count(self, storage: torch.UntypedStorage, itemsize: int) -> None:
        address, numbers = storage.data_ptr(), storage.nbytes() // itemsize
        if address in self._addresses:
            return  # a view, or written in place
        self._addresses.add(address)
        self.numbers += numbers
        weakref.finalize(storage, self._free, address, numbers)

    def _free(self, address: int, numbers: int) -> None:
        self._addresses.discard(address)
        self.numbers -= numbers
