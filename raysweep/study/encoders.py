"""The encoders that are built in, and which options of a model grid are whose."""

from raysweep.plugins.options import Option
from raysweep.study.spec.fields import Scalar
from raysweep.study.spec.grids import MLP, ModelGrid

LINEAR = "linear"
CNN = "cnn"
VIT = "vit"
TRANSFORMER = "transformer"
POOLINGS = ("mean", "class", "mean_padded")
NORMS = ("post", "pre")
TRANSFORMER_OPTIONS = (
    Option("heads", 1, "attention heads; they divide the width", low=1, high=1024),
    Option(
        "feedforward",
        None,
        "units of the feed-forward layer of a block; left out: as many as the width",
        kind="int",
        low=1,
        high=65_536,
        optional=True,
    ),
    Option(
        "pooling",
        "mean",
        "what a layer is of a row: the mean of its real tokens, a class token in front of them, or "
        "the mean of all positions with padding, as in the paper (arXiv 2502.16282) on MOSI and "
        "MOSEI",
        choices=POOLINGS,
    ),
    Option(
        "norm",
        "post",
        "LayerNorm behind attention and feed-forward (post) or before them (pre); none at the end",
        choices=NORMS,
    ),
    Option(
        "equal_layers",
        False,
        "whether all blocks start with the same weights, as torch's TransformerEncoder copies them",
    ),
    Option(
        "dropout",
        0.0,
        "probability in training, at attention weights, behind attention, in and behind the "
        "feed-forward",
        low=0.0,
        high=0.9,
    ),
    Option(
        "patches",
        None,
        "tokens that a row of features is cut into, in order; they divide the features; needed "
        "where a modality is no sequence",
        kind="int",
        low=1,
        high=65_536,
        optional=True,
    ),
)
VIT_OPTIONS = (
    Option(
        "patch_size",
        4,
        "pixels along a side of the squares that an image is cut into; it divides both sides",
        low=1,
        high=1024,
    ),
    Option("heads", 1, "attention heads; they divide the width", low=1, high=1024),
    Option(
        "feedforward",
        None,
        "units of the feed-forward layer of a block; left out: four times the width",
        kind="int",
        low=1,
        high=65_536,
        optional=True,
    ),
    Option(
        "pooling",
        "class",
        "what a layer is of an image: a class token, or the mean of its patches",
        choices=("class", "mean"),
    ),
    Option(
        "norm",
        "pre",
        "LayerNorm before attention and feed-forward (pre) or behind them (post); none at the end",
        choices=("pre", "post"),
    ),
    Option("activation", "gelu", "of the feed-forward layer", choices=("gelu", "relu")),
    Option(
        "dropout",
        0.0,
        "probability in training, at attention weights, behind attention, in and behind the "
        "feed-forward",
        low=0.0,
        high=0.9,
    ),
)
CNN_OPTIONS = (
    Option(
        "kernel_size",
        3,
        "pixels along a side of a convolution, an odd number",
        low=1,
        high=15,
    ),
    Option(
        "pool",
        "max",
        "what halves an image behind every block, as long as both sides have 2 pixels: the largest "
        "or the mean of 2 x 2 pixels, or nothing",
        choices=("max", "mean", "none"),
    ),
    Option("dropout", 0.0, "probability in training, behind every block", low=0.0, high=0.9),
)
BUILT_IN: dict[str, tuple[Option, ...]] = {
    MLP: (),
    LINEAR: (),
    CNN: CNN_OPTIONS,
    VIT: VIT_OPTIONS,
    TRANSFORMER: TRANSFORMER_OPTIONS,
}
"""Name -> options of the encoders that a study may name."""


def built_in_options(model: ModelGrid, encoder: str) -> dict[str, Scalar]:
    """Those of a grid's options that are a built-in encoder's; none of a user's own."""
    declared = BUILT_IN.get(encoder, ())
    return {o.name: model.options[o.name] for o in declared if o.name in model.options}


def own_options(model: ModelGrid) -> dict[str, Scalar]:
    """The grid's options for encoders of the user's own: those that no built-in one of it takes."""
    taken = {option.name for name in model.encoder for option in BUILT_IN.get(name, ())}
    return {name: value for name, value in model.options.items() if name not in taken}


def options_of(model: ModelGrid, encoder: str) -> dict[str, Scalar]:
    """The grid's options that one of its encoders takes."""
    return built_in_options(model, encoder) if encoder in BUILT_IN else own_options(model)
