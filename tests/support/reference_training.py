"""The slow and obvious trainer: one pair, modules, autograd, torch's own AdamW and clipping."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from sklearn.metrics import cohen_kappa_score, f1_score, r2_score
from torch import nn
from torch.nn import functional

from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.trials.tasks import Task


def infonce(h1: torch.Tensor, h2: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """Symmetric InfoNCE of [b, d] as two cross-entropies."""
    cosines = functional.normalize(h1, dim=1) @ functional.normalize(h2, dim=1).T
    target = torch.arange(len(h1))
    forth = functional.cross_entropy(cosines / temperature, target)
    back = functional.cross_entropy(cosines.T / temperature, target)
    return (forth + back) / 2


def unbiased_cka(h1: torch.Tensor, h2: torch.Tensor) -> torch.Tensor:
    """One minus unbiased linear CKA of [b, d], from Gram matrices (Song et al. 2012, eq. 5)."""

    def hsic(k: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        n = len(k)
        k = k - torch.diag(torch.diag(k))
        g = g - torch.diag(torch.diag(g))
        total = (k * g).sum() + k.sum() * g.sum() / ((n - 1) * (n - 2))
        return (total - 2 / (n - 2) * k.sum(0) @ g.sum(0)) / (n * (n - 3))

    # Centring changes nothing but the rounding: deep untrained layers are nearly constant.
    h1, h2 = h1 - h1.mean(0), h2 - h2.mean(0)
    k, g = h1 @ h1.T, h2 @ h2.T
    return 1 - hsic(k, g) / (hsic(k, k) * hsic(g, g)).sqrt()


def cka(h1: torch.Tensor, h2: torch.Tensor) -> torch.Tensor:
    """One minus linear CKA of [b, d], from centred Gram matrices."""
    h1, h2 = h1 - h1.mean(0), h2 - h2.mean(0)
    k, g = h1 @ h1.T, h2 @ h2.T
    return 1 - (k * g).sum() / (k.norm() * g.norm())


LOSSES = {"infonce": infonce, "cka": cka, "unbiased_cka": unbiased_cka}


class Tower(nn.Module):
    """Leaky-ReLU layers, or linear ones, and a linear head."""

    def __init__(
        self, inputs: int, depth: int, width: int, classes: int, linear: bool = False
    ) -> None:
        super().__init__()
        self.linear = linear
        sizes = [inputs] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.activations = []
        for layer in self.hidden:
            x = layer(x) if self.linear else functional.leaky_relu(layer(x), 0.1)
            self.activations.append(x)
        return x, self.head(x)


def linears_of(module: nn.Module) -> list[nn.Linear]:
    """All linear layers in the order of the packed buffer."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def train_tower(
    tower: Tower,
    initial: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    learning_rate: float,
    weight_decay: float,
    clip_norm: float,
    epochs: int,
    batch_size: int,
    order_seed: int,
    after_epoch: Callable[[Tower], None] = lambda tower: None,
) -> Tower:
    """Train an encoder and its head alone, from one member's row of the packed buffer."""
    tower.double()
    at = 0
    for layer in linears_of(tower):
        rows, columns = layer.weight.shape
        block = initial[at : at + rows * (columns + 1)].view(rows, columns + 1)
        layer.weight.data.copy_(block[:, :-1])
        layer.bias.data.copy_(block[:, -1])
        at += block.numel()
    assert at == len(initial)
    optimizer = torch.optim.AdamW(tower.parameters(), lr=learning_rate, weight_decay=weight_decay)
    order = torch.Generator().manual_seed(order_seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=order).split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(tower(x[batch])[1], y[batch]).backward()
            nn.utils.clip_grad_norm_(tower.parameters(), clip_norm)
            optimizer.step()
        after_epoch(tower)
    return tower


