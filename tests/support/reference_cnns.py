"""Convolutional encoders as torch has them, one model at a time."""

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional
from torch_tower import TorchTower

from raysweep.models.cnn import Cnn
from raysweep.models.shape import MLP

_POOLS = {"max": nn.MaxPool2d(2), "mean": nn.AvgPool2d(2)}


class TorchCnn(TorchTower):
    """An encoder with its head, of `torch.nn.Conv2d`."""

    def __init__(self, encoder: Cnn, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        sizes = [encoder.images.channels] + [encoder.width] * encoder.depth
        self.blocks = nn.ModuleList(
            nn.Conv2d(a, b, encoder.kernel_size, padding="same") for a, b in pairwise(sizes)
        )
        self.head = nn.Linear(encoder.width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The head's logits [n, classes], by the shortest way."""
        *_, h = self.maps(x)
        return self.head(h.mean(dim=(2, 3)))

    def layers(self, x: Tensor) -> list[Tensor]:
        return [h.mean(dim=(2, 3)) for h in self.maps(x)]

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """What each block gives, [n, width, h, w]."""
        images = self.encoder.images
        h = x.view(-1, images.channels, images.height, images.width)
        for block in self.blocks:
            h = functional.leaky_relu(block(h), 0.1)
            if min(h.shape[2:]) > 1 and self.encoder.pool in _POOLS:
                h = _POOLS[self.encoder.pool](h)
            yield h

    def weights(self) -> list[nn.Parameter]:
        return list(self.blocks.parameters())


class TorchRows(TorchTower):
    """Leaky-ReLU layers on a row of features, or linear ones, with a head."""

    def __init__(self, encoder: MLP, classes: int) -> None:
        super().__init__()
        self.slope, sizes = encoder.slope, [encoder.inputs] + [encoder.width] * encoder.layers
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = nn.Linear(encoder.width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The head's logits [n, classes]."""
        return self.head(self.layers(x)[-1])

    def layers(self, x: Tensor) -> list[Tensor]:
        found = []
        for layer in self.hidden:
            x = layer(x) if self.slope == 1 else functional.leaky_relu(layer(x), self.slope)
            found.append(x)
        return found

    def load(self, flat: Tensor) -> None:
        at = 0
        for layer in (*self.hidden, self.head):
            block = flat[at : at + layer.weight.numel() + layer.bias.numel()]
            at += block.numel()
            block = block.view(len(layer.bias), -1)
            layer.weight.data, layer.bias.data = block[:, :-1].clone(), block[:, -1].clone()

    def flat(self) -> Tensor:
        layers = (*self.hidden, self.head)
        blocks = [functional.pad(x.weight.detach(), (0, 1)) for x in layers]
        for block, layer in zip(blocks, layers, strict=True):
            block[:, -1] = layer.bias.detach()
        return nn.utils.parameters_to_vector(blocks)


def torch_tower(encoder: Cnn | MLP, classes: int) -> TorchTower:
    """Torch's own of an encoder."""
    return (TorchCnn if isinstance(encoder, Cnn) else TorchRows)(encoder, classes)
