"""What is kept of a model for a metric: on disk, mapped into memory, and found only once."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from raysweep.data.dtypes import Array
from raysweep.data.files.safetensors import Safetensors
from raysweep.data.files.safetensors_writer import written
from raysweep.errors import InputError
from raysweep.metrics.between_models.form import Form
from raysweep.metrics.between_models.given import Model
from raysweep.metrics.features import is_constant, is_finite, normalize_rows
from raysweep.metrics.preprocessing import Preprocessing, rows_at_once
from raysweep.study.files import file_digest

_VERSION = 2
_TENSORS = 4


@dataclass(frozen=True)
class Request:
    """A metric that models are prepared for.

    Attributes:
        metric: its name.
        options: all of its options.
        form: its fast form.
    """

    metric: str
    options: Mapping[str, object]
    form: Form


@dataclass(frozen=True)
class Preparation:
    """All that what is kept of a model depends on, besides its features.

    Attributes:
        preprocessing: done to each layer.
        concatenated: whether all layers side by side are one more layer, the last.
        groups: digest of the groups of rows; empty without any.
    """

    preprocessing: Preprocessing
    concatenated: bool
    groups: str


def prepare(
    model: Model,
    requests: Sequence[Request],
    preparation: Preparation,
    scratch: Path,
    store: bool,
) -> list[dict[str, Array]]:
    """What is kept of a model for some metrics; its layers are read once for all of them.

    Args:
        model: its features.
        requests: the metrics.
        preparation: what else it depends on.
        scratch: a folder for what is not stored.
        store: keep it beside the file of the features, or use what is there.

    Raises:
        InputError: to be stored, and the features are in no file, or beside it nothing can be
            written.
    """
    paths = [_path(model, request, preparation, scratch, store) for request in requests]
    missing = [index for index, (path, _) in enumerate(paths) if not path.is_file()]
    if missing:
        try:
            _write(model, [(requests[i], *paths[i]) for i in missing], preparation)
        except OSError as error:
            raise InputError(
                f"{model.place}: what is kept of it cannot be written into "
                f"{paths[missing[0]][0].parent} ({error.strerror or error})"
            ) from error
    return [_mapped(path) for path, _ in paths]


def _path(
    model: Model, request: Request, preparation: Preparation, scratch: Path, store: bool
) -> tuple[Path, dict[str, str]]:
    """Where what is kept of a model lies, and what its header says."""
    described = {
        "version": _VERSION,
        "metric": request.metric,
        "options": dict(request.options),
        **asdict(preparation),
    }
    if not store:
        whole = json.dumps([model.side, model.name, described], sort_keys=True)
        name = hashlib.sha256(whole.encode()).hexdigest()
        return scratch / f"{name}.safetensors", {}
    if model.path is None or not model.path.is_file():
        raise InputError(
            f"{model.place}: is in memory, and only what is known of a file can be stored; "
            "save the features, or leave out store=True"
        )
    described["features"] = file_digest(model.path)
    text = json.dumps(described, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    name = f"{model.path.name}.{request.metric}.{key}.prepared.safetensors"
    return model.path.with_name(name), {"preparation": text}


def _write(
    model: Model, wanted: Sequence[tuple[Request, Path, dict[str, str]]], preparation: Preparation
) -> None:
    layers = len(model.layers) + preparation.concatenated
    with ExitStack() as stack:
        builders = []
        for request, path, header in wanted:
            writer = stack.enter_context(written(path, header, _TENSORS))
            builders.append(request.form.builder(writer, layers, model.rows))
        for features in prepared_layers(model, preparation):
            for builder in builders:
                builder.add(features)
        for builder in builders:
            builder.finish()


def prepared_layers(model: Model, preparation: Preparation) -> Iterator[Tensor | None]:
    """The layers after preprocessing, [n, d] float64 each; None for what is undefined.

    All layers side by side, where they are one, are those that are finite, each clipped as it is
    by itself; then rows are normalised, if they are.
    """
    threshold = _shared_threshold(model, preparation.preprocessing)
    for index in range(len(model.layers)):
        layer = model.layer(index)
        finite = bool(is_finite(layer[None])[0])
        yield _varying(preparation.preprocessing(layer, threshold)) if finite else None
    if preparation.concatenated:
        yield _side_by_side(model, preparation.preprocessing, threshold)


def _side_by_side(
    model: Model, preprocessing: Preprocessing, threshold: Tensor | None
) -> Tensor | None:
    clipping = Preprocessing(preprocessing.clip_quantile, clip=preprocessing.clip)
    beside = torch.zeros((model.rows, sum(model.widths)), dtype=torch.float64)
    start = 0
    for index, width in enumerate(model.widths):
        layer = model.layer(index)
        if bool(is_finite(layer[None])[0]):
            beside[:, start : start + width] = clipping(layer, threshold)
            start += width
    if start == 0:
        return None
    beside = beside[:, :start]
    return _varying(normalize_rows(beside) if preprocessing.normalize else beside)


def _varying(features: Tensor) -> Tensor | None:
    return None if bool(is_constant(features[None])[0]) else features


def _shared_threshold(model: Model, preprocessing: Preprocessing) -> Tensor | None:
    """`Preprocessing.shared_threshold` of the finite layers, read a few rows at a time."""
    if not preprocessing.shares_threshold:
        return None
    layers = range(len(model.layers))
    finite = [index for index in layers if bool(is_finite(model.layer(index)[None])[0])]
    if not finite:
        return None
    size = rows_at_once(sum(model.widths))
    return preprocessing.shared_threshold(
        [model.layer(index, slice(start, start + size)) for index in finite]
        for start in range(0, model.rows, size)
    )


def _mapped(path: Path) -> dict[str, Array]:
    try:
        file = Safetensors.open(str(path))
        return {name: file.mapped(name) for name in file.names}
    except InputError as error:
        raise InputError(f"{path}: {error}; remove it, and it is made again") from error
