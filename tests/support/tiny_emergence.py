"""A tiny emergence study, as a document and as the command line resolves it."""

from typing import Any

import yaml
from tiny_runs import SUPPORT

from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.study import checks
from raysweep.study.reader import parse_study


def document(**changes: Any) -> dict[str, Any]:
    """The study as a document, with changes such as ``data__U=[0]``."""
    found: dict[str, Any] = {
        "name": "tiny",
        "kind": "emergence",
        "data": {"dataset": "synthetic", "U": [0, 8], "D_phi": [1, 2]}
        | {"train": 64, "validation": 32, "test": 64},
        "model": {"depth_1": 1, "depth_2": [1, 3], "width": 6},
        "training": {"epochs": 3, "epochs_1": 2, "batch_size": 16, "dtype": "float64"}
        | {"learning_rate": 0.01},
        "evaluation": {"metrics": {"unbiased_cka": {}, "mutual_knn": {"topk": 5}}, "rows": 24},
        "seeds": 2,
        "resources": {"members_per_pack": 3},
    }
    for name, value in changes.items():
        *path, last = name.split("__")
        part = found
        for key in path:
            part = part.setdefault(key, {})
        part[last] = value
    return found


TUNING = {"trials": 3, "generation": 2, "depths": [1, 3], "offsets": [0, 1]}


def study(**changes: Any) -> EmergenceStudy:
    text = yaml.safe_dump(document(**changes), sort_keys=False)
    found = parse_study(text, "tiny", SUPPORT, (), checks.check, checks.resolve_files)
    assert isinstance(found, EmergenceStudy)
    return found