class Pair(nn.Module):
    """Two towers and the fused head."""

    def __init__(self, shape: MultimodalShape) -> None:
        super().__init__()
        sizes = zip(shape.inputs, shape.depths, shape.widths, strict=True)
        linear = shape.encoders[0].slope == 1
        self.tower_1, self.tower_2 = (Tower(*size, shape.classes, linear) for size in sizes)
        self.fused = nn.Linear(sum(shape.widths), shape.classes)
        self.double()

    def load(self, flat: torch.Tensor) -> None:
        """Fill the modules from one member's row of the packed buffer."""
        at = 0
        for linear in self.linears():
            rows, columns = linear.weight.shape
            block = flat[at : at + rows * (columns + 1)].view(rows, columns + 1)
            linear.weight.data.copy_(block[:, :-1])
            linear.bias.data.copy_(block[:, -1])
            at += block.numel()
        assert at == len(flat)

    def flat(self, gradient: bool = False) -> torch.Tensor:
        """One row as the packed buffer has it: the parameters, or their gradients."""
        parts = []
        for linear in self.linears():
            weight, bias = linear.weight, linear.bias
            if gradient:
                weight, bias = weight.grad, bias.grad
            parts.append(torch.cat((weight.detach(), bias.detach()[:, None]), dim=1).flatten())
        return torch.cat(parts)

    def linears(self) -> list[nn.Linear]:
        """All linear layers in the order of the packed buffer."""
        return linears_of(self)


@dataclass
class Trained:
    """What one reference run leaves."""

    last: torch.Tensor
    best: torch.Tensor
    best_epoch: int
    gradients: list[torch.Tensor] = field(default_factory=list)
    task_loss: list[float] = field(default_factory=list)
    alignment_loss: list[float] = field(default_factory=list)
    accuracies: list[list[float]] = field(default_factory=list)
    gradient_ratio: float = 0.0


def train_one(
    shape: MultimodalShape,
    members: Members,
    index: int,
    initial: torch.Tensor,
    data: PackData,
    settings: TrainSettings,
    loss: Callable[..., torch.Tensor] = infonce,
    only: int | None = None,
    own: torch.Tensor | None = None,
) -> Trained:
    """Train one member of a pack by itself in float64.

    `only` trains a single tower (1 or 2); `own` are the loss's parameters, which the loss then
    takes as a third argument.
    """
    which = data.dataset[index]
    x1, x2, y = (
        torch.as_tensor(a[which]) for a in (data.x_train[0], data.x_train[1], data.y_train)
    )
    pair = Pair(shape)
    pair.load(initial)
    groups = [list(pair.tower_1.parameters()), list(pair.tower_2.parameters())]
    groups.append(list(pair.fused.parameters()))
    if only is not None:
        groups = [groups[only - 1]]
    learned = [] if own is None else [nn.Parameter(own.clone())]
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [p for group in groups for p in group],
                "weight_decay": float(members.weight_decay[index]),
            },
            {"params": learned, "weight_decay": 0.0},
        ],
        lr=float(members.learning_rate[index]),
    )
    groups.append(learned)
    strength = float(members.strength[index])
    order = torch.Generator().manual_seed(int(members.order_seed[index]))
    run = Trained(initial, initial, -1)
    squares = torch.zeros(2, dtype=torch.float64)
    for epoch in range(settings.epochs):
        task_sum = alignment_sum = 0.0
        permutation = torch.randperm(len(y), generator=order)
        for start in range(0, len(y), settings.batch_size):
            rows = permutation[start : start + settings.batch_size]
            h1, logits_1 = pair.tower_1(x1[rows])
            h2, logits_2 = pair.tower_2(x2[rows])
            there = presence(data, "train", which)[rows]
            both = torch.cat((h1 * there[:, :1], h2 * there[:, 1:]), dim=1)
            fused = pair.fused(both if settings.fusion == "joint" else both.detach())
            told = (there[:, 0], there[:, 1], torch.ones(len(rows), dtype=torch.bool))
            ce_1, ce_2, ce_fused = (
                task_loss(data, logits[of], y[rows][of])
                for logits, of in zip((logits_1, logits_2, fused), told, strict=True)
            )
            complete = there.all(dim=1)
            task = (ce_1, ce_2)[only - 1] if only is not None else ce_1 + ce_2 + ce_fused
            total, alignment = task, torch.zeros((), dtype=torch.float64)
            if strength > 0:
                at = -1 if settings.layer is None else settings.layer - 1
                a1, a2 = pair.tower_1.activations[at], pair.tower_2.activations[at]
                seen = a2[complete]
                seen = seen.roll(1, dims=0) if members.placebo[index] else seen
                alignment = loss(a1[complete], seen, *learned)
                total = task + strength * alignment
            if start == 0 and strength > 0:
                for at, part in enumerate((strength * alignment, task)):
                    grads = torch.autograd.grad(part, (a1, a2), retain_graph=True)
                    squares[at] += sum(g.square().sum() for g in grads)
            optimizer.zero_grad()
            total.backward()
            for group in groups:
                nn.utils.clip_grad_norm_(group, float(members.clip_norm[index]))
            if only is None:
                run.gradients.append(pair.flat(gradient=True))
            optimizer.step()
            task_sum += (ce_1 + ce_2).item() * len(rows)
            alignment_sum += alignment.item() * len(rows)
        run.last = torch.cat([pair.flat(), *(p.detach() for p in learned)])
        run.task_loss.append(task_sum / len(y))
        run.alignment_loss.append(alignment_sum / len(y))
        accuracies = accuracy(pair, data, which)
        if not run.accuracies or accuracies[2] > max(a[2] for a in run.accuracies):
            run.best, run.best_epoch = run.last, epoch
        run.accuracies.append(accuracies)
    if strength > 0:
        run.gradient_ratio = float((squares[0] / squares[1]).sqrt())
    return run


