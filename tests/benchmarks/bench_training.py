"""The packed trainer against other ways to train the same encoders, and how its cost grows.

    python tests/benchmarks/bench_training.py [--jax PYTHON] [--rounds N] [--parts NAME ...]

One thread. In every round all sides run once, one after the other; a ratio is the median over
rounds of the ratio within a round. CPU time, so that other load counts as little as can be. The
task is the paper's (45,875 rows of 12 inputs, batch 512, width 12, 4 classes, 20 models); ours
trains them as 10 pairs, whose fused heads are extra work that the others do not have. JAX needs an
interpreter of its own that has it (`pip install jax`); it is no dependency of anything here.
"""

import argparse
import itertools
import math
import sys
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

from rivals import BATCH, Careful, Conventional, Stacked, Vmapped
from training_sides import (
    CLASSES,
    INPUTS,
    MODELS,
    ROWS,
    WIDTH,
    Jax,
    Ours,
    cpu_s,
    draw,
    flops,
    ours_per_step,
    per_step,
    sgemm_rate,
    torch_engine_of,
    write,
)

from raysweep.losses import LOSSES
from raysweep.models.shape import MultimodalShape
from raysweep.training import loop
from raysweep.training.engine import KERNEL_LOSSES
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.kernel_engine import KernelEngine
from raysweep.training.train import train_pack


def against_others(rounds, jax):
    """The table of the goals."""
    x, y = draw(ROWS)
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
    write(f"CPU time per model and step, {MODELS} models; how many times ours is faster\n\n")
    write("| | depth 1 | depth 5 | depth 10 |\n| --- | --- | --- | --- |\n")
    columns = []
    for depth in (1, 5, 10):
        sides = {
            "conventional loop": (Conventional(x, y, WIDTH, depth, CLASSES, 1), 20),
            "careful loop": (Careful(x, y, WIDTH, depth, CLASSES, 1), 90),
            "torch.func.vmap": (Vmapped(x, y, WIDTH, depth, CLASSES, MODELS), 15),
            "stacked baddbmm, autograd": (Stacked(x, y, WIDTH, depth, CLASSES, MODELS), 20),
        }
        torch_engine, kernel = Ours(torch_engine_of, depth), Ours(KernelEngine, depth)
        found = {name: [] for name in (*sides, "JAX", "ours, torch", "ours, kernel")}
        for round_ in range(rounds + 1):
            times = {name: per_step(*side) for name, side in sides.items()}
            if jax:
                times["JAX"] = jax.seconds(depth, MODELS)
            times["ours, torch"] = ours_per_step(torch_engine)
            times["ours, kernel"] = ours_per_step(kernel, 3)
            for name, seconds in times.items():
                if round_:
                    found[name].append((seconds, seconds / times["ours, kernel"]))
        columns.append(found)
    for name in columns[0]:
        cells = []
        for found in columns:
            if found[name]:
                seconds, ratio = (median(part) for part in zip(*found[name], strict=True))
                cells.append(f"{seconds * 1e6:,.0f} us, {ratio:,.1f}x")
            else:
                cells.append("not run")
        write(f"| {name} | " + " | ".join(cells) + " |\n")
    rate = sgemm_rate()
    shares = [
        f"depth {depth} {flops(depth) / median(s for s, _ in found['ours, kernel']) / rate:.0%}"
        for depth, found in zip((1, 5, 10), columns, strict=True)
    ]
    write(f"\nShare of this machine's sgemm rate ({rate / 1e9:.0f} GFLOP/s): {', '.join(shares)}\n")


def sizes(rounds, jax):
    """Against the best form of JAX and the careful loop at every size, 10 models."""
    write(
        "\nCPU time per model and step (us), 10 models as 5 pairs; how many times ours is faster\n"
    )
    write("\n| width | batch | depth | ours | JAX | careful loop |\n")
    write("| --- | --- | --- | --- | --- | --- |\n")
    for width, batch, depth in itertools.product((WIDTH, 64, 256), (64, BATCH), (1, 5, 10)):
        rows = 16 * batch if width > 64 else 64 * batch
        x, y = draw(rows)
        x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
        careful = Careful(x, y, width, depth, CLASSES, 1, batch)
        side, found = Ours(KernelEngine, depth, 5, width, rows, batch), []
        for _ in range(rounds + 1):
            seconds = [ours_per_step(side), math.nan, per_step(careful, 64 if width < 99 else 16)]
            if jax:
                seconds[1] = jax.seconds(depth, 10, width, batch, rows)
            found.append(seconds)
        ours = median(seconds[0] for seconds in found[1:]) * 1e6
        ratios = [median(s[k] / s[0] for s in found[1:]) for k in (1, 2)]
        write(
            f"| {width} | {batch} | {depth} | {ours:,.0f} | {ratios[0]:.2f}x | {ratios[1]:.2f}x |\n"
        )
        sys.stdout.flush()


