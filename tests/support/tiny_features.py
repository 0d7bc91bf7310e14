"""A small study of models: features that share something, in files of several kinds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysweep.data.files.safetensors_writer import written

N = 24
LEVELS = (10, 30, 50)
FAMILIES = {"near_small": "near", "near_large": "near", "far": "far"}
NOISE = {"near_small": 0.8, "near_large": 0.3, "far": 3.0}


def layers(name: str, level: int, widths: tuple[int, ...]) -> list[np.ndarray]:
    """Layers [n, d] that share with those of others the more the lower noise and level are."""
    shared = np.random.default_rng(0).normal(size=(N, 3))
    draw = np.random.default_rng([level, *name.encode()])
    noise = NOISE.get(name, 0.2) + level / 50
    return [
        (shared @ draw.normal(size=(3, d)) + noise * draw.normal(size=(N, d))).astype(np.float32)
        for d in widths
    ]


def write(folder: Path) -> list[dict[str, Any]]:
    """Files of features, and the rows of a study about them: three text models at three levels.

    They are ``.safetensors``, ``.npy`` and ``.pt``; of the side of images there are two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name, family in FAMILIES.items():
        for level in LEVELS:
            path = folder / f"{name}.{level}.safetensors"
            found = layers(name, level, (4, 6, 5))
            with written(path, {}, len(found)) as file:
                for number, layer in enumerate(found):
                    file.add(f"layer_{number:03d}", layer)
            rows.append(
                {
                    "side": "text",
                    "model": name,
                    "features": str(path),
                    "family": family,
                    "size": 1.0 if name.endswith("small") else 2.0,
                    "performance": -NOISE[name] - level / 100,
                    "caption": level,
                }
            )
    stacked = np.stack(layers("vit", 0, (4, 4)), axis=1)
    np.save(folder / "vit.npy", stacked)
    torch.save({"feats": torch.from_numpy(np.stack(layers("mae", 0, (5,)), 1))}, folder / "mae.pt")
    rows += [
        {"side": "image", "model": "vit", "features": str(folder / "vit.npy"), "family": "vit"},
        {"side": "image", "model": "mae", "features": str(folder / "mae.pt"), "performance": 0.5},
    ]
    return rows


def given(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A study of these rows; ``evaluation__layers`` is a key within a part."""
    study: dict[str, Any] = {
        "name": "tiny_models",
        "kind": "models",
        "models": rows,
        "axes": ["caption"],
        "evaluation": {"metrics": {"mutual_knn": {"topk": 3}, "unbiased_cka": {}}, "calibrate": 19},
        "resources": {"members_per_pack": 3},
    }
    for key, value in changes.items():
        part, _, name = key.partition("__")
        if name:
            before: Mapping[str, Any] = study.get(part, {})
            study[part] = {**before, name: value}
        elif value is None:
            study.pop(part, None)
        else:
            study[part] = value
    return study
