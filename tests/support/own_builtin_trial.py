"""The built-in encoder of a forcing study, trained by a user's own plain PyTorch."""

import torch
from torch import nn

import raysweep
from raysweep.data.registry import load

DATA = {"U": 4, "train": 256, "validation": 128, "test": 512}
TRAINING = {"epochs": 25, "batch_size": 64, "learning_rate": 0.01, "checkpoint": "last"}
WIDTH = 12


class Tower(nn.Module):
    """A hidden layer with leaky ReLU, and a linear head on it."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = nn.functional.leaky_relu(self.hidden(x), 0.1)
        return h, self.head(h)


def run(trial: raysweep.TrialContext) -> dict[str, float]:
    """Both towers on their own labels, a probe on both, AdamW and clipping, as in the guide."""
    views = load("synthetic", DATA, trial.draw)
    x1, x2 = (torch.as_tensor(x, dtype=torch.float32) for x in views.inputs)
    y = torch.as_tensor(views.y)
    towers = [Tower(x.shape[1], views.classes) for x in (x1, x2)]
    probe = nn.Linear(2 * WIDTH, views.classes)
    groups = [list(module.parameters()) for module in (*towers, probe)]
    weights = [p for group in groups for p in group]
    optimizer = torch.optim.AdamW(weights, lr=TRAINING["learning_rate"], weight_decay=0.01)

    def outputs(rows: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        (h1, own_1), (h2, own_2) = towers[0](x1[rows]), towers[1](x2[rows])
        fused = probe(torch.cat([h1, h2], dim=1).detach())
        return [h1, h2], [own_1, own_2, fused]

    train = torch.as_tensor(views.splits.train)
    for epoch in range(1, TRAINING["epochs"] + 1):
        for rows in train[torch.randperm(len(train))].split(TRAINING["batch_size"]):
            hs, logits = outputs(rows)
            task = sum(nn.functional.cross_entropy(of, y[rows]) for of in logits)
            optimizer.zero_grad()
            (task + trial.penalty(*hs)).backward()
            for group in groups:
                nn.utils.clip_grad_norm_(group, 8.0)
            optimizer.step()
        trial.log(epoch, task=task)
    found = {}
    for split in ("validation", "test"):
        rows = torch.as_tensor(getattr(views.splits, split))
        with torch.no_grad():
            hs, logits = outputs(rows)
        trial.measure(split, *hs)
        right = (logits[-1].argmax(dim=1) == y[rows]).double().mean()
        found[f"performance_fused_{split}"] = right.item()
    return found
