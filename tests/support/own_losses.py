"""Losses as a user would write them, most with a fault; named as ``own_losses:NAME``."""

import sys

import torch
from torch import Tensor, nn

_calls = [0]


def distance(h1: Tensor, h2: Tensor, power: float = 2.0) -> Tensor:
    return (h1 - h2).abs().pow(power).mean()


def contrast(h1: Tensor, h2: Tensor, *, same_group: Tensor) -> Tensor:
    logits = (h1 @ h2.T).masked_fill(same_group, -torch.inf)
    return -logits.log_softmax(dim=-1).diagonal().mean()


def packed_contrast(h1: Tensor, h2: Tensor, same_group: Tensor | None = None) -> Tensor:
    assert same_group is not None
    logits = (h1 @ h2.mT).masked_fill(same_group, -torch.inf)
    return -logits.log_softmax(dim=-1).diagonal(dim1=1, dim2=2).mean(dim=1)


def old_option(h1: Tensor, h2: Tensor, same_group: float = 1.0) -> Tensor:
    return same_group * (h1 - h2).square().mean()


def packed(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).square().mean((1, 2))


def hinge(h1: Tensor, h2: Tensor) -> Tensor:
    return torch.relu((h1 - h2).square().mean() - 50)


def undefined(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).mean() * float("nan")


def needs_more_rows_than_features(h1: Tensor, h2: Tensor) -> Tensor:
    return -torch.logdet(torch.cov(h1.T)) + (h1 - h2).square().mean()


class Distance(nn.Module):
    def forward(self, h1: Tensor, h2: Tensor) -> Tensor:
        return (h1 - h2).square().mean()


instance = Distance()


def mixed(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).square().mean().expand(len(h1)) * 1.0


def text(h1: Tensor, h2: Tensor) -> object:
    return "0.5"


def nothing(h1: Tensor, h2: Tensor) -> object:
    sys.stdout.write(str(h1))
    return None


def array(h1: Tensor, h2: Tensor) -> object:
    return (h1 - h2).detach().square().mean().numpy()


def number(h1: Tensor, h2: Tensor) -> object:
    return (h1 - h2).square().mean().item()


def whole(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 > h2).sum()


def complex_number(h1: Tensor, h2: Tensor) -> Tensor:
    return torch.complex(h1, h2).mean()


def rows(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).square().mean(1)


def detached(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).detach().square().mean()


def infinite(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).square().mean() / 0.0


def flat(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).round().abs().mean()


def random(h1: Tensor, h2: Tensor) -> Tensor:
    return (torch.randn_like(h1) * h1 - h2).square().mean()


def counting(h1: Tensor, h2: Tensor) -> Tensor:
    _calls[0] += 1
    return _calls[0] * (h1 - h2).square().mean()


def raising(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).square().mean(7)


def ending(h1: Tensor, h2: Tensor) -> Tensor:
    raise SystemExit("enough")


def one_sided(h1: Tensor) -> Tensor:
    return h1.mean()
