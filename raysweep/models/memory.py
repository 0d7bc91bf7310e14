"""How much memory a pack takes while it trains, and whether an error says that it ran out."""

from dataclasses import dataclass

import torch

from raysweep.models.architecture import Architecture
from raysweep.models.shape import MultimodalShape

_BLOCK = 64
"""Batches are padded to register tiles of at most this many columns (float32)."""

_LANES = 16
"""Columns of the vector that the kernel leaves between rows (float32)."""

EPOCH_BYTES = 2**28
"""The torch engine gathers an epoch's rows at once where those of all members take no more, and
steps are not captured."""

VALIDATION_ROWS = 1024
"""Rows of the validation split that the torch engine evaluates at once."""

_GRAPHS = 2
"""What autograd holds while it goes back, by what the forward pass left: measured 1.1 to 1.8."""

_WITHOUT_GRAPH = 4
"""A row that is evaluated takes this part of one that is trained on: measured 2 to 5."""

_MATRICES = 8
"""Samples-by-samples matrices that a loss in torch holds of a member while it is computed."""


@dataclass(frozen=True)
class PackSize:
    """The sizes that decide a pack's memory.

    Attributes:
        shape: of the members.
        members: how many.
        aligned: how many of them have an alignment term.
        datasets: how many distinct datasets they learn from.
        orders: how many distinct batch orders they follow.
        rows: training and validation rows of a dataset.
        batch_size: rows a step.
        itemsize: bytes of a number, 4 for float32.
        alignment_parameters: of one member's alignment loss.
        pairwise: numbers in one samples-by-samples matrix of all members that the alignment loss
            compares at once; 0 for a loss that does not compare all samples with all.
    """

    shape: Architecture
    members: int
    aligned: int
    datasets: int
    orders: int
    rows: tuple[int, int]
    batch_size: int
    itemsize: int = 4
    alignment_parameters: int = 0
    pairwise: int = 0

    @property
    def _parameters(self) -> int:
        return self.shape.parameter_count + self.alignment_parameters

    @property
    def _columns(self) -> int:
        batch = min(self.batch_size, max(self.rows))
        return -(-batch // _BLOCK) * _BLOCK

    @property
    def _features(self) -> int:
        """Features of a sample while it is in a step: inputs, activations, all heads' logits."""
        shape = self.shape
        return sum(shape.inputs) + shape.activations + len(shape.heads) * shape.classes

    def kernel_bytes(self, asked: bool = False) -> int:
        """Peak bytes of the kernel engine, with the data that are stacked for it.

        Args:
            asked: whether the loss is one that the kernel does not compute itself; then every
                aligned member's batch is held at once.
        """
        shape, columns = self.shape, self._columns
        widths = sum(shape.widths)
        inputs = sum(self.rows) * sum(shape.inputs) * self.itemsize
        labels = sum(self.rows) * 4
        # Beside its own data the engine is given those of all datasets stacked, in float64.
        stacked = sum(self.rows) * (sum(shape.inputs) + 1) * 8
        orders = 2 * self.orders * self.rows[0] * 4
        arena = 2 * self._parameters + (self._features + 5 * widths) * (columns + _LANES)
        matrix = columns**2 if self.pairwise else 0
        if asked:
            # A loss in torch holds its intermediate results of all members at once.
            matrix = self.aligned * (arena + 10 * widths * columns) + _MATRICES * self.pairwise
        held = 7 * self.members * self._parameters
        data = self.datasets * (inputs + labels + stacked)
        return data + orders + (held + arena + matrix) * self.itemsize

    def torch_bytes(self) -> int:
        """Peak bytes of the torch engine, with the data that are stacked for it.

        Pairs of modalities are compared one after another, so that one matrix is held at a time.
        """
        shape, columns = self.shape, min(self.batch_size, max(self.rows))
        by_autograd = not isinstance(shape, MultimodalShape)
        if by_autograd and not shape.in_parts:
            columns = max(columns, min(VALIDATION_ROWS, self.rows[1]) // _WITHOUT_GRAPH)
        widths = sum(shape.widths)
        inputs = sum(self.rows) * (sum(shape.inputs) + len(shape.inputs)) * self.itemsize
        labels = sum(self.rows) * 8
        orders = self.orders * self.rows[0] * 4 + 2 * self.members * self.rows[0] * 8
        width = self._features + 4 * widths + 2 * len(shape.heads) * shape.classes
        if by_autograd:
            width += (_GRAPHS - 1) * shape.activations
        batch = self.members * columns * width
        if not by_autograd:
            batch += self.members * self._features * (sum(self._batch_sizes) - columns)
        # Of more than two modalities the gradients of one pair are held beside the sums over all.
        sums = 1 if len(shape.inputs) == 2 else 2
        loss = self.aligned * columns * 12 * sums * widths + _MATRICES * self.pairwise
        held = 9 * self.members * self._parameters
        row = (sum(shape.inputs) + len(shape.inputs)) * self.itemsize + 8
        epoch = self.members * self.rows[0] * row
        return (
            self.datasets * (2 * inputs + labels)
            + orders
            + (epoch if epoch <= EPOCH_BYTES else 0)
            + (held + batch + loss) * self.itemsize
        )

    @property
    def _batch_sizes(self) -> set[int]:
        """Rows that the hand-written passes run on at once: they keep activations of each size."""
        train, validation = self.rows
        whole = {min(self.batch_size, train), min(VALIDATION_ROWS, validation)}
        return {*whole, train % self.batch_size, validation % VALIDATION_ROWS} - {0}


def is_memory_short(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or torch (CPU or CUDA) says that memory ran out.

    So does one that came while such an error was handled: a capture that fails ends in another.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if error.__context__ is not None and is_memory_short(error.__context__):
        return True
    said = ("DefaultCPUAllocator", "out of memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in said)
