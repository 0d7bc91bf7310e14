"""Alignment between models, all layers of each: `measure_models` beside `measure_layers`.

    python tests/benchmarks/bench_models.py [--rounds N] [--metrics NAME ...] [--rows N ...]
        [--models LANGUAGE VISION]

One thread, CPU time, float32 Gaussian features from files, clipped and normalised: a language model
of 33 layers x 4,096 and a vision model of 25 x 1,024, n = 1,024. Every side is timed whole, in a
process of its own, which says the most memory it held; files that are mapped count, too. With
`--rows` only `measure_models` is timed, with so many rows, on 12 layers x 256 against 12 x 256;
with `--models` likewise, on so many language models of the first size against so many vision
models, all pairs. 12 and 17 are the paper's, and take 8.4 GB of disk for features.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from raysweep.metrics import PAPER, measure_layers, measure_models

LANGUAGE, VISION = (33, 4096), (25, 1024)
ROWS = 1024


def save(folder, name, rows, layers, width):
    draw = np.random.default_rng(len(name) + layers)
    path = folder / f"{name}.npy"
    features = np.lib.format.open_memmap(path, "w+", np.float32, (rows, layers, width))
    for layer in range(layers):
        features[:, layer] = draw.standard_normal((rows, width), dtype=np.float32)
    return path


def cpu_time_s(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def one(way, left, right, metric, permutations):
    """CPU seconds, and the most memory of this process in GB."""
    torch.set_num_threads(1)
    left, right = json.loads(left), json.loads(right)
    if way == "layers":
        sides = [np.load(path, mmap_mode="r") for path in (*left, *right)]
        given = [
            [torch.from_numpy(np.array(side[:, i]))[None] for i in range(side.shape[1])]
            for side in sides
        ]
        spent = cpu_time_s(lambda: measure_layers(metric, *given, preprocessing=PAPER))
    else:
        small = {name: [np.random.default_rng(0).normal(size=(20, 2))] for name in ("a", "b")}
        measure_models(small, metric, permutations=1)  # compiles
        sides = {"language": left, "vision": right}
        spent = cpu_time_s(
            lambda: measure_models(sides, metric, permutations=permutations, preprocessing=PAPER)
        )
    json.dump([spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6], sys.stdout)


def in_process(way, left, right, metric, permutations=0):
    given = [way, json.dumps([str(path) for path in left]), json.dumps([str(p) for p in right])]
    given += [metric, str(permutations)]
    command = [sys.executable, __file__, "--one", *given]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def compare(write, folder, rounds, metrics):
    left = save(folder, "language", ROWS, *LANGUAGE)
    right = save(folder, "vision", ROWS, *VISION)
    write(
        "| metric | measure_layers | one pair | ratio | 199 permutations | times "
        "| memory |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    )
    for metric in metrics:
        found = []
        for _ in range(rounds):
            slow = in_process("layers", [left], [right], metric)
            fast = in_process("models", [left], [right], metric)
            chance = in_process("models", [left], [right], metric, 199)
            ratios = slow[0] / fast[0], chance[0] / fast[0]
            found.append((slow[0], slow[1], fast[0], ratios[0], chance[0], ratios[1], chance[1]))
        slow, held, fast, ratio, chance, times, memory = (
            median(column) for column in zip(*found, strict=True)
        )
        write(
            f"| {metric} | {slow:.0f} s, {held:.1f} GB | {fast:.1f} s | {ratio:.1f}x "
            f"| {chance:.1f} s | {times:.1f}x | {memory:.1f} GB |\n"
        )


def many_rows(write, folder, rows, metrics):
    left, right = ([save(folder, f"{name}{rows}", rows, 12, 256)] for name in ("left", "right"))
    for metric in metrics:
        spent, memory = in_process("models", left, right, metric)
        write(
            f"{metric}, n = {rows:,}, 12 x 256 against 12 x 256: {spent:.0f} s, {memory:.1f} GB\n"
        )


def many_models(write, folder, counts, metrics):
    left, right = (
        [save(folder, f"{name}{place}", ROWS, *size) for place in range(count)]
        for name, size, count in zip(
            ("language", "vision"), (LANGUAGE, VISION), counts, strict=True
        )
    )
    for metric in metrics:
        spent, memory = in_process("models", left, right, metric)
        pairs = len(left) * len(right)
        write(f"{metric}, {pairs} pairs of models: {spent:.0f} s, {memory:.1f} GB\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="*")
    parser.add_argument("--models", type=int, nargs=2)
    parser.add_argument("--metrics", nargs="+", default=["mutual_knn", "unbiased_cka"])
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        *what, permutations = given.one
        one(*what, int(permutations))
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        if given.models:
            many_models(sys.stdout.write, Path(name), given.models, given.metrics)
        elif given.rows:
            for rows in given.rows:
                many_rows(sys.stdout.write, Path(name), rows, given.metrics)
        else:
            compare(sys.stdout.write, Path(name), given.rounds, given.metrics)


if __name__ == "__main__":
    main()
