"""The models as they are given: sequences of layers, in memory or in files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.metrics.between_models.feature_files import layers_of_file
from raysweep.metrics.features import MINIMUM_ROWS, as_table, widened
from raysweep.text import counted

_NARROW = (torch.float16, torch.bfloat16, torch.float32)


@dataclass(frozen=True)
class Model:
    """The features of one model.

    Attributes:
        side: the name of its side.
        name: its own name.
        path: the file that they are in; None where they are in memory.
        layers: tables [n, d], read when they are asked for.
    """

    side: str
    name: str
    path: Path | None
    layers: Sequence[object]

    @property
    def place(self) -> str:
        """What it is called in messages."""
        return f"{self.side}: {self.name}"

    @property
    def rows(self) -> int:
        """How many rows its layers have."""
        return _shape(self.layers[0])[0]

    @property
    def widths(self) -> tuple[int, ...]:
        """How many features its layers have."""
        return tuple(_shape(layer)[1] for layer in self.layers)

    def width(self, index: int) -> int:
        """How many features a layer has; of the one after the last: all layers side by side."""
        widths = self.widths
        return widths[index] if index < len(widths) else sum(widths)

    def layer(self, index: int, rows: slice | None = None) -> Tensor:
        """A layer [n, d], or some of its rows, in the floating dtype that it is stored in."""
        layer = self.layers[index]
        part = layer if rows is None else layer[rows]  # type: ignore[index]
        table = as_table(part, f"{self.place}, layer {index}").cpu()
        if table.dtype in _NARROW:
            return table.resolve_neg().contiguous()
        return widened(table)


def _shape(layer: object) -> tuple[int, ...]:
    return tuple(getattr(layer, "shape", ()))


def models_of(side: str, given: object) -> list[Model]:
    """The models of a side.

    Args:
        side: its name.
        given: name -> model, or a list of models, which are named by their files, or by number.

    Raises:
        InputError: there is none, two have one name, or one has no layers.
    """
    if isinstance(given, Mapping):
        named = [(str(name), value) for name, value in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        named = [(_name_of(value, number), value) for number, value in enumerate(given)]
    else:
        raise InputError(
            f"{side}: expected models, as name -> features or a list, got {type(given).__name__}"
        )
    if not named:
        raise InputError(f"{side}: expected at least one model, got none")
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"{side}: two models are called {name}; name them: {{'one': ..., 'other': ...}}"
            )
    return [_model(side, name, value) for name, value in named]


def _name_of(value: object, number: int) -> str:
    return Path(value).stem if isinstance(value, str | Path) else str(number)


def _model(side: str, name: str, value: object) -> Model:
    place = f"{side}: {name}"
    path = None
    if isinstance(value, str | Path):
        path = Path(value)
        try:
            layers: Sequence[object] = layers_of_file(path)
        except InputError as error:
            raise InputError(f"{place}: {path}: {error}") from error
    elif isinstance(value, list | tuple):
        layers = [_array(layer) for layer in value]
    else:
        layers = layers_of_array(_array(value), place)
    if not layers:
        raise InputError(f"{place}: expected at least one layer, got none")
    model = Model(side, name, path, layers)
    for index, layer in enumerate(layers):
        shape = _shape(layer)
        if len(shape) != 2 or shape[1] == 0:
            raise InputError(
                f"{place}, layer {index}: expected a table [n rows, d features], "
                f"got shape {list(shape)}"
            )
        if shape[0] != model.rows:
            raise InputError(
                f"{place}: layer {index} has {counted(shape[0], 'row')} and layer 0 has "
                f"{model.rows}; expected the same samples in all layers"
            )
    return model


def _array(value: object) -> object:
    """A tensor or an array as it is; tables and nested lists as an array."""
    return value if isinstance(value, Tensor | np.ndarray) else np.asarray(value)


def layers_of_array(array: object, place: str) -> Sequence[object]:
    """The layers of [n, layers, d], or the one layer [n, d]."""
    shape = _shape(array)
    if len(shape) == 3:
        return [array[:, index] for index in range(shape[1])]  # type: ignore[index]
    if len(shape) == 2:
        return [array]
    raise InputError(
        f"{place}: expected features [n rows, layers, d], or a list of layers [n, d], "
        f"got shape {list(shape)}"
    )


def check_rows(models: Sequence[Model]) -> int:
    """The number of rows that all models have.

    Raises:
        InputError: they differ, or are too few.
    """
    first = models[0]
    for model in models:
        if model.rows != first.rows:
            raise InputError(
                f"{model.place} has {counted(model.rows, 'row')} and {first.place} has "
                f"{first.rows}; row i of all models must be the same sample"
            )
    if first.rows < MINIMUM_ROWS:
        raise InputError(f"expected at least {MINIMUM_ROWS} rows (samples), got {first.rows}")
    return first.rows
