"""What a fast form of a metric is: what is kept of a model, and what pairs make of it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from raysweep.data.dtypes import Array
from raysweep.data.files.safetensors_writer import SafetensorsWriter


class Builder(Protocol):
    """Takes in the layers of a model, one after another."""

    def add(self, features: Tensor | None) -> None:
        """The next layer, [n, d] float64; None where it is constant or not finite."""

    def finish(self) -> None:
        """Writes what is left to write."""


class Form(Protocol):
    """A metric for which each model is prepared once.

    What is kept of a model are named arrays, `defined` bool [layers] among them.
    """

    def builder(self, writer: SafetensorsWriter, layers: int, rows: int) -> Builder:
        """Prepares a model of so many layers, into a file."""

    def scores(
        self, lefts: Sequence[Mapping[str, Array]], right: Mapping[str, Array], orders: np.ndarray
    ) -> list[np.ndarray]:
        """Scores of all pairs of layers of some models with one other.

        Args:
            lefts: what is kept of the models of side 1.
            right: what is kept of the model of side 2.
            orders: int64 [p, n], orders of the rows of side 2, the identity first.

        Returns:
            For each model of side 1 float64 [p, l1, l2]; what undefined layers have says nothing.
        """
