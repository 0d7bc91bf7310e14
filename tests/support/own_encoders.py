"""Encoders as a user would write them, some with faults; named as ``own_encoders:NAME``."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """The built-in encoder, written with torch's own layers."""

    def __init__(self, inputs: int, depth: int, width: int) -> None:
        super().__init__()
        sizes = [inputs] + [width] * depth
        self.layers = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))

    def forward(self, x: Tensor) -> list[Tensor]:
        hidden = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.1)
            hidden.append(x)
        return hidden


def mlp(inputs: int, depth: int, width: int) -> nn.Module:
    return MLP(inputs, depth, width)


def capturable(inputs: int, depth: int, width: int) -> nn.Module:
    module = MLP(inputs, depth, width)
    module.capturable = True
    return module


class Residual(nn.Module):
    def __init__(self, inputs: int, depth: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.norm = nn.LayerNorm(width)  # one for all blocks
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.register_buffer("scale", torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> list[Tensor]:
        h, hidden = self.embed(x), []
        for block in self.blocks:
            h = h + self.scale * torch.tanh(block(self.norm(h)))
            hidden.append(h)
        return hidden


def residual(inputs: int, depth: int, width: int) -> nn.Module:
    return Residual(inputs, depth, width)


def convolution(inputs: int, depth: int, width: int, channels: int = 3) -> nn.Module:
    layers: list[nn.Module] = [nn.Unflatten(1, (1, inputs))]
    for index in range(depth):
        before = channels if index else 1
        layers += [nn.Conv1d(before, channels, 3, padding=1), nn.GroupNorm(1, channels), nn.GELU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * inputs, width))


class Attention(nn.Module):
    def __init__(self, inputs: int, depth: int, width: int) -> None:
        super().__init__()
        self.place = nn.Parameter(0.1 * torch.randn(inputs, width))
        self.embed = nn.Linear(1, width)
        layer = nn.TransformerEncoderLayer(width, 1, 2 * width, dropout=0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.embed(x[..., None]) + self.place).mean(dim=1)


def attention(inputs: int, depth: int, width: int) -> nn.Module:
    return Attention(inputs, depth, width)


class Tied(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.down.weight = self.up.weight
        self.gain = nn.Parameter(torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.down(torch.relu(self.up(self.embed(x))))


def tied(inputs: int, depth: int, width: int) -> nn.Module:
    return Tied(inputs, width)


def known_norm(width: int) -> nn.BatchNorm1d:
    """With statistics as of other data."""
    norm = nn.BatchNorm1d(width)
    norm.running_mean.copy_(torch.linspace(-0.5, 0.5, width))
    norm.running_var.copy_(torch.linspace(0.5, 2.0, width))
    return norm


def frozen_norm(inputs: int, depth: int, width: int) -> nn.Module:
    """Statistics are frozen, scale and shift are trained; dropout is off."""
    return nn.Sequential(
        nn.Linear(inputs, width), known_norm(width).eval(), nn.Tanh(), nn.Dropout(0.5).eval()
    )


class FrozenByTrain(nn.Module):
    """Freezes its norm wherever it is set to train, as fine-tuning code does."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, width), known_norm(width)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.linear(x)))


def frozen_by_train(inputs: int, depth: int, width: int) -> nn.Module:
    return FrozenByTrain(inputs, width)


class FrozenStem(MLP):
    """The first layer is a random projection that is not trained, with a norm that is not."""

    def __init__(self, inputs: int, depth: int, width: int) -> None:
        super().__init__(inputs, depth, width)
        norm = known_norm(width).eval()
        self.layers[0] = nn.Sequential(self.layers[0], norm).requires_grad_(False)


def frozen_stem(inputs: int, depth: int, width: int) -> nn.Module:
    return FrozenStem(inputs, depth, width)


# Faults

NOT_A_FUNCTION = 3


class Calls(nn.Module):
    """A linear layer, and then what it is told."""

    def __init__(self, inputs: int, width: int, then: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.then = then

    def forward(self, x: Tensor) -> object:
        return self.then(self.linear(x))


def swapped(width: int, number: int) -> nn.Module:
    return nn.Linear(number, width)


def a_function(inputs: int, depth: int, width: int) -> object:
    return lambda x: x


def raising(inputs: int, depth: int, width: int) -> nn.Module:
    raise ValueError(f"width {width} is odd to me")


def picky(inputs: int, depth: int, width: int) -> nn.Module:
    if depth * width > 16 or inputs == 40:
        raise ValueError("too many for me")
    return nn.Linear(inputs, width)


def raising_later(inputs: int, depth: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs + 1, width))


def empty(inputs: int, depth: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten())


def lazy(inputs: int, depth: int, width: int) -> nn.Module:
    return nn.LazyLinear(width)


def frozen(inputs: int, depth: int, width: int) -> nn.Module:
    return nn.Linear(inputs, width).requires_grad_(False)


def half_frozen(inputs: int, depth: int, width: int) -> nn.Module:
    module = nn.Sequential(nn.Linear(inputs, width), nn.Linear(width, width))
    module[int(module[0].bias[0] > 0)].requires_grad_(False)
    return module


def detached_stem(inputs: int, depth: int, width: int) -> nn.Module:
    stem = nn.Linear(inputs, width).requires_grad_(False)
    return nn.Sequential(
        stem, nn.Tanh(), nn.Linear(width, width), Calls(width, width, Tensor.detach)
    )


def counting(inputs: int, depth: int, width: int) -> nn.Module:
    module = nn.Linear(inputs, width)
    module.count = nn.Parameter(torch.zeros(1, dtype=torch.int64), requires_grad=False)
    return module


def unseeded(inputs: int, depth: int, width: int) -> nn.Module:
    module = nn.Linear(inputs, width)
    with torch.no_grad():
        module.weight.normal_(generator=unseeded.generator)
    return module


unseeded.generator = torch.Generator()


def same_for_all(inputs: int, depth: int, width: int) -> nn.Module:
    torch.manual_seed(7)
    return nn.Linear(inputs, width)


def random_buffer(inputs: int, depth: int, width: int) -> nn.Module:
    module = nn.Linear(inputs, width)
    module.register_buffer("noise", torch.randn(width))
    return module


def dropout(inputs: int, depth: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.Dropout(0.1))


def batch_norm(inputs: int, depth: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width))


def batch_statistics(inputs: int, depth: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width, track_running_stats=False))


def too_wide(inputs: int, depth: int, width: int) -> nn.Module:
    return nn.Linear(inputs, width + 1)


def too_many(inputs: int, depth: int, width: int) -> nn.Module:
    return Calls(inputs, width, lambda h: [h] * (depth + 1))


def a_mapping(inputs: int, depth: int, width: int) -> nn.Module:
    return Calls(inputs, width, lambda h: {"h": h})


def detached(inputs: int, depth: int, width: int) -> nn.Module:
    return Calls(inputs, width, lambda h: h.detach())


def branching(inputs: int, depth: int, width: int) -> nn.Module:
    class Branching(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (1 if self.bias.sum().item() > 0 else -1)

    return Branching(inputs, width)


def copying(inputs: int, depth: int, width: int) -> nn.Module:
    """Returns copies of its hidden layers, and goes on from the layers."""

    class Copies(MLP):
        def forward(self, x: Tensor) -> list[Tensor]:
            *below, top = super().forward(x)
            return [*(h.clone() for h in below), top]

    return Copies(inputs, depth, width)


class Silent(nn.Module):
    """An encoder none of whose units ever fires."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, width)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.relu(self.layer(x) * 0.0 - 1.0)]


def silent(inputs: int, depth: int, width: int) -> nn.Module:
    return Silent(inputs, width)
