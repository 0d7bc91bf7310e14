"""Two cells of the headline study trained again in plain PyTorch, without our training code.

    python tests/benchmarks/bench_plain_pytorch.py [draws]        (by default all 12)

`nn.Linear`, `torch.optim.AdamW`, autograd, one model at a time, with weights and batches of its
own; only the data are ours. Strength and rates are those that the search of `forcing` chose, the
draws those it confirmed. Effects are `forced` minus `none` in points of the fused accuracy,
expected over all inputs, with 95 % t intervals over draws; beside them those of the study's table.
"""

import copy
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from raysweep.data.registry import load
from raysweep.data.views import JointInputs, Views
from raysweep_analysis.examples import TUNED
from raysweep_analysis.load import load_trials

OUTCOME = "performance_fused_population"
TEMPERATURE = 0.07
BATCH = 128
LARGEST_NORM = 8.0


class Fused(nn.Module):
    """Two encoders of one hidden layer, a head on each, and one on both."""

    def __init__(self, inputs: tuple[int, int], width: int, classes: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            nn.Sequential(nn.Linear(d, width), nn.LeakyReLU(0.1)) for d in inputs
        )
        self.heads = nn.ModuleList(nn.Linear(width, classes) for _ in inputs)
        self.fused = nn.Linear(2 * width, classes)

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Representations of both, and logits of all three heads."""
        h = [encoder(x) for encoder, x in zip(self.encoders, (x1, x2), strict=True)]
        alone = [head(x) for head, x in zip(self.heads, h, strict=True)]
        return h, [*alone, self.fused(torch.cat(h, dim=1))]


def infonce(h1: Tensor, h2: Tensor) -> Tensor:
    """Each sample finds its pair in the batch by cosine, in both directions."""
    similar = functional.normalize(h1) @ functional.normalize(h2).T / TEMPERATURE
    own = torch.arange(len(h1))
    both = functional.cross_entropy(similar, own) + functional.cross_entropy(similar.T, own)
    return both / 2


@dataclass(frozen=True)
class Rates:
    """How an arm is trained."""

    strength: float
    learning_rate: float
    weight_decay: float
    epochs: int


def accuracy(model: Fused, views: Views, rows: np.ndarray) -> float:
    """Of the fused head, on some rows."""
    x1, x2 = (torch.as_tensor(x[rows], dtype=torch.float32) for x in views.inputs)
    found = model(x1, x2)[1][-1].argmax(dim=1)
    return float((found == torch.as_tensor(views.y[rows])).float().mean())


def expected(model: Fused, views: Views) -> float:
    """Accuracy of the fused head over all inputs, by their probabilities."""
    assert views.population is not None
    joint = views.population.joint
    assert isinstance(joint, JointInputs)
    x1, x2 = (
        torch.as_tensor(x[pair], dtype=torch.float32)
        for x, pair in zip(views.population.inputs, joint.pairs, strict=True)
    )
    said = model(x1, x2)[1][-1].argmax(dim=1).numpy()
    return float((joint.weight * joint.conditional[np.arange(len(said)), said]).sum())


def trained(views: Views, width: int, rates: Rates, seed: int) -> float:
    """Expected accuracy of a model at the epoch that is best on validation."""
    torch.manual_seed(seed)
    model = Fused((views.inputs[0].shape[1], views.inputs[1].shape[1]), width, views.classes)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rates.learning_rate, weight_decay=rates.weight_decay
    )
    rows = views.splits.train
    x1, x2 = (torch.as_tensor(x[rows], dtype=torch.float32) for x in views.inputs)
    y = torch.as_tensor(views.y[rows])
    best, kept = -1.0, model
    for _ in range(rates.epochs):
        for batch in torch.randperm(len(rows)).split(BATCH):
            h, logits = model(x1[batch], x2[batch])
            loss = sum(functional.cross_entropy(given, y[batch]) for given in logits)
            if rates.strength:
                loss = loss + rates.strength * infonce(*h)
            optimizer.zero_grad()
            loss.backward()
            for encoder, head in zip(model.encoders, model.heads, strict=True):
                nn.utils.clip_grad_norm_([*encoder.parameters(), *head.parameters()], LARGEST_NORM)
            optimizer.step()
        with torch.no_grad():
            now = accuracy(model, views, views.splits.validation)
        if now > best:
            best, kept = now, copy.deepcopy(model)
    with torch.no_grad():
        return expected(kept, views)


def rates_of(rows: pd.DataFrame) -> Rates:
    """How an arm of the table was trained."""
    columns = ["strength", "learning_rate", "weight_decay", "epochs", "fusion"]
    [of] = rows[columns].drop_duplicates().to_dict("records")
    assert of.pop("fusion") == "joint"
    return Rates(**of)


def in_words(differences: np.ndarray) -> str:
    """Mean and 95 % t interval, in points."""
    points = 100 * differences
    half = stats.t.ppf(0.975, len(points) - 1) * stats.sem(points)
    return f"{points.mean():+.1f} ({points.mean() - half:.1f}, {points.mean() + half:.1f})"


def compare(table: pd.DataFrame, u: int, draws: int) -> None:
    """Print one cell."""
    cell = {"U": u, "D_phi": 5, "train": 512, "validation": 2048, "test": 4096}
    here = table[(table["U"] == u) & (table["draw"] < draws)]
    none, forced = (
        here[(here["arm"] == arm) & here["chosen_by"].str.contains("best|^$", regex=True)]
        for arm in ("none", "forced")
    )
    width = int(none["width_1"].iloc[0])
    arms = [rates_of(none), rates_of(forced)]
    again = []
    for draw in range(draws):
        views = load("synthetic", cell, draw)
        again.append([trained(views, width, rates, seed=draw) for rates in arms])
    plain = np.array(again)
    ours = [rows.set_index("draw")[OUTCOME].sort_index().to_numpy() for rows in (none, forced)]
    sys.stdout.write(
        f"| U = {u}, width {width}, 512 rows, strength {arms[1].strength:.3g} | "
        f"{plain[:, 0].mean():.3f} | {in_words(plain[:, 1] - plain[:, 0])} | "
        f"{ours[0].mean():.3f} | {in_words(ours[1] - ours[0])} |\n"
    )
    sys.stdout.flush()


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    torch.set_num_threads(1)
    trials = load_trials(TUNED)
    table = trials[
        (trials["stage"] == "confirm")
        & (trials["D_phi"] == 5)
        & (trials["width_1"] == 12)
        & (trials["n_train"] == 512)
    ]
    sys.stdout.write(
        "| cell | plain PyTorch: none | effect | raysweep: none | effect |\n"
        "| --- | --- | --- | --- | --- |\n"
    )
    for u in (6, 8):
        compare(table, u, draws)


if __name__ == "__main__":
    main()
