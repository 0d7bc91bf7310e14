"""Two small CNNs, each on a half of handwritten digits, and a head on both."""

import torch
from sklearn.datasets import load_digits
from torch import nn


def halves(draw: int) -> dict[str, tuple[torch.Tensor, ...]]:
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(draw))
    x = torch.tensor(digits.images[:, None] / 16).float()[order]
    y = torch.tensor(digits.target)[order]
    splits = {"train": slice(0, 256), "validation": slice(256, 768), "test": slice(768, None)}
    return {name: (x[rows, :, :, :4], x[rows, :, :, 4:], y[rows]) for name, rows in splits.items()}


def cnn() -> nn.Module:
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8 * 4, 32)
    return nn.Sequential(*layers)


def run(seed: int = 0, epochs: int = 8) -> dict[str, float]:
    torch.manual_seed(seed)
    data = halves(draw=0)
    left, right, head = cnn(), cnn(), nn.Linear(64, 10)
    parameters = [*left.parameters(), *right.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.003)
    x1, x2, y = data["train"]
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(64):
            h1, h2 = left(x1[rows]), right(x2[rows])
            loss = nn.functional.cross_entropy(head(torch.cat([h1, h2], dim=1)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    metrics = {}
    for split in ("validation", "test"):
        x1, x2, y = data[split]
        with torch.no_grad():
            h1, h2 = left(x1), right(x2)
            guessed = head(torch.cat([h1, h2], dim=1)).argmax(dim=1)
        metrics[f"performance_{split}"] = (guessed == y).float().mean().item()
    return metrics
