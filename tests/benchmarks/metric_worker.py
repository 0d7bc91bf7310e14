"""Measures metrics for `bench_metrics.py`, with whichever build of raysweep is on the path.

Reads one JSON object a line: metric, rows, width, ties, and options if any. Answers each with the
CPU time of one pair of layers, its value, and the most memory that the process has had until then.
"""

import json
import sys
import time
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from raysweep.metrics import measure_layers


@cache
def layers(rows: int, width: int, ties: bool) -> tuple[Tensor, Tensor]:
    """Two layers [1, rows, width] float64 that are somewhat alike.

    With ties they are ReLU layers of 12 bits, so that many rows are equal.
    """
    draw = torch.Generator().manual_seed(1)
    if ties:
        codes = torch.randint(0, 2, (1, rows, 12), generator=draw).double()
        weights = torch.randn(2, 12, width, generator=draw, dtype=torch.float64)
        return torch.relu(codes @ weights[0]), torch.relu(codes @ weights[1])
    x, noise = torch.randn(2, 1, rows, width, generator=draw, dtype=torch.float64)
    return x, x + noise


def peak_mb() -> float:
    """Not getrusage: its maximum is inherited from the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        asked = json.loads(line)
        x, y = layers(asked["rows"], asked["width"], asked["ties"])
        started = time.process_time()
        value = measure_layers(asked["metric"], [x], [y], asked.get("options", {}))
        taken = time.process_time() - started
        answer = {"cpu_s": taken, "value": float(value), "peak_mb": peak_mb()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
