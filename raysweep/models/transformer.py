"""A transformer for all members of a pack at once, written as products over stacked weights.

Activations are [m, rows, width]: the positions of all samples of a batch one after another. Only
attention sees samples; everything else is one product over all of a member's positions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, relu, scaled_dot_product_attention

from raysweep.data.images import Images
from raysweep.data.views import Features
from raysweep.errors import InputError
from raysweep.models.dropout import Dropout
from raysweep.models.held import in_parts, numbers_of_a_row
from raysweep.models.trimmed import GROUPS, Batch, Group, joined, parted

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": relu, "gelu": gelu}

_ATTENTION, _ATTENDED, _FED, _FORWARDED = range(4)
_PLACES = 4
"""Where a block has dropout."""


@dataclass(frozen=True)
class Transformer:
    """An `Encoder` of blocks of attention and feed-forward (Vaswani et al., 2017).

    A linear projection of every token, learned positions and, with ``pooling`` class, a learned
    token in front; then the blocks. What a block gives of a sample, pooled, is one of the layers. A
    sample without any token gives 0 in all layers, or with a class token what that one gives alone.

    Attributes:
        features: of the modality.
        depth: blocks.
        width: features of a token within.
        heads: of attention; they divide the width.
        feedforward: units of the feed-forward layer of a block; None for the width.
        pooling: ``mean`` over real tokens, ``class``, or ``mean_padded`` over all positions.
        norm: LayerNorm behind attention and feed-forward, ``post``, or before them, ``pre``.
        equal_layers: whether all blocks start with the same weights.
        dropout: probability in training.
        patches: tokens that a row of features is cut into where the modality is no sequence.
        patch_size: pixels along a side of the squares that images are cut into, which are the
            tokens then, line by line (Dosovitskiy et al., 2021); None for no images.
        activation: of the feed-forward layer, ``relu`` or ``gelu``.
    """

    features: Features
    depth: int
    width: int
    heads: int = 1
    feedforward: int | None = None
    pooling: str = "mean"
    norm: str = "post"
    equal_layers: bool = False
    dropout: float = 0.0
    patches: int | None = None
    patch_size: int | None = None
    activation: str = "relu"

    def __post_init__(self) -> None:
        sizes = self.width, self.heads, self.patches, self.patch_size
        faults = self.faults(self.features, *sizes)
        if faults:
            raise InputError(f"transformer: {'; '.join(faults.values())}")

    @staticmethod
    def faults(
        features: Features,
        width: int,
        heads: int,
        patches: int | None,
        patch_size: int | None = None,
    ) -> dict[str, str]:
        """What does not go together, by the name of the option that would have to change."""
        found = {}
        if width % heads:
            found["heads"] = f"heads is {heads}, which does not divide the width {width}"
        images = features.images
        if images is not None and patch_size is not None:
            sides = images.height, images.width
            if any(side % patch_size for side in sides):
                divisors = [
                    str(p) for p in range(1, min(sides) + 1) if not any(s % p for s in sides)
                ]
                found["patch_size"] = (
                    f"patch_size is {patch_size}, which does not divide both sides of "
                    f"{images.words}; expected one of {', '.join(divisors)}"
                )
        elif features.tokens is None:
            columns = features.columns
            of_images = "; or take encoder vit or cnn" if images else ""
            if patches is None:
                found["patches"] = (
                    f"a modality has {features.words} and no tokens; patches says into how many "
                    f"tokens a row is cut, in order{of_images}"
                )
            elif columns % patches:
                divisors = [str(p) for p in range(1, columns + 1) if not columns % p]
                found["patches"] = (
                    f"patches is {patches}, which does not divide the {features.words} of a "
                    f"modality; expected one of {', '.join(divisors)}"
                )
        return found

    @property
    def inputs(self) -> int:
        """See `Encoder.inputs`."""
        return self.features.columns

    @property
    def layers(self) -> int:
        """See `Encoder.layers`."""
        return self.depth

    @property
    def frozen_columns(self) -> np.ndarray:
        """See `Encoder.frozen_columns`: all is trained."""
        return np.empty(0, dtype=np.int64)

    @property
    def tokens(self) -> int:
        """Tokens of a row, padding included."""
        if self._images is not None and self.patch_size is not None:
            return self._images.height * self._images.width // self.patch_size**2
        return self.features.tokens.count if self.features.tokens else self.patches or 1

    @property
    def _images(self) -> Images | None:
        """Those that are cut into squares."""
        return None if self.patch_size is None else self.features.images

    @property
    def token_features(self) -> int:
        """Features of a token of the input."""
        tokens = self.features.tokens
        return self.inputs // self.tokens if tokens is None else tokens.features

    @cached_property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter, in the order of the flat buffer."""
        d, hidden = self.width, self.feedforward or self.width
        named = {"class": (d,)} if self._leading else {}
        sizes: dict[str, tuple[int, ...]] = {
            "project.weight": (d, self.token_features),
            "project.bias": (d,),
            **named,
            "positions": (self._leading + self.tokens, d),
        }
        for block in range(self.depth):
            of_block: dict[str, tuple[int, ...]] = {
                "in": (3 * d, d),
                "out": (d, d),
                "up": (hidden, d),
                "down": (d, hidden),
            }
            for name, size in of_block.items():
                sizes[f"{block}.{name}.weight"], sizes[f"{block}.{name}.bias"] = size, size[:1]
            for name in ("norm1", "norm2"):
                sizes[f"{block}.{name}.weight"] = sizes[f"{block}.{name}.bias"] = (d,)
        return sizes

    @cached_property
    def parameter_count(self) -> int:
        """See `Encoder.parameter_count`."""
        return sum(int(np.prod(size)) for size in self.sizes.values())

    @cached_property
    def activations(self) -> int:
        """See `Encoder.activations`; of a row of full length."""

        def rows_of(rows: int) -> Tensor:
            # The engine's inputs have a column of ones behind.
            return torch.full((1, rows, self.inputs + 1), float(self.tokens))[:, :, :-1]

        def forward(parameters: Tensor, x: Tensor) -> list[Tensor]:
            keys = torch.zeros(1, dtype=torch.int64)
            return self.forward(parameters, x, keys if self.dropout else None)

        return numbers_of_a_row(forward, self.parameter_count, rows_of)

    @property
    def _leading(self) -> int:
        """Class tokens in front."""
        return int(self.pooling == "class")

    def initial_parameters(self, stream: np.random.Generator) -> np.ndarray:
        """See `Encoder.initial_parameters`; each part is drawn as torch draws it.

        Linear layers as `torch.nn.Linear`, the joint projection of queries, keys and values by
        Xavier's rule, as `torch.nn.MultiheadAttention`, whose biases start at 0; LayerNorm at 1 and
        0; positions and class token normal with sd 1.
        """
        drawn: dict[str, np.ndarray] = {}
        for name, size in self.sizes.items():
            block, _, rest = name.partition(".")
            of_first = f"0.{rest}"
            if self.equal_layers and block.isdecimal() and of_first in drawn:
                drawn[name] = drawn[of_first]
            else:
                drawn[name] = self._drawn(rest or name, size, name, stream)
        return np.concatenate([values.reshape(-1) for values in drawn.values()])

    def _drawn(
        self, part: str, size: tuple[int, ...], name: str, stream: np.random.Generator
    ) -> np.ndarray:
        if name in ("class", "positions"):
            return stream.normal(size=size)
        if part.startswith("norm"):
            return np.full(size, float(part.endswith("weight")))
        if part in ("in.bias", "out.bias"):
            return np.zeros(size)
        inputs = self.sizes[name.replace("bias", "weight")][1]
        bound = (6 / sum(size)) ** 0.5 if part == "in.weight" else inputs**-0.5
        return stream.uniform(-bound, bound, size)

    def forward(self, parameters: Tensor, x: Tensor, keys: Tensor | None = None) -> list[Tensor]:
        """See `StackedEncoder.forward`: the blocks' pooled outputs."""
        blocks = parameters.split([int(np.prod(size)) for size in self.sizes.values()], dim=1)
        weights = {
            name: block.unflatten(1, size)
            for (name, size), block in zip(self.sizes.items(), blocks, strict=True)
        }
        if parameters.requires_grad and torch.is_grad_enabled():
            return [layer.mT for layer in self._layers(weights, x, keys)]
        layers = in_parts(
            lambda part: self._layers(weights, part, keys),
            x,
            self.activations // self.depth,
            GROUPS,
        )
        return [layer.mT for layer in layers]

    def _layers(
        self, weights: Mapping[str, Tensor], x: Tensor, keys: Tensor | None
    ) -> list[Tensor]:
        """The layers, each [m, n, width]."""
        if self._images is not None:
            x = self._squares(x, self._images)
        batch = Batch.of(x, self.tokens, self.features.tokens is not None, self.pooling)
        drop = Dropout(self.dropout, keys) if keys is not None and self.dropout else None
        h = self._embedded(weights, batch)
        layers = []
        for block in range(self.depth):
            h = _Block(self, weights, block, batch, drop)(h)
            layers.append(batch.pooled(h, self.pooling))
        return layers

    def _squares(self, x: Tensor, images: Images) -> Tensor:
        """Rows [m, n, inputs] with the pixels of a square beside each other."""
        side = self.patch_size or 1
        lines, columns = images.height // side, images.width // side
        pixels = x.unflatten(2, (images.channels, lines, side, columns, side))
        return pixels.permute(0, 1, 3, 5, 2, 4, 6).flatten(2)

    def _embedded(self, weights: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The positions of all groups, [m, rows, width]."""
        z = _linear(weights, "project", joined([g.x.flatten(1, 2) for g in batch.groups]))
        parts = parted(z, [group.count * group.tokens for group in batch.groups])
        placed = []
        for group, part in zip(batch.groups, parts, strict=True):
            own = part.unflatten(1, (group.count, group.tokens))
            if self._leading:
                first = weights["class"][:, None, None].expand(-1, group.count, 1, -1)
                own = torch.cat((first, own), dim=2)
            placed.append((own + weights["positions"][:, None, : group.length]).flatten(1, 2))
        return joined(placed)


@dataclass(frozen=True)
class _Block:
    """One block of all members.

    Attributes:
        encoder: whose it is.
        weights: of all blocks.
        number: from 0.
        batch: what it runs on.
        drop: dropout of this step; None for none.
    """

    encoder: Transformer
    weights: Mapping[str, Tensor]
    number: int
    batch: Batch
    drop: Dropout | None

    def __call__(self, h: Tensor) -> Tensor:
        """Positions [m, rows, width] -> the same, one block further."""
        if self.encoder.norm == "pre":
            h = h + self._attended(self._normed("norm1", h))
            return h + self._fed(self._normed("norm2", h))
        h = self._normed("norm1", h + self._attended(h))
        return self._normed("norm2", h + self._fed(h))

    def _normed(self, name: str, h: Tensor) -> Tensor:
        weight, bias = (self.weights[f"{self.number}.{name}.{of}"] for of in ("weight", "bias"))
        return torch.addcmul(bias[:, None], layer_norm(h, h.shape[-1:]), weight[:, None])

    def _linear(self, name: str, h: Tensor) -> Tensor:
        return _linear(self.weights, f"{self.number}.{name}", h)

    def _attended(self, h: Tensor) -> Tensor:
        heads, batch = self.encoder.heads, self.batch
        found = []
        for group, own in zip(batch.groups, batch.parts(self._linear("in", h)), strict=True):
            # Each [m * count, heads, length, width / heads].
            q, k, v = (
                part.reshape(-1, group.length, heads, h.shape[-1] // heads).transpose(1, 2)
                for part in own.split(h.shape[-1], dim=2)
            )
            if self.drop is None:
                seen = _attention(q, k, v, group.bias)
            else:
                seen = self._dropped_attention(q, k, v, group)
            found.append(seen.transpose(1, 2).reshape(len(h), -1, h.shape[-1]))
        return self._dropped(self._linear("out", joined(found)), _ATTENDED)

    def _dropped_attention(self, q: Tensor, k: Tensor, v: Tensor, group: Group) -> Tensor:
        assert self.drop is not None
        scores = q @ k.mT * q.shape[-1] ** -0.5
        weights = (scores if group.bias is None else scores + group.bias).softmax(dim=-1)
        members = weights.unflatten(0, (-1, group.count))
        dropped = self.drop(members, self.number * _PLACES + _ATTENTION, group.rows)
        return dropped.flatten(0, 1) @ v

    def _fed(self, h: Tensor) -> Tensor:
        bent = _ACTIVATIONS[self.encoder.activation](self._linear("up", h))
        up = self._dropped(bent, _FED)
        return self._dropped(self._linear("down", up), _FORWARDED)

    def _dropped(self, h: Tensor, place: int) -> Tensor:
        if self.drop is None:
            return h
        return self.drop(h, self.number * _PLACES + place, self.batch.positions)


def _attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    if bias is not None:
        bias = bias.expand(-1, 1, q.shape[-2], -1)
    return scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _linear(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return torch.baddbmm(weights[f"{name}.bias"][:, None], x, weights[f"{name}.weight"].mT)