def losses(rounds, python):
    """Pair trials with each alignment loss; JAX's for those that the kernel knows."""
    pairs, rows = MODELS // 2, 4 * BATCH
    jax = Jax(python, "rival_jax_losses.py") if python else None
    write(f"\nCPU time per pair and step, {pairs} pairs, depth 5, batch {BATCH}\n\n")
    write("| loss | kernel | x task only | torch engine | torch / kernel | JAX | JAX / kernel |\n")
    write("| --- | --- | --- | --- | --- | --- | --- |\n")
    task = None
    for name in ("none", *LOSSES):
        loss, strength = ("infonce", 0.0) if name == "none" else (name, 1.0)
        sides = [
            Ours(kind, 5, rows=rows, loss=loss, strength=strength)
            for kind in (KernelEngine, torch_engine_of)
        ]
        compared = jax if name == "none" or name in KERNEL_LOSSES else None
        times = []
        for _ in range(rounds + 1):
            seconds = [2 * ours_per_step(side) for side in sides]
            given = (name, 5, WIDTH, pairs, BATCH, rows)
            seconds.append(compared.ask(*given) if compared else math.nan)
            times.append(seconds)
        times = times[1:]
        kernel, plain, theirs = (median(column) for column in zip(*times, strict=True))
        task = task or kernel
        beside = [median(found[i] / found[0] for found in times) for i in (1, 2)]
        last = f"{theirs * 1e6:,.0f} us | {beside[1]:.1f}x" if compared else "not run | "
        write(
            f"| {name} | {kernel * 1e6:,.0f} us | {kernel / task:.1f} | {plain * 1e6:,.0f} us "
            f"| {beside[0]:.1f}x | {last} |\n"
        )
        sys.stdout.flush()


