"""The torch engine on a GPU: steps captured as CUDA graphs against steps launched one by one.

    python tests/benchmarks/bench_gpu.py [--rounds N] [--members M ...] [--loss NAME]

The task of `bench_training.py`. In every round all sides run an epoch, one after the other, and
wait for the device; a time is the median over rounds, of wall-clock time. The peak is that of
torch's allocator (in brackets: what it reserved), beside the estimate that packs are cut by. A step
leaves out the order of the rows, which is drawn on the CPU; models trained a second include it.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).parent))

from rivals import BATCH
from training_sides import CLASSES, INPUTS, ROWS, WIDTH, Ours, torch_engine_of, write

from raysweep.losses import build_loss, pairwise_elements
from raysweep.models.memory import PackSize
from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import TrainSettings
from raysweep.training.train import precision

EPOCHS = 100  # a study's default
SIDES = {
    "eager": {"captured": False},
    "captured": {},
    "captured, TF32": {"tf32": True},
}


def estimate(members, depth, loss):
    """Bytes of a pack by `raysweep.models.memory`."""
    return PackSize(
        shape=MultimodalShape((INPUTS,) * 2, CLASSES, (depth,) * 2, (WIDTH,) * 2),
        members=members,
        aligned=members if loss else 0,
        datasets=1,
        orders=members,
        rows=(ROWS, 64),
        batch_size=BATCH,
        alignment_parameters=build_loss(loss).parameter_count(WIDTH, WIDTH) if loss else 0,
        pairwise=pairwise_elements(loss, members, BATCH, False) if loss else 0,
    ).torch_bytes()


def wall_s(run, *arguments):
    """Seconds of a call, all of its work on the device included."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    run(*arguments)
    torch.cuda.synchronize()
    return time.perf_counter() - start


class Side:
    """A pack on the GPU, trained for two epochs: warmed up, and all of its steps captured."""

    def __init__(self, members, depth, loss, settings):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        given = {"loss": loss, "strength": 1.0} if loss else {}
        self.pack = Ours(torch_engine_of, depth, members, device="cuda", **given, **settings)
        self.settings = TrainSettings(1, **settings)
        self.run(2)
        torch.cuda.synchronize()
        after = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        self.peak, self.reserved = (b - a for a, b in zip(before, after, strict=True))
        self.drawn = self.pack.order.next_epoch().cuda()

    def run(self, epochs):
        """Train some epochs."""
        with precision(self.settings.tf32):
            self.pack.run(epochs)

    def steps(self):
        """The steps of an epoch whose order is on the device."""
        with torch.no_grad(), precision(self.settings.tf32):
            self.pack.engine.train_epoch(self.drawn, self.pack.order.stream)


def measure(members, depth, loss, rounds):
    """Print the rows of one size of pack."""
    sides = {name: Side(members, depth, loss, given) for name, given in SIDES.items()}
    steps = {name: [] for name in sides}
    epochs = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            steps[name].append(wall_s(side.steps) / side.pack.steps)
            epochs[name].append(wall_s(side.run, 1))
    expected = estimate(members, depth, loss) / 2**30
    for name, side in sides.items():
        faster = median(a / b for a, b in zip(steps["eager"], steps[name], strict=True))
        rate = side.pack.models / (EPOCHS * median(epochs[name]))
        write(
            f"| {members} | {depth} | {name} | {median(steps[name]) * 1e3:.3f} ms | {faster:.1f}x "
            f"| {rate:,.1f} | {side.peak / 2**30:.2f} ({side.reserved / 2**30:.2f}) GiB "
            f"| {expected:.2f} GiB |\n"
        )
    sys.stdout.flush()


def main():
    """Measure all sizes, or say that there is no GPU."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="+", default=(36, 100, 300, 1000))
    parser.add_argument("--loss", help="an alignment loss; by default the task alone")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        write("\nbench_gpu.py: skipped, torch finds no GPU here; nothing was measured\n")
        return
    write(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, pairs M of encoders, ")
    write(f"{options.loss or 'the task alone'}; models trained for {EPOCHS} epochs\n\n")
    write("| M | depth | steps | a step | than eager | models/s | peak | estimate |\n")
    write("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
    for members in options.members:
        for depth in (5, 10):
            measure(members, depth, options.loss, options.rounds)


if __name__ == "__main__":
    main()
