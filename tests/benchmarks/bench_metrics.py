"""Alignment of all pairs of layers against the usual form, and how its cost grows.

    python tests/benchmarks/bench_metrics.py [--rounds N] [--before FOLDER [--metrics NAME ...]]

With `--before`, a checkout of an earlier build, single metrics of both builds are compared instead.

One thread. In every round both sides run once, one after the other; the ratio is the median over
rounds. The usual form is timed on one pair of layers and multiplied by the number of pairs: each
pair costs it the same. Ours is timed on all pairs. CPU time, so that other load does not count.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from reference import mutual_knn_by_argsort, unbiased_cka_by_gram_matrices

from raysweep.metrics import PAPER, REGISTRY, calibrate_layers, measure_layers

ROWS, WIDTH, LAYERS, TOPK = 4096, 12, 10, 100


def cpu_time_s(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def gaussian(count, members=1, rows=ROWS, width=WIDTH, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(members, rows, width, generator=draw) for _ in range(count)]


def bits(count, seed=0):
    """Layers with ties: a random ReLU layer of 12 bits (about 2,600 distinct rows of 4,096)."""
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 2, (1, ROWS, WIDTH), generator=draw).float()
    return [torch.relu(codes @ torch.randn(WIDTH, WIDTH, generator=draw)) for _ in range(count)]


def side_by_side(write, label, slow, fast, rounds):
    pairs = LAYERS**2
    slow()
    fast()
    times = [(cpu_time_s(slow) * pairs, cpu_time_s(fast)) for _ in range(rounds)]
    ratio = median(s / f for s, f in times)
    slowest, fastest = (median(column) for column in zip(*times, strict=True))
    write(f"| {label} | {slowest:.0f} s | {fastest:.3f} s | {ratio:,.0f}x |\n")


def compare(write, rounds):
    write(
        f"All {LAYERS} x {LAYERS} pairs of layers, n = {ROWS:,}, width {WIDTH}, float32 features, "
        f"median of {rounds} rounds; the usual form is one pair x {LAYERS**2}\n\n"
        "| metric | usual form | ours | ratio |\n| --- | --- | --- | --- |\n"
    )
    for label, xs, ys in (
        ("Gaussian", gaussian(LAYERS, seed=1), gaussian(LAYERS, seed=2)),
        ("ReLU of bits, with ties", bits(LAYERS, seed=1), bits(LAYERS, seed=2)),
    ):
        x, y = PAPER(xs[0])[0], PAPER(ys[0])[0]
        side_by_side(
            write,
            f"unbiased CKA, {label}",
            lambda x=x, y=y: unbiased_cka_by_gram_matrices(x, y),
            lambda xs=xs, ys=ys: measure_layers("unbiased_cka", xs, ys, preprocessing=PAPER),
            rounds,
        )
        side_by_side(
            write,
            f"mutual kNN, k = {TOPK}, {label}",
            lambda x=x, y=y: mutual_knn_by_argsort(x, y, TOPK),
            lambda xs=xs, ys=ys: measure_layers(
                "mutual_knn", xs, ys, {"topk": TOPK}, preprocessing=PAPER
            ),
            rounds,
        )


def growth(write):
    write("\nCPU time of ours, Gaussian features, all pairs of layers\n\n")
    write("| layers | n | width | members | unbiased CKA | mutual kNN, k = 100 |\n")
    write("| --- | --- | --- | --- | --- | --- |\n")
    for layers, rows, width, members in (
        (10, 512, 12, 1),
        (10, 512, 12, 20),
        (10, 2048, 12, 1),
        (10, 4096, 12, 1),
        (10, 4096, 128, 1),
        (55, 4096, 12, 1),
    ):
        xs = gaussian(layers, members, rows, width, seed=1)
        ys = gaussian(layers, members, rows, width, seed=2)
        cka = cpu_time_s(lambda xs=xs, ys=ys: measure_layers("unbiased_cka", xs, ys))
        knn = cpu_time_s(lambda xs=xs, ys=ys: measure_layers("mutual_knn", xs, ys, {"topk": TOPK}))
        write(f"| {layers}+{layers} | {rows} | {width} | {members} | {cka:.3f} s | {knn:.2f} s |\n")


def one_pair(write):
    write("\nCPU time of one pair of layers, width 12, default options\n\n")
    write(
        "| metric | n = 512 | n = 2,048 | 100 permutations, n = 512 |\n| --- | --- | --- | --- |\n"
    )
    for name, metric in REGISTRY.items():
        cells = []
        for rows in (512, 2048):
            xs, ys = gaussian(1, rows=rows, seed=1), gaussian(1, rows=rows, seed=2)
            cells.append(cpu_time_s(lambda n=name, xs=xs, ys=ys: measure_layers(n, xs, ys)))
        shuffled = "-"
        if metric.paired:
            xs, ys = gaussian(1, rows=512, seed=1), gaussian(1, rows=512, seed=2)
            taken = cpu_time_s(
                lambda n=name, xs=xs, ys=ys: calibrate_layers(n, xs, ys, permutations=100)
            )
            shuffled = f"{taken:.2f} s"
        write(f"| {name} | {cells[0]:.4f} s | {cells[1]:.3f} s | {shuffled} |\n")


def peak_memory(write):
    write("\nPeak memory of a process, n = 4,096, width 12, imports included\n\n")
    for name in ("nothing", "unbiased_cka", "unbiased_cka rbf", "mutual_knn", "rsa", "cknna"):
        peak = subprocess.run(
            [sys.executable, __file__, "peak", name], capture_output=True, text=True, check=True
        )
        write(f"- {name}: {peak.stdout.strip()}\n")


def peak_of(write, name):
    # n x n metrics hold as many layers of one side as fit: six are more than that.
    left, right = (6, 1) if name in ("rsa", "cknna", "unbiased_cka rbf") else (55, 55)
    xs, ys = gaussian(left, seed=1), gaussian(right, seed=2)
    if name != "nothing":
        options = {"topk": TOPK} if "knn" in name else {}
        options |= {"kernel": "rbf"} if name.endswith("rbf") else {}
        measure_layers(name.split()[0], xs, ys, options)
    # Not getrusage: its maximum is inherited from the parent.
    status = Path("/proc/self/status").read_text()
    peak_gib = int(status.split("VmHWM:")[1].split()[0]) / 2**20
    write(f"{peak_gib:.2f} GiB ({left} + {right} layers)")


BUILDS = (
    # metric, rows, width, whether rows are tied, options
    ("mutual_knn", 4096, 64, False, {}),
    ("cknna", 4096, 12, False, {}),
    ("cknna", 4096, 64, False, {}),
    ("cknna", 4096, 64, True, {}),
    ("cycle_knn", 4096, 12, False, {}),
    ("cycle_knn", 4096, 64, False, {}),
    ("cycle_knn", 4096, 64, True, {}),
    ("lcs_knn", 4096, 12, False, {}),
    ("lcs_knn", 4096, 64, False, {}),
    ("lcs_knn", 4096, 64, True, {}),
    ("svcca", 4096, 12, False, {}),
    ("svcca", 4096, 64, False, {}),
    ("svcca", 4096, 64, True, {}),
    ("pwcca", 4096, 12, False, {}),
    ("pwcca", 4096, 64, False, {}),
    ("pwcca", 4096, 64, True, {}),
    ("rsa", 4096, 12, False, {}),
    ("rsa", 4096, 64, False, {}),
    ("rsa", 4096, 64, True, {}),
)

PEAKS = (("cknna", 4096), ("cknna", 16384), ("rsa", 4096), ("rsa", 16384))


def worker(folder):
    """A process that measures with the build in `folder`."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("metric_worker.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )


