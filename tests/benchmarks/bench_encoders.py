"""Encoders: a pack of ours beside the plain loop that trains one torch model at a time.

    python tests/benchmarks/bench_encoders.py [--rounds N] [--members N] [--cases NAME ...]

One thread, CPU time, float32, both sides in one process and in turns; a ratio is the median over
rounds. The loop is `torch.nn.TransformerEncoder` with padding masks, `torch.nn.Conv2d` or
`torch.nn.Linear`, with fused AdamW and clipping on batches that are there in memory. Ours is the
whole training of encoders alone: order, gathering, sorting by length, all steps, one look at 64
validation rows. `agree` is the largest difference of any parameter after 6 steps of both in
float64, from the same weights on the same batches.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from reference_cnns import torch_tower
from reference_transformers import TorchTransformer

from raysweep.data.images import Images
from raysweep.data.tokens import Tokens
from raysweep.data.views import Features
from raysweep.models import cnn
from raysweep.models.architecture import Architecture
from raysweep.models.named import built_in
from raysweep.models.shape import MultimodalShape
from raysweep.models.stacked import StackedEncoders
from raysweep.models.transformer import Transformer
from raysweep.study.encoders import CNN, VIT
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.train import train_pack

BATCH, CLASSES = 64, 2
RATE, DECAY, CLIP = 1e-3, 1e-2, 8.0


@dataclass(frozen=True)
class Case:
    """What is trained.

    Attributes:
        tokens: of a row, padding included.
        width: of a token's features, and of the encoder.
        depth: blocks.
        words: whether lengths are those of sentences (log-normal, mean 12 of 50), or all full.
        options: of the transformer.
    """

    tokens: int
    width: int
    depth: int
    words: bool
    options: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class OfImages:
    """A cnn, or with a patch size a vit.

    Attributes:
        images: their sizes.
        width: channels of a block, or features of a patch within.
        depth: blocks.
        options: of the encoder.
    """

    images: Images
    width: int
    depth: int
    options: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class OfFeatures:
    """A linear encoder of so many inputs, units a layer and layers."""

    inputs: int
    width: int
    depth: int
    options: dict[str, object] = field(default_factory=dict)


SMALL, LARGE = {"patch_size": 2, "heads": 2}, {"patch_size": 7, "heads": 4}
MANY = {"patch_size": 4, "heads": 4}
AnyCase = Case | OfImages | OfFeatures

CASES: dict[str, AnyCase] = {
    "linear, 384 features, width 32": OfFeatures(384, 32, 1),
    "linear, 1,280 features, width 64": OfFeatures(1280, 64, 1),
    "linear, 384 features, width 32, depth 4": OfFeatures(384, 32, 4),
    "cnn, 1 x 8 x 4, width 16, depth 1": OfImages(Images(1, 8, 4), 16, 1),
    "cnn, 1 x 8 x 4, width 16, depth 4": OfImages(Images(1, 8, 4), 16, 4),
    "cnn, 1 x 28 x 28, width 16, depth 1": OfImages(Images(1, 28, 28), 16, 1),
    "cnn, 1 x 28 x 28, width 16, depth 4": OfImages(Images(1, 28, 28), 16, 4),
    "cnn, 3 x 32 x 32, width 32, depth 4": OfImages(Images(3, 32, 32), 32, 4),
    "vit, 1 x 8 x 4 in 2 x 2, width 16, depth 2": OfImages(Images(1, 8, 4), 16, 2, SMALL),
    "vit, 1 x 28 x 28 in 7 x 7, width 48, depth 4": OfImages(Images(1, 28, 28), 48, 4, LARGE),
    "vit, 3 x 32 x 32 in 4 x 4, width 32, depth 4": OfImages(Images(3, 32, 32), 32, 4, MANY),
    "depth 1": Case(50, 40, 1, False),
    "depth 4": Case(50, 40, 4, False),
    "depth 10": Case(50, 40, 10, False),
    "image, 49 tokens of 16": Case(49, 16, 4, False, {"pooling": "class"}),
    "sound, 20 tokens of 36": Case(20, 36, 4, False, {"pooling": "class"}),
    "sentences, class token": Case(50, 40, 4, True, {"pooling": "class"}),
    "sentences, mean": Case(50, 40, 4, True),
    "sentences, mean, 5 features": Case(50, 5, 4, True),
    "sentences, mean, 20 features, depth 1": Case(50, 20, 1, True),
    "sentences, mean of padded": Case(50, 40, 4, True, {"pooling": "mean_padded"}),
    "sentences, mean, dropout": Case(50, 40, 4, True, {"dropout": 0.1}),
}


def made(case: AnyCase, rows: int) -> tuple[Architecture, np.ndarray, np.ndarray]:
    """The encoder, rows and labels."""
    draw = np.random.default_rng(0)
    if not isinstance(case, Case):
        shape: Architecture
        if isinstance(case, OfFeatures):
            sizes = (case.inputs,), CLASSES, (case.depth,), (case.width,)
            shape = MultimodalShape(*sizes, slope=1.0)
        else:
            name = VIT if "patch_size" in case.options else CNN
            features = Features(case.images.columns, case.images)
            sizes = (features,), CLASSES, (case.depth,), (case.width,)
            shape = built_in(name, *sizes, case.options)
        y = draw.integers(0, CLASSES, rows)
        return shape, draw.normal(size=(rows, *shape.inputs)) + 0.1 * y[:, None], y
    tokens = Tokens(case.tokens, case.width)
    lengths = np.full(rows, case.tokens)
    if case.words:
        lengths = np.clip(draw.lognormal(2.3, 0.6, rows).astype(int), 3, case.tokens)
    y = draw.integers(0, CLASSES, rows)
    x = draw.normal(size=(rows, case.tokens, case.width)) + 0.1 * y[:, None, None]
    features = Features(tokens.columns, tokens)
    encoder = Transformer(features, case.depth, case.width, **case.options)
    return StackedEncoders((encoder,), CLASSES), tokens.rows(x, lengths), y


class Loop:
    """One model after another."""

    def __init__(self, shape: Architecture, initial: torch.Tensor, dtype: torch.dtype) -> None:
        (encoder,) = shape.encoders
        self.models = []
        for row in initial:
            if isinstance(encoder, Transformer):
                model = TorchTransformer(encoder, CLASSES, encoder.dropout).train()
            else:
                model = torch_tower(encoder, CLASSES).train()
            model.load(row)
            self.models.append(model.to(dtype))
        self.optimizers = [
            torch.optim.AdamW(m.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
            for m in self.models
        ]

    def train(self, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
        for seed, (model, optimizer) in enumerate(
            zip(self.models, self.optimizers, strict=True), start=100
        ):
            order = torch.Generator().manual_seed(seed)
            for _ in range(epochs):
                for batch in torch.randperm(len(y), generator=order).split(BATCH):
                    optimizer.zero_grad()
                    functional.cross_entropy(model(x[batch]), y[batch]).backward()
                    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                    optimizer.step()


def members(count: int) -> Members:
    seeds = np.arange(count)
    fixed = {"learning_rate": RATE, "weight_decay": DECAY, "strength": 0.0, "clip_norm": CLIP}
    spread = {name: np.full(count, value) for name, value in fixed.items()}
    return Members(seeds, seeds + 100, **spread, placebo=np.zeros(count, dtype=bool))


def ours(shape: Architecture, x: np.ndarray, y: np.ndarray, count: int, epochs: int, dtype: str):
    data = PackData((x[None],), y[None], (x[None, :BATCH],), y[None, :BATCH], np.zeros(count, int))
    settings = TrainSettings(
        epochs=epochs, batch_size=BATCH, dtype=dtype, evaluate_every=epochs, checkpoint="last"
    )
    return train_pack(shape, members(count), data, settings).parameters


def agreement(case: AnyCase, count: int) -> float:
    shape, x, y = made(case, 3 * BATCH)
    initial = shape.initial_parameters(range(count))
    loop = Loop(shape, initial, torch.float64)
    loop.train(torch.from_numpy(x), torch.from_numpy(y), epochs=2)
    packed = ours(shape, x, y, count, 2, "float64")
    alone = torch.stack([model.flat() for model in loop.models])
    return float((packed - alone).abs().max())


def seconds(run) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def timed(case: AnyCase, count: int, rounds: int) -> tuple[float, float, float]:
    """Milliseconds a model and step of the loop and of ours, and the ratio."""
    shape, x, y = made(case, 4 * BATCH)
    initial = shape.initial_parameters(range(count)).float()
    loop = Loop(shape, initial, torch.float32)
    inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(y)
    found = []
    for number in range(rounds + 1):  # the first warms up
        of_loop = seconds(lambda: loop.train(inputs, labels, 1))
        # Two lengths, so that what is made once is left out.
        short = seconds(lambda: ours(shape, x, y, count, 1, "float32"))
        long = seconds(lambda: ours(shape, x, y, count, 3, "float32"))
        steps = 4 * count
        if number:
            found.append((1e3 * of_loop / steps, 1e3 * (long - short) / (2 * steps)))
    ratio = median(theirs / own for theirs, own in found)
    return *(median(values) for values in zip(*found, strict=True)), ratio


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument(
        "--unfolded", choices=["all", "none"], help="images of a cnn; left out: by their size"
    )
    given = parser.parse_args()
    if given.unfolded is not None:
        cnn._FEW_PIXELS = cnn._FEW_NUMBERS = sys.maxsize if given.unfolded == "all" else 0
    torch.set_num_threads(1)
    write(
        f"{given.members} models, batch {BATCH}; ms of CPU a model and step\n\n"
        "| case | loop | ours | ratio | agree |\n| --- | --- | --- | --- | --- |\n"
    )
    for name in given.cases:
        case = CASES[name]
        theirs, own, ratio = timed(case, given.members, given.rounds)
        # What is dropped differs: torch draws it.
        agree = "" if case.options.get("dropout") else f"{agreement(case, 2):.0e}"
        write(f"| {name} | {theirs:.1f} | {own:.1f} | {ratio:.2f}x | {agree} |\n")


if __name__ == "__main__":
    main()
