"""Data, members and settings so small that a pack trains in a moment."""

import dataclasses

import numpy as np
import torch

from raysweep.losses.base import LossOutput, differentiate
from raysweep.models.shape import MultimodalShape
from raysweep.models.trained import TrainedPack
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.train import train_pack

SHAPE = MultimodalShape((5, 4), 3, depths=(2, 3), widths=(6, 6))
ROWS, BATCH = 75, 16  # the last batch has 11 rows
EPOCHS = 18  # 5 steps each: 90 steps
TOLERANCE = 1e-10


def make_data(
    m: int, shape: MultimodalShape = SHAPE, rows: int = ROWS, datasets: int = 3
) -> PackData:
    rng = np.random.default_rng(7)

    def split(n: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        y = rng.integers(0, shape.classes, (datasets, n))
        x1 = rng.normal(size=(datasets, n, shape.inputs[0])) + y[..., None] * 0.5
        x2 = rng.normal(size=(datasets, n, shape.inputs[1])) - y[..., None] * 0.4
        return (x1, x2), y

    return PackData(*split(rows), *split(40), dataset=np.arange(m) % datasets)


def make_members(m: int = 20, **fixed: object) -> Members:
    rng = np.random.default_rng(3)
    values: dict[str, object] = {
        "init_seed": np.arange(m) // 2,
        "order_seed": np.arange(m) // 2 + 100,
        "learning_rate": 10 ** rng.uniform(-3, -1.5, m),
        "weight_decay": rng.choice([0.0, 1e-2, 0.5], m),
        "strength": np.where(np.arange(m) % 3 == 0, 0.0, rng.uniform(0.1, 5, m)),
        "clip_norm": rng.choice([0.05, 0.5, np.inf], m),
        "placebo": np.arange(m) % 5 == 1,
    }
    return Members(**{**values, **{k: np.broadcast_to(v, (m,)) for k, v in fixed.items()}})


def pick(members: Members, rows: list[int]) -> Members:
    return Members(**{f.name: getattr(members, f.name)[rows] for f in dataclasses.fields(members)})


def train(
    members: Members,
    shape: MultimodalShape = SHAPE,
    data: PackData | None = None,
    **settings: object,
) -> TrainedPack:
    given = {"epochs": EPOCHS, "batch_size": BATCH, "dtype": "float64", **settings}
    given.setdefault("engine", "torch")
    data = make_data(len(members), shape) if data is None else data
    return train_pack(shape, members, data, TrainSettings(**given))


class Gap:
    """A user's loss that learns one number."""

    capturable = False

    def parameter_count(self, d1: int, d2: int) -> int:
        return 1

    def initial_parameters(self, d1: int, d2: int, generator: torch.Generator) -> torch.Tensor:
        return torch.rand(1, generator=generator, dtype=torch.float64)

    def value_and_gradients(
        self,
        h1: torch.Tensor,
        h2: torch.Tensor,
        parameters: torch.Tensor,
        groups: torch.Tensor | None = None,
    ) -> LossOutput:
        return differentiate(self.value, h1, h2, parameters)

    def value(self, h1: torch.Tensor, h2: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        return (h1 - own[:, :, None] * h2).square().mean(dim=(1, 2))
