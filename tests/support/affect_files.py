"""Small files in the form of MultiBench's affect data, and what the slow loader makes of them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTHS = {"vision": 20, "audio": 5, "text": 300}
ROWS = {"train": 30, "valid": 12, "test": 14}
STEPS = 60


def content(widths: dict[str, int] | None = None, labels: str = "score") -> dict[str, Any]:
    """Rows padded in front, one of each split without text."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for split, rows in ROWS.items():
        lengths = rng.integers(1, STEPS + 1, rows)
        part: dict[str, Any] = {}
        for name, width in (widths or WIDTHS).items():
            x = rng.normal(2, 3, size=(rows, STEPS, width))
            x[np.arange(STEPS) < STEPS - lengths[:, None]] = 0
            part[name] = x
        part["text"][3] = 0
        part["audio"][1, -1, 2] = -np.inf
        part["vision"][..., 7] = 0.0
        part["labels"] = {
            "score": rng.normal(size=(rows, 1, 1)),
            "binary": rng.integers(0, 2, (rows, 1)).astype(float),
            "signed": 2.0 * rng.integers(0, 2, (rows, 1)) - 1,
        }[labels]
        part["id"] = np.array([f"{split}[{i}]" for i in range(rows)], dtype=object)
        found[split] = part
    return found


def write(path: Path, of: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(of, protocol=protocol))
    return path


def slowly(of: dict[str, Any]) -> dict[str, list[tuple[NDArray[Any], ...]]]:
    """Row by row: (vision, audio, text) from the first word on, standardised."""
    kept = {
        split: [i for i in range(len(part["text"])) if part["text"][i].sum() != 0]
        for split, part in of.items()
    }
    audio = {split: np.where(np.isneginf(p["audio"]), 0, p["audio"]) for split, p in of.items()}
    scales = {}
    for name in ("vision", "audio"):
        own = audio["train"] if name == "audio" else of["train"]["vision"]
        seen = np.concatenate([own[i][:50] for i in kept["train"]])
        sd = seen.std(axis=0)
        scales[name] = seen.mean(axis=0), np.where(sd == 0, 1, sd)
    found: dict[str, list[tuple[NDArray[Any], ...]]] = {}
    for split, part in of.items():
        found[split] = []
        for i in kept[split]:
            first = next(t for t in range(STEPS) if part["text"][i, t].any())
            vision, sound = (
                (x - scales[name][0]) / scales[name][1]
                for name, x in (("vision", part["vision"][i]), ("audio", audio[split][i]))
            )
            rows = (vision, sound, part["text"][i])
            found[split].append(tuple(x[first:][:50] for x in rows))
    return found
