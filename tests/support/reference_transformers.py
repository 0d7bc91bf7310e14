"""Transformers as torch has them, one model at a time, trained by the plain loop."""

from collections.abc import Callable

import torch
from reference_training import infonce
from torch import Tensor, nn
from torch.nn import functional
from torch_tower import TorchTower

from raysweep.models.stacked import StackedEncoders
from raysweep.models.transformer import Transformer
from raysweep.training.inputs import Members, PackData


class TorchTransformer(TorchTower):
    """An encoder with its head, around `torch.nn.TransformerEncoder`."""

    def __init__(self, encoder: Transformer, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder, d = encoder, encoder.width
        images, side = encoder.features.images, encoder.patch_size
        self.project = nn.Linear(encoder.token_features, d)
        if side is not None:
            self.project = nn.Conv2d(images.channels, d, side, stride=side)
        leading = encoder.pooling == "class"
        if leading:
            self.first = nn.Parameter(torch.randn(d))
        self.positions = nn.Parameter(torch.randn(encoder.tokens + leading, d))
        block = nn.TransformerEncoderLayer(
            d,
            encoder.heads,
            encoder.feedforward or d,
            dropout=dropout,
            activation=encoder.activation,
            batch_first=True,
            norm_first=encoder.norm == "pre",
        )
        self.blocks = nn.TransformerEncoder(block, encoder.depth, enable_nested_tensor=False)
        self.head = nn.Linear(d, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The head's logits [n, classes], by the shortest way; every row has a token."""
        h, padding, lengths = self.embedded(x)
        h = self.blocks(h, src_key_padding_mask=padding if padding.any() else None)
        if self.encoder.pooling == "mean":
            h = h.masked_fill(padding[:, :, None], 0.0).sum(dim=1) / lengths[:, None]
        else:
            h = h[:, 0] if self.encoder.pooling == "class" else h.mean(dim=1)
        return self.head(h)

    def layers(self, x: Tensor) -> list[Tensor]:
        """What each block gives of rows [n, inputs], pooled sample by sample: [n, width]."""
        h, padding, lengths = self.embedded(x)
        found = []
        for block in self.blocks.layers:
            h = block(h, src_key_padding_mask=padding)
            found.append(self.pooled(h, lengths))
        return found

    def embedded(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What goes into the first block, which positions are padding, and the lengths."""
        encoder, count = self.encoder, self.encoder.tokens
        lengths = torch.full((len(x),), count)
        if encoder.features.tokens is not None:
            x, lengths = x[:, :-1], x[:, -1].long()
        padding = torch.arange(count) >= lengths[:, None]
        if encoder.pooling != "class":
            # torch has no number for a sample that may attend to nothing; it is set to 0 later.
            padding = padding & (lengths > 0)[:, None]
        if encoder.patch_size is None:
            h = self.project(x.unflatten(1, (count, -1)))
        else:
            of = encoder.features.images
            h = self.project(x.view(-1, of.channels, of.height, of.width)).flatten(2).mT
        if encoder.pooling == "class":
            h = torch.cat((self.first.expand(len(h), 1, -1), h), dim=1)
            padding = functional.pad(padding, (1, 0), value=False)
        return h + self.positions, padding, lengths

    def pooled(self, h: Tensor, lengths: Tensor) -> Tensor:
        if self.encoder.pooling == "class":
            return h[:, 0]
        own = []
        for sample, length in zip(h, lengths.tolist(), strict=True):
            kept = sample if self.encoder.pooling == "mean_padded" else sample[:length]
            own.append(kept.mean(dim=0) if length else sample[0] * 0)
        return torch.stack(own)

    def load(self, flat: Tensor) -> None:
        named = dict(zip(self.encoder.sizes, self.weights(), strict=True))
        shapes = {k: tuple(v.flatten(min(1, v.ndim - 1)).shape) for k, v in named.items()}
        assert shapes == self.encoder.sizes
        super().load(flat)

    def weights(self) -> list[Tensor]:
        first = [self.first] if self.encoder.pooling == "class" else []
        found = [self.project.weight, self.project.bias, *first, self.positions]
        for block in self.blocks.layers:
            attention = block.self_attn
            found += [attention.in_proj_weight, attention.in_proj_bias]
            for part in (attention.out_proj, block.linear1, block.linear2):
                found += [part.weight, part.bias]
            for part in (block.norm1, block.norm2):
                found += [part.weight, part.bias]
        return found


def train_apart(
    shape: StackedEncoders,
    members: Members,
    data: PackData,
    member: int,
    epochs: int,
    batch_size: int,
    tower: Callable[..., TorchTower] = TorchTransformer,
) -> list[Tensor]:
    """Train one member's towers by themselves, from where it begins; each tower's weights.

    Their first layers are pulled together by InfoNCE, as strongly as the member's.

    Args:
        shape: of all members.
        members: of the pack.
        data: of the pack.
        member: which of them.
        epochs: passes.
        batch_size: rows of a step.
        tower: (encoder, classes) -> torch's own.
    """
    initial = shape.initial_parameters(members.init_seed)[member]
    of, strength = data.dataset[member], members.strength[member]
    inputs = [torch.from_numpy(x[of]) for x in data.x_train]
    y = torch.from_numpy(data.y_train[of])
    models, at = [], 0
    for encoder, head in zip(shape.encoders, shape.head_layers, strict=False):
        model = tower(encoder, shape.classes).double().train()
        model.load(initial[at : head.end])
        models.append(model)
        at = head.end
    rate, decay = members.learning_rate[member], members.weight_decay[member]
    optimizers = [
        torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay) for model in models
    ]
    order = torch.Generator().manual_seed(int(members.order_seed[member]))
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=order).split(batch_size):
            layers = [model.layers(x[batch]) for model, x in zip(models, inputs, strict=True)]
            loss = sum(
                functional.cross_entropy(model.head(of[-1]), y[batch])
                for model, of in zip(models, layers, strict=True)
            )
            if strength:
                loss = loss + strength * infonce(layers[0][0], layers[1][0])
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for model, optimizer in zip(models, optimizers, strict=True):
                nn.utils.clip_grad_norm_(model.parameters(), members.clip_norm[member])
                optimizer.step()
    return [model.flat() for model in models]
