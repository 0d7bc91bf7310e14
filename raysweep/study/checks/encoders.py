"""Checks the encoder of a study file, its options, and that a user's own can be packed."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from raysweep.data.views import Views
from raysweep.errors import InputError
from raysweep.kinds.kind import kind_named
from raysweep.models.cnn import even
from raysweep.models.custom import CustomEncoder, custom_encoder
from raysweep.models.packable import check_packing
from raysweep.models.transformer import Transformer
from raysweep.plugins.options import resolve
from raysweep.plugins.user_code import said, source_of
from raysweep.study.cells import DEFAULT_DEPTH, DEFAULT_WIDTH
from raysweep.study.checks.parts import check_options, pairs_of
from raysweep.study.encoders import (
    BUILT_IN,
    CNN,
    CNN_OPTIONS,
    LINEAR,
    TRANSFORMER,
    TRANSFORMER_OPTIONS,
    VIT,
    VIT_OPTIONS,
    options_of,
    own_options,
)
from raysweep.study.files import file_digest
from raysweep.study.partial import read_partial
from raysweep.study.reader import unknown_name
from raysweep.study.spec import MLP, Alignment, ModelGrid, Training
from raysweep.study.spec.fields import listed
from raysweep.study.yaml_lines import Fault, Location

Scale = tuple[int, int, int]
"""Inputs, depth and width of one encoder."""


def check_encoder(raw: Mapping[str, Any], views: Sequence[Views]) -> list[Fault]:
    """Faults of the encoders and their options; a user's own is tried at every scale of the grid.

    Args:
        raw: the study.
        views: those of each dataset that could be loaded.
    """
    grid = read_partial(ModelGrid, raw.get("model"))
    if grid.part is None or grid.lost("encoder") or grid.lost("options"):
        return []
    model, faults = grid.part, _unknown_options(grid.part)
    several = isinstance(grid.value.get("encoder"), list | tuple)
    for index, name in enumerate(model.encoder):
        at: Location = ("model", "encoder", index) if several else ("model", "encoder")
        if name == TRANSFORMER:
            faults += _check_transformer(raw, model, views, at)
        elif name == VIT:
            faults += _check_vit(raw, model, views, at)
        elif name == CNN:
            faults += _check_cnn(model, views, at)
        elif name in (MLP, LINEAR):
            faults += _on_sequences(name, views, at)
        elif ("model", "encoder") not in kind_named(raw.get("kind")).study.own_code_at:
            continue  # the kind takes no other, as the specification says
        elif ":" not in name:
            own = ", or a function of your own as package.module:function"
            faults.append(Fault(at, unknown_name("encoder", name, list(BUILT_IN)) + own))
        else:
            faults += _on_sequences(name, views, at) or _check_own(raw, model, name, views, at)
    return faults


def _unknown_options(model: ModelGrid) -> list[Fault]:
    """The faults of options that no encoder of the grid takes."""
    if any(name not in BUILT_IN for name in model.encoder):
        return []  # a user's own takes them, or does not
    known = sorted({option.name for name in model.encoder for option in BUILT_IN[name]})
    what = f"option of {listed(model.encoder)}"
    return [
        Fault(
            ("model", "options", key),
            unknown_name(what, key, known) if known else f"unknown {what} {key!r}; it takes none",
        )
        for key in own_options(model)
    ]


def _check_transformer(
    raw: Mapping[str, Any], model: ModelGrid, views: Sequence[Views], at: Location
) -> list[Fault]:
    """The faults of a transformer's options, and of sizes that do not go together."""
    place: Location = ("model", "options")
    given = options_of(model, TRANSFORMER)
    faults = check_options(given, place, f"option of {TRANSFORMER}", TRANSFORMER_OPTIONS)
    if faults:
        return faults
    options: dict[str, Any] = resolve(TRANSFORMER_OPTIONS, given, TRANSFORMER)
    heads, patches = options["heads"], options["patches"]
    features = dict.fromkeys(of for view in views for of in view.features)
    widths = dict.fromkeys(width for pair in pairs_of(raw, "width") for width in pair)
    found: dict[Fault, None] = {}
    for of, width in itertools.product(features, widths):
        for name, message in Transformer.faults(of, width, heads, patches).items():
            found[Fault((*place, name) if name in given else at, message)] = None
    if patches is not None and features and all(of.tokens is not None for of in features):
        message = "all modalities are sequences, so that no row is cut into patches; leave it out"
        found[Fault((*place, "patches"), message)] = None
    return list(found)


def _check_cnn(model: ModelGrid, views: Sequence[Views], at: Location) -> list[Fault]:
    """The faults of a cnn's options, and of data that it does not take."""
    place: Location = ("model", "options")
    given = options_of(model, CNN)
    faults = check_options(given, place, f"option of {CNN}", CNN_OPTIONS)
    size = given.get("kernel_size")
    if isinstance(size, int) and not faults and size % 2 == 0:
        faults.append(Fault((*place, "kernel_size"), even(size)))
    return faults + (_on_sequences(CNN, views, at) or _without_images(CNN, views, at))


