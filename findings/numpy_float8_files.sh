#!/usr/bin/env bash
# NumPy 2.4.6 with ml_dtypes 0.6.0: what np.save writes of 8-bit floats, and what np.load makes of it.
#
# - float8_e4m3fn: np.save says nothing, np.load returns raw bytes (|V1), and astype(float32), the
#   usual next line, reads each byte as a text digit: 1.0 is stored as 0x38, the character "8", and
#   comes back as 8.0.
# - float8_e5m2: np.save says nothing either, but writes a header that np.load refuses ("descr is not
#   a valid dtype descriptor"): the file cannot be read back at all, also not by NumPy.
# Re-interpreting the bytes, where they can be loaded, gives the right numbers.
#
# Why it matters: quantised features and embeddings are stored in 8-bit floats to save space.
# What to do: save them as float32, or as safetensors, whose header knows these types.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv v && v/bin/pip install -q numpy==2.4.6 ml_dtypes==0.6.0
v/bin/python - <<'P'
import ml_dtypes
import numpy as np

values = np.array([1.0, 1.125, 1.0], dtype=np.float32)
np.save("e4m3.npy", values.astype(ml_dtypes.float8_e4m3fn))
back = np.load("e4m3.npy")
print(f"e4m3fn: saved {values}, loaded as {back.dtype}, as float32 {back.astype(np.float32)}")
assert back.dtype == np.dtype("V1")
assert back.astype(np.float32).tolist() == [8.0, 9.0, 8.0]
assert back.view(ml_dtypes.float8_e4m3fn).astype(np.float32).tolist() == values.tolist()
np.save("e5m2.npy", values.astype(ml_dtypes.float8_e5m2))
try:
    np.load("e5m2.npy")
except ValueError as error:
    print(f"e5m2: saved, then np.load: {error}")
    assert "not a valid dtype descriptor" in str(error)
else:
    raise SystemExit("e5m2 files can be loaded now")
P
