#!/usr/bin/env bash
# safetensors 0.8.0 (safetensors.numpy) with NumPy 2.4.6.
#
# save_file writes the memory of an array as it lies, whatever its strides are: a transposed, a
# column-major and a strided array come back with the right shape and dtype and the wrong numbers.
# No error, no warning. (PyTorch's half of the library raises for such tensors.)
#
# Seen: [[0, 3], [1, 4], [2, 5]] comes back as [[0, 1], [2, 3], [4, 5]].
#
# Why it matters: features are commonly stored as [n, d] after a transposition or a slice of layers.
# The file has the expected shapes, and every alignment computed from it is that of scrambled rows.
# What to do: np.ascontiguousarray before saving.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv v && v/bin/pip install -q safetensors==0.8.0 numpy==2.4.6
v/bin/python - <<'P'
import numpy as np
from safetensors.numpy import load_file, save_file

rows = np.arange(6.0).reshape(2, 3)
given = {
    "transposed": rows.T,
    "column-major": np.asfortranarray(rows),
    "every other column": np.arange(12.0).reshape(2, 6)[:, ::2],
    "contiguous copy": np.ascontiguousarray(rows.T),
}
same = {}
for name, array in given.items():
    save_file({"x": array}, "x.safetensors")
    back = load_file("x.safetensors")["x"]
    assert back.shape == array.shape and back.dtype == array.dtype
    same[name] = bool(np.array_equal(back, array))
    print(f"{name}: saved {array.tolist()}, read {back.tolist()}")
assert same == {
    "transposed": False, "column-major": False, "every other column": False,
    "contiguous copy": True,
}, same
P
