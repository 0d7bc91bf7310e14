"""Sides of the benchmarks of training: our engines, JAX behind a pipe, and what a step costs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rivals import BATCH

from raysweep.losses import build_loss
from raysweep.models.initial import alignment_generator
from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.order import BatchOrder
from raysweep.training.passes import HandWritten
from raysweep.training.torch_engine import TorchEngine

ROWS, INPUTS, CLASSES, WIDTH, MODELS = 45_875, 12, 4, 12, 20
ONE_THREAD = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
write = sys.stdout.write


def draw(rows, width=INPUTS, seed=0, learnable=False):
    """Inputs and labels of the task's sizes.

    Labels are random, so that a model goes on learning nothing at the same cost; `learnable` ones
    are soon fitted, and gradients get as small as numbers go.
    """
    numbers = np.random.default_rng(seed)
    x, y = numbers.normal(size=(rows, width)), numbers.integers(0, CLASSES, rows)
    if learnable:
        x += 8.0 * (np.arange(width) % CLASSES == y[:, None])
    return x, y


def torch_engine_of(shape, *given):
    """The torch engine with passes by hand."""
    return TorchEngine(HandWritten(shape, joint=False), shape, *given)


class Ours:
    """One of our engines on pairs; `run(epochs)` shuffles, gathers and trains.

    What is `further` given are settings (`TrainSettings`).
    """

    def __init__(
        self,
        engine,
        depth,
        pairs=MODELS // 2,
        width=WIDTH,
        rows=ROWS,
        batch=BATCH,
        loss="infonce",
        strength=0.0,
        classes=CLASSES,
        inputs=INPUTS,
        learnable=False,
        rate=1e-3,
        **further,
    ):
        x, y = draw(rows, 2 * inputs, learnable=learnable)
        x1, x2, y = x[None, :, :inputs], x[None, :, inputs:], y[None] % classes
        shape = MultimodalShape((inputs,) * 2, classes, (depth,) * 2, (width,) * 2)
        same = np.ones(pairs)
        members = Members(
            np.arange(pairs),
            np.arange(pairs),
            same * rate,
            same * 1e-2,
            same * strength,
            same * 8.0,
            np.zeros(pairs, bool),
        )
        held_out = (x1[:, :64], x2[:, :64])
        data = PackData((x1, x2), y, held_out, y[:, :64], np.zeros(pairs, int))
        term = build_loss(loss)
        start = shape.initial_parameters(members.init_seed)
        own = term.parameter_count(width, width)
        if own:
            first = term.initial_parameters(width, width, alignment_generator(0))
            start = torch.cat((start, first.expand(pairs, own)), dim=1)
        settings = TrainSettings(1, batch, loss=loss, **further)
        start = start.float().to(settings.device)
        self.engine = engine(shape, members, data, settings, term, start)
        self.order = BatchOrder(members.order_seed, rows)
        self.steps = -(-rows // batch)
        self.models = 2 * pairs

    def run(self, epochs):
        """Train some epochs."""
        with torch.no_grad():
            for _ in range(epochs):
                self.engine.train_epoch(self.order.next_epoch(), self.order.stream)


class Jax:
    """A JAX rival behind a pipe."""

    def __init__(self, python, script="rival_jax.py"):
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name(script))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )

    def ask(self, *request):
        """CPU seconds, by the request's words."""
        self.process.stdin.write(" ".join(map(str, request)) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def seconds(self, depth, models, width=WIDTH, batch=BATCH, rows=ROWS):
        """CPU seconds per model and step."""
        return self.ask(depth, width, models, batch, rows)


def cpu_s(run, *arguments):
    """CPU seconds of a call."""
    start = time.process_time()
    run(*arguments)
    return time.process_time() - start


def per_step(rival, steps):
    """CPU seconds per model and step of a rival."""
    return cpu_s(rival.run, steps) / steps / rival.models


def ours_per_step(side, epochs=1):
    """CPU seconds per model and step of one of our engines."""
    return cpu_s(side.run, epochs) / epochs / side.steps / side.models


def flops(depth, width=WIDTH, inputs=INPUTS, classes=CLASSES, batch=BATCH):
    """Floating-point operations of one model's step: products only, fused head included."""
    first, inner = inputs * width, (depth - 1) * width * width
    heads = 3 * width * classes + 2 * width * classes
    return 2 * batch * (2 * first + 3 * inner + heads)


def sgemm_rate():
    """Best rate of a square float32 product on one thread, operations per second."""
    n = 512
    a, b = torch.randn(n, n), torch.randn(n, n)
    return max(2 * n**3 * 5 / cpu_s(lambda: [a @ b for _ in range(5)]) for _ in range(10))