def presence(data: PackData, split: str, which: int) -> torch.Tensor:
    """Which modalities the rows of a dataset have, [n, 2] bool."""
    given = getattr(data, f"present_{split}")
    rows = getattr(data, f"y_{split}").shape[1]
    return torch.ones(rows, 2, dtype=torch.bool) if given is None else torch.tensor(given[which])


def task_loss(data: PackData, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """What a head minimises on [b, outputs]."""
    if data.task is Task.REGRESSION:
        return functional.mse_loss(outputs[:, 0], y)
    if data.task is not Task.CLASSIFICATION:
        return functional.binary_cross_entropy_with_logits(outputs, y)
    return functional.cross_entropy(outputs, y)


def accuracy(pair: Pair, data: PackData, which: int) -> list[float]:
    """Validation accuracies, or R2 of regression, of head 1, head 2 and the fused head."""
    y = torch.as_tensor(data.y_validation[which])
    with torch.no_grad():
        h1, logits_1 = pair.tower_1(torch.as_tensor(data.x_validation[0][which]))
        h2, logits_2 = pair.tower_2(torch.as_tensor(data.x_validation[1][which]))
        there = presence(data, "validation", which)
        fused = pair.fused(torch.cat((h1 * there[:, :1], h2 * there[:, 1:]), dim=1))
    told = (there[:, 0], there[:, 1], torch.ones(len(y), dtype=torch.bool))
    logits = torch.stack((logits_1, logits_2, fused))
    if data.task is Task.REGRESSION:
        return [r2_score(y[of], p[of]) for p, of in zip(logits[:, :, 0], told, strict=True)]
    if data.task is Task.MULTILABEL:
        return [
            f1_score(y[of], p[of] > 0, average="micro") for p, of in zip(logits, told, strict=True)
        ]
    if data.task is Task.ORDINAL:
        return [
            cohen_kappa_score(
                y[of].sum(1), (p[of] > 0).sum(1), labels=range(4), weights="quadratic"
            )
            for p, of in zip(logits, told, strict=True)
        ]
    right = (logits.argmax(2) == y).double()
    return [float(of_head[of].mean()) for of_head, of in zip(right, told, strict=True)]
