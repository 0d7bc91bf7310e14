"""A trial's state as bytes: plain values and tensors, by names; nothing in it can run.

Numbers, texts, lists, dicts and tensors are all that a model, an optimizer or a generator needs to
go on, so anything else is refused when it is saved, by the place where it stands.
"""

import base64
import hashlib
import json
import math
from typing import Any

import numpy as np
import torch

from raysweep.errors import InputError

_MAGIC = b"raysweep state 1\n"
_LENGTH_BYTES = 8
_DIGEST = hashlib.sha256
_DIGEST_BYTES = _DIGEST().digest_size
_ARRAYS = "biufcSU"
"""Kinds of NumPy's dtypes whose values are in the array itself."""


def pack_state(state: object, name: str = "state") -> bytes:
    """A state as bytes that `unpack_state` gives back, equal in every bit.

    Args:
        state: dicts, lists and tuples, however nested, of None, numbers, texts, bytes, NumPy arrays
            and torch tensors; subclasses of dict come back as dicts, tensors on the CPU.
        name: what messages call it; empty for a dict whose keys are the names.

    Raises:
        InputError: something else is in it; says where.
    """
    blobs: list[bytes] = []
    tree = json.dumps(_packed(state, name, blobs), allow_nan=False).encode()
    body = b"".join([_MAGIC, len(tree).to_bytes(_LENGTH_BYTES, "big"), tree, *blobs])
    return body + _DIGEST(body).digest()


def unpack_state(content: bytes) -> Any:
    """The state in these bytes.

    Raises:
        ValueError: they are damaged, or something else.
    """
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if not body.startswith(_MAGIC) or _DIGEST(body).digest() != digest:
        raise ValueError("not a whole state")
    start = len(_MAGIC) + _LENGTH_BYTES
    end = start + int.from_bytes(body[len(_MAGIC) : start], "big")
    return _unpacked(json.loads(body[start:end]), memoryview(body)[end:])


def _packed(value: object, place: str, blobs: list[bytes]) -> Any:
    """A value as JSON holds it: a plain one as it is, any other as a list with a tag."""
    if value is None or isinstance(value, str) or type(value) in (bool, int):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else ["float", str(value)]
    if isinstance(value, torch.Tensor):
        return ["tensor", *_tensor(value, place, blobs)]
    if isinstance(value, np.generic):
        return ["scalar", *_array(np.asarray(value), place, blobs)]
    if isinstance(value, np.ndarray):
        return ["array", *_array(value, place, blobs)]
    if isinstance(value, bytes):
        return ["bytes", base64.b64encode(value).decode()]
    if isinstance(value, dict):
        within = {k: f"{place}[{k!r}]" if place else str(k) for k in value}
        items = [
            [_packed(k, f"a key of {place}", blobs), _packed(v, within[k], blobs)]
            for k, v in value.items()
        ]
        return ["dict", items]
    if isinstance(value, list | tuple):
        of = "list" if isinstance(value, list) else "tuple"
        return [of, [_packed(v, f"{place}[{i}]", blobs) for i, v in enumerate(value)]]
    advice = "; give its state_dict()" if hasattr(value, "state_dict") else ""
    raise InputError(
        f"trial.save: {place} is a {type(value).__name__}, and a state holds numbers, texts, "
        f"tensors, arrays, lists and dicts{advice}"
    )


def _tensor(value: torch.Tensor, place: str, blobs: list[bytes]) -> list[Any]:
    if value.layout is not torch.strided or value.is_quantized:
        raise InputError(f"trial.save: {place} is a sparse or quantized tensor; make it dense")
    plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    content = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return [str(value.dtype).removeprefix("torch."), list(value.shape), *_stored(content, blobs)]


def _array(value: np.ndarray, place: str, blobs: list[bytes]) -> list[Any]:
    if value.dtype.kind not in _ARRAYS:
        raise InputError(f"trial.save: {place} is an array of {value.dtype}; give numbers or texts")
    return [value.dtype.str, list(value.shape), *_stored(value.tobytes(), blobs)]


def _stored(content: bytes, blobs: list[bytes]) -> list[int]:
    """Where the content begins, and its length."""
    begin = sum(map(len, blobs))
    blobs.append(content)
    return [begin, len(content)]


def _unpacked(value: Any, blobs: memoryview) -> Any:
    if not isinstance(value, list):
        return value
    tag, *rest = value
    match tag:
        case "float":
            return float(rest[0])
        case "bytes":
            return base64.b64decode(rest[0])
        case "dict":
            return {_unpacked(k, blobs): _unpacked(v, blobs) for k, v in rest[0]}
        case "list":
            return [_unpacked(v, blobs) for v in rest[0]]
        case "tuple":
            return tuple(_unpacked(v, blobs) for v in rest[0])
        case "tensor":
            return _read_tensor(rest, blobs)
        case "array" | "scalar":
            dtype, shape, begin, length = rest
            content = blobs[begin : begin + length]
            array = np.frombuffer(content, np.dtype(dtype)).reshape(shape).copy()
            return array[()] if tag == "scalar" else array
    raise ValueError(f"unknown tag {tag!r}")


def _read_tensor(rest: list[Any], blobs: memoryview) -> torch.Tensor:
    name, shape, begin, length = rest
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"unknown dtype {name!r}")
    if not length:
        return torch.zeros(shape, dtype=dtype)
    content = bytearray(blobs[begin : begin + length])
    return torch.frombuffer(content, dtype=dtype).reshape(shape)
