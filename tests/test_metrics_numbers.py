"""A metric is that of the stored numbers: every dtype, scale and mean, against 60 digits."""

import numpy as np
import pytest
import torch
from reference_exact import exactly

from raysweep.metrics import REGISTRY, measure

METRICS = sorted(REGISTRY)
N, D = 20, 4


def options_of(name):
    return {"topk": 5} if any(o.name == "topk" for o in REGISTRY[name].options) else {}


def features(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    shared = np.random.default_rng(99).normal(size=(N, 2))
    return shared @ draw.normal(size=(2, D)) + 0.7 * draw.normal(size=(N, D)) + draw.normal(size=D)


X, Y = features(1), features(2)

# Where directions of rows, or of rows less their own mean, are one direction to all of float64's
# digits: neighbours are tied, or there is an error; 60 digits see more.
BEYOND = {
    "one column that does not vary, at 1e200": "row_scale",
    "one column x 1e12, float32": "rsa",
    "one column of mean 1e12": "rsa",
}


def stored(kind: str, x: np.ndarray) -> torch.Tensor:
    """`x` as somebody might have stored it."""
    table = torch.tensor(x)
    noise = torch.tensor(x - x.mean(0))
    # Of one sign: rows of opposite directions are at 180 degrees, up to what no float64 holds.
    positive = table - table.min() + 0.5
    match kind:
        case "float16" | "bfloat16" | "float32" | "float8_e5m2":
            return table.to(getattr(torch, kind))
        case "one column x 300, bfloat16":
            return (table * torch.tensor([300.0, 1, 1, 1])).to(torch.bfloat16)
        case "one column x 1e7, float32":
            return (positive * torch.tensor([1, 1e7, 1, 1])).float()
        case "one column x 1e12, float32":
            return (positive * torch.tensor([1, 1, 1e12, 1])).float()
        case "one column x 1e-200":
            return table * torch.tensor([1, 1, 1, 1e-200], dtype=torch.float64)
        case "one column that does not vary, at 1e200":
            return torch.cat([table[:, :3], torch.full((N, 1), 1e200, dtype=torch.float64)], dim=1)
        case "mean 1e6, float32":
            return (noise + 1e6).float()
        case "mean 1e10":
            return noise + 1e10
        case "one column of mean 1e12":
            return noise + torch.tensor([0, 0, 1e12, 0], dtype=torch.float64)
        case "denormal float32":
            return (table * 1e-39).float()
        case "denormal":
            return table * 1e-308
        case "a column of denormals":
            return table * torch.tensor([1, 1, 1, 1e-308], dtype=torch.float64)
        case "near the largest":
            return table / table.abs().max() * 1.7e308
        case "rank 3":
            return torch.cat([table[:, :3], table[:, :1]], dim=1).float()
        case "rank 3 up to float32":
            return torch.cat([table[:, :3], table[:, :1] + table[:, 1:2]], dim=1).float()
        case _:
            raise AssertionError(kind)


KINDS = (
    "float32",
    "float16",
    "bfloat16",
    "float8_e5m2",
    "one column x 300, bfloat16",
    "one column x 1e7, float32",
    "one column x 1e12, float32",
    "one column x 1e-200",
    "one column that does not vary, at 1e200",
    "mean 1e6, float32",
    "mean 1e10",
    "one column of mean 1e12",
    "denormal float32",
    "denormal",
    "a column of denormals",
    "near the largest",
    "rank 3",
    "rank 3 up to float32",
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in METRICS
        for kind in KINDS
        if BEYOND.get(kind) not in {name, *REGISTRY[name].invariances}
        or (BEYOND.get(kind) == "row_scale" and not REGISTRY[name].of_neighbours and name != "rsa")
    ],
)
def test_a_metric_is_that_of_the_stored_numbers(name: str, kind: str) -> None:
    x = stored(kind, X)
    exact = x.double().numpy()
    low, high = REGISTRY[name].range
    for left, right in ((x, Y), (Y, x)):
        value = measure(name, left, right, **options_of(name))
        expected = exactly(
            name, *(z if z is Y else exact for z in (left, right)), **options_of(name)
        )
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert low <= value <= high