def _check_vit(
    raw: Mapping[str, Any], model: ModelGrid, views: Sequence[Views], at: Location
) -> list[Fault]:
    """The faults of a vit's options, of sizes, and of data without images."""
    place: Location = ("model", "options")
    given = options_of(model, VIT)
    faults = check_options(given, place, f"option of {VIT}", VIT_OPTIONS)
    if faults:
        return faults
    options: dict[str, Any] = resolve(VIT_OPTIONS, given, VIT)
    features = dict.fromkeys(of for view in views for of in view.features if of.layout)
    widths = dict.fromkeys(width for pair in pairs_of(raw, "width") for width in pair)
    found: dict[Fault, None] = {}
    for of, width in itertools.product(features, widths):
        sizes = width, options["heads"], None, options["patch_size"]
        for name, message in Transformer.faults(of, *sizes).items():
            found[Fault((*place, name) if name in given else at, message)] = None
    return [*found, *_without_images(VIT, views, at)]


def _without_images(name: str, views: Sequence[Views], at: Location) -> list[Fault]:
    """The fault of an encoder of images on data that have none."""
    for view in views:
        if not any(of.images for of in view.features):
            names = view.names or tuple(f"x{k}" for k in range(1, len(view.inputs) + 1))
            seen = zip(names, view.features, strict=True)
            what = " and ".join(f"{modality} has {of.words}" for modality, of in seen)
            return [
                Fault(
                    at,
                    f"{name} takes images, arrays [n, channels, height, width], and {what}; save "
                    f"gray images [n, h, w] as {names[0]}[:, None], flat ones as "
                    f"{names[0]}.reshape(-1, c, h, w)",
                )
            ]
    return []


def _on_sequences(name: str, views: Sequence[Views], at: Location) -> list[Fault]:
    """The fault of an encoder of rows of features on sequences."""
    for view in views:
        for modality, features in zip(view.names, view.features, strict=False):
            if features.tokens is not None:
                what = "images and rows of features" if name == CNN else "a row of features"
                return [Fault(at, features.refused(name, modality, what))]
    return []


def _check_own(
    raw: Mapping[str, Any], model: ModelGrid, name: str, views: Sequence[Views], at: Location
) -> list[Fault]:
    """The fault of a user's own encoder, which is tried at every scale of the grid."""
    options = own_options(model)
    inputs = dict.fromkeys(tuple(of.columns for of in view.features) for view in views)
    training = read_partial(Training, raw.get("training")).part or Training()
    scales = dict.fromkeys(_scales(raw, tuple(inputs)))
    encoders: list[CustomEncoder] = []
    tried = "imported"
    try:
        # Where data or sizes are faulty there is still the name to be checked.
        for scale in scales or [(1, DEFAULT_DEPTH, DEFAULT_WIDTH)]:
            tried = "called with inputs={}, depth={}, width={}".format(*scale)
            encoders.append(custom_encoder(name, *scale, options))
            if scales:
                check_packing(encoders[-1], getattr(torch, training.dtype))
        file_digest(source_of(name))
    except InputError as error:
        return [Fault(at, str(error))]
    except (Exception, SystemExit) as error:
        # A user's own code may raise anything.
        return [Fault(at, f"encoder {name}, {tried}: {said(error, name)}")]
    return _check_layer(raw.get("alignment"), encoders) if scales else []


def _scales(raw: Mapping[str, Any], inputs: Sequence[tuple[int, ...]]) -> Iterator[Scale]:
    """The scale of every encoder of the grid."""
    depths, widths = pairs_of(raw, "depth"), pairs_of(raw, "width")
    for (first, *others), depth, width in itertools.product(inputs, depths, widths):
        yield first, depth[0], width[0]
        yield from ((d, depth[1], width[1]) for d in others)


def _check_layer(alignment: object, encoders: Sequence[CustomEncoder]) -> list[Fault]:
    """The fault of aligning a hidden layer that an encoder does not show, or does not train."""
    layer = (read_partial(Alignment, alignment).part or Alignment()).layer
    if layer == "last":
        return []
    if all(layer <= encoder.layers for encoder in encoders):
        if all(layer not in encoder.untrained_layers for encoder in encoders):
            return []
        message = (
            f"hidden layer {layer} of {encoders[0].place} has frozen parameters alone, so that "
            "nothing could be forced there; give last, or a later layer"
        )
        return [Fault(("alignment", "layer"), message)]
    message = (
        f"there is no hidden layer {layer}: the module of {encoders[0].place} returns its "
        "representation alone; give last, or let it return a list of its hidden layers"
    )
    return [Fault(("alignment", "layer"), message)]
