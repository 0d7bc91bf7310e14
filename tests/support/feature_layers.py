"""The layers of a file of features, as they are read elsewhere."""

from pathlib import Path

import numpy as np

from raysweep.data.dtypes import Role
from raysweep.data.files.safetensors import Safetensors


def layers(path: Path) -> list[np.ndarray]:
    file = Safetensors.open(str(path))
    faults: list[str] = []
    found = file.read(file.names, Role.FEATURES, faults)
    assert faults == []
    assert list(found) == [f"layer_{place:03d}" for place in range(len(found))]
    return [np.array(x) for x in found.values()]