def by_models(rounds, jax):
    """How many models are trained together: every side that stacks them, and encoders alone."""
    x, y = draw(ROWS)
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
    write("\nCPU time per model and step (us) by number of models M, depth 5; all are ")
    write("encoders alone\n\n| | M = 1 | M = 5 | M = 20 | M = 100 |\n")
    write("| --- | --- | --- | --- | --- |\n")
    found = {}
    for models in (1, 5, 20, 100):
        sides = {
            "torch.func.vmap": Vmapped(x, y, WIDTH, 5, CLASSES, models),
            "stacked baddbmm, autograd": Stacked(x, y, WIDTH, 5, CLASSES, models),
        }
        steps = max(4, 60 // models)
        times = {name: [] for name in sides}
        for _ in range(rounds + 1):
            for name, side in sides.items():
                times[name].append(per_step(side, steps))
            if jax:
                times.setdefault("JAX", []).append(jax.seconds(5, models))
        epochs = {"ours, kernel": alone("kernel", models), "ours, torch": alone("torch", models)}
        for name, train in epochs.items():
            train(1)
            times[name] = [
                (cpu_s(train, 2) - cpu_s(train, 1)) / -(-ROWS // BATCH) / models
                for _ in range(rounds + 1)
            ]
        for name, seconds in times.items():
            found.setdefault(name, []).append(f"{median(seconds[1:]) * 1e6:,.0f}")
    for name, cells in found.items():
        write(f"| {name} | " + " | ".join(cells) + " |\n")


def alone(engine, models):
    """Trains so many encoders without partners for some epochs."""
    x, y = draw(ROWS)
    data = PackData((x[None],), y[None], (x[None, :64],), y[None, :64], np.zeros(models, int))
    same = np.ones(models)
    members = Members(
        np.arange(models), np.arange(models), same * 1e-3, same * 1e-2, same * 0, same * 8, same < 0
    )
    shape = MultimodalShape((INPUTS,), CLASSES, (5,), (WIDTH,))
    return lambda epochs: train_pack(
        shape, members, data, TrainSettings(epochs, BATCH, engine=engine, evaluate_every=1000)
    )


def growth(rounds):
    """How the kernel's cost grows along each size."""
    write("\nKernel, CPU time per model and step (us), from models 20, depth 5, width 12, ")
    write(f"batch {BATCH}, n {9 * BATCH:,}; the torch engine in brackets\n\n")
    axes = {
        "models": [("pairs", p, f"{2 * p}") for p in (1, 5, 10, 25, 50)],
        "depth": [("depth", d, f"{d}") for d in (1, 2, 5, 10)],
        "width": [("width", w, f"{w}") for w in (8, 12, 16, 64, 256)],
        "batch": [("batch", b, f"{b}") for b in (32, 128, 512, 2048)],
        "n": [("rows", n, f"{n:,}") for n in (512, 4096, 45_875, 400_000)],
    }
    for axis, points in axes.items():
        cells = []
        for name, value, label in points:
            options = {"depth": 5, "rows": 9 * BATCH, name: value}
            cost = []
            for kind in (KernelEngine, torch_engine_of):
                side = Ours(kind, **options)
                side.run(1)
                cost.append(median(ours_per_step(side) for _ in range(rounds)) * 1e6)
            cells.append(f"{label}: {cost[0]:,.1f} ({cost[1]:,.0f})")
        write(f"- {axis}: {'; '.join(cells)}\n")


def mixed_depths(rounds):
    """Whether pairs of depth 5 and of depth 10 had better share a pack, padded to depth 10."""
    write("\nCPU time (ms) of a step of 5 pairs of depth 5 and 5 of depth 10\n\n")
    write("| | two packs | one pack of 10, all of depth 10 | together / apart |\n")
    write("| --- | --- | --- | --- |\n")
    for name, kind in (("kernel", KernelEngine), ("torch", torch_engine_of)):
        sides = [
            Ours(kind, depth, pairs, rows=9 * BATCH) for depth, pairs in ((5, 5), (10, 5), (10, 10))
        ]
        times = [[cpu_s(side.run, 1) / side.steps for side in sides] for _ in range(rounds + 1)][1:]
        apart, together = median(a + b for a, b, _ in times), median(c for _, _, c in times)
        ratio = median(c / (a + b) for a, b, c in times)
        write(f"| {name} | {apart * 1e3:.2f} | {together * 1e3:.2f} | {ratio:.2f} |\n")


def fitted(rounds):
    """Whether steps cost the same when there is nothing left to learn: learnable labels."""
    spans = ((0, 4), (8, 16), (16, 32), (32, 60))
    write("\nCPU time per model and step (us) of one pair on learnable labels, by epoch\n\n")
    write("| width | depth | " + " | ".join(f"{a + 1} to {b}" for a, b in spans))
    write(" | last / first |\n| --- | --- | " + " --- |" * (len(spans) + 1) + "\n")
    options = {"pairs": 1, "rows": 16 * BATCH, "learnable": True, "rate": 1e-2}
    Ours(KernelEngine, 1, **options).run(1)
    for width in (WIDTH, 64):
        for depth in (1, 5, 10):
            costs = []
            for _ in range(rounds):
                side, at, found = Ours(KernelEngine, depth, width=width, **options), 0, []
                for begin, end in spans:
                    side.run(begin - at)
                    found.append(ours_per_step(side, end - begin) * 1e6)
                    at = end
                costs.append(found)
            cells = [f"{median(column):,.0f}" for column in zip(*costs, strict=True)]
            ratio = median(found[-1] / found[0] for found in costs)
            write(f"| {width} | {depth} | {' | '.join(cells)} | {ratio:.2f} |\n")
            sys.stdout.flush()


def compaction(rounds):
    """At which share of running members a stacked pack had better be compacted."""
    pairs, rows = 20, 8 * BATCH
    x, y = draw(rows, 2 * INPUTS)
    x1, x2 = x[None, :, :INPUTS], x[None, :, INPUTS:]
    y = (x[None, :, 0] + x[None, :, INPUTS] > 0).astype(int) + 2 * (x[None, :, 1] > 0)
    data = PackData((x1, x2), y, (x1, x2), y, np.zeros(pairs, int))
    rates, seeds, same = np.geomspace(1e-4, 1e-1, pairs), np.arange(pairs), np.ones(pairs)
    members = Members(seeds, seeds, rates, same * 1e-2, same * 0, same * 8, same < 0)
    shape = MultimodalShape((INPUTS, INPUTS), CLASSES, depths=(5, 5), widths=(WIDTH, WIDTH))
    settings = TrainSettings(60, BATCH, engine="torch", patience=4)
    shares, given = (0.0, 0.5, 0.75, 0.9, 1.0), loop.COMPACT_BELOW
    times = {share: [] for share in shares}
    try:
        for _ in range(rounds + 1):
            for share in shares:
                loop.COMPACT_BELOW = share
                times[share].append(cpu_s(train_pack, shape, members, data, settings))
    finally:
        loop.COMPACT_BELOW = given
    steps = train_pack(shape, members, data, settings).steps
    write(f"\nEarly stopping, torch engine, {pairs} pairs that stop after {steps.min()} to ")
    write(f"{steps.max()} steps (median {np.median(steps):.0f}); CPU time by the share of running ")
    write("members at which the pack is compacted\n\n")
    for share, seconds in times.items():
        write(f"- {share:g}{' (never)' if share == 0 else ''}: {median(seconds[1:]):.2f} s\n")


def main():
    """Run everything, or the parts that are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jax", help="an interpreter that has JAX")
    parser.add_argument("--rounds", type=int, default=5)
    parts = ("others", "sizes", "models", "losses", "growth", "fitted", "depths", "compaction")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    torch.set_num_threads(1)
    jax = Jax(options.jax) if options.jax else None
    few = max(2, options.rounds // 2)
    run = {
        "others": lambda: against_others(options.rounds, jax),
        "sizes": lambda: sizes(options.rounds, jax),
        "models": lambda: by_models(few, jax),
        "losses": lambda: losses(few, options.jax),
        "growth": lambda: growth(few),
        "fitted": lambda: fitted(few),
        "depths": lambda: mixed_depths(options.rounds),
        "compaction": lambda: compaction(few),
    }
    for part in options.parts:
        run[part]()
        sys.stdout.flush()


if __name__ == "__main__":
    main()