def ask(process, question):
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def builds(write, before, rounds, metrics):
    here = Path(__file__).parents[2]
    write(f"One pair of layers, float64, one thread, CPU time, median of {rounds} rounds\n\n")
    write("| metric | n | width | before | now | ratio | difference |\n")
    write("| --- | --- | --- | --- | --- | --- | --- |\n")
    old, new = worker(before), worker(here)
    for metric, rows, width, ties, options in BUILDS:
        if metrics and metric not in metrics:
            continue
        question = {"metric": metric, "rows": rows, "width": width, "ties": ties}
        question["options"] = options
        ask(old, question), ask(new, question)
        pairs = [(ask(old, question), ask(new, question)) for _ in range(rounds)]
        ratio = median(a["cpu_s"] / b["cpu_s"] for a, b in pairs)
        times = [median(answer["cpu_s"] for answer in side) for side in zip(*pairs, strict=True)]
        first, second = pairs[0]
        label = f"{metric}, with ties" if ties else metric
        write(
            f"| {label} | {rows:,} | {width} | {times[0] * 1e3:,.1f} ms | {times[1] * 1e3:,.1f} ms "
            f"| {ratio:.1f}x | {abs(first['value'] - second['value']):.0e} |\n"
        )
        sys.stdout.flush()
    for process in (old, new):
        process.stdin.close()
        process.wait()
    write("\nPeak memory of a process, width 12, imports included\n\n")
    write("| metric | n | before | now |\n| --- | --- | --- | --- |\n")
    for metric, rows in PEAKS:
        if metrics and metric not in metrics:
            continue
        peaks = [peak_of_build(folder, metric, rows) for folder in (before, here)]
        write(f"| {metric} | {rows:,} | {peaks[0]} | {peaks[1]} |\n")
        sys.stdout.flush()


def peak_of_build(folder, metric, rows):
    process = worker(folder)
    try:
        answer = ask(process, {"metric": metric, "rows": rows, "width": 12, "ties": False})
        return f"{answer['peak_mb']:,.0f} MB, {answer['cpu_s']:.1f} s"
    except json.JSONDecodeError:
        return "killed"
    finally:
        process.stdin.close()
        process.wait()


def main(arguments):
    torch.set_num_threads(1)
    write = sys.stdout.write
    if arguments[:1] == ["peak"]:
        peak_of(write, arguments[1])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier build")
    parser.add_argument("--metrics", nargs="+", help="only these of the two builds")
    given = parser.parse_args(arguments)
    if given.before:
        builds(write, given.before.resolve(), given.rounds, given.metrics)
        return
    compare(write, given.rounds)
    growth(write)
    one_pair(write)
    peak_memory(write)


if __name__ == "__main__":
    main(sys.argv[1:])
