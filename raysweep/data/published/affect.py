"""Affect data as MultiBench hands them out (Liang et al., 2021), made into sequences with lengths.

The files are pickles of {train, valid, test}, each {vision, audio, text, labels, id} of arrays
[n, T, d] that are padded with zeros in front. The steps are those that arXiv 2502.16282 took:

1. A row whose text sums to exactly 0 is left out.
2. Minus infinity in audio becomes 0. Vision and audio, not text, are standardised feature by
   feature, by the mean and sd over the training rows and their first 50 steps, padding among them.
   A feature that is constant there becomes 0.
3. A row starts where its text has the first entry that is not 0, in all modalities, which are
   aligned by words; at most 50 steps are kept, and padding is behind them.
4. The label is the score, or a class: of MUStARD 1 where it is above 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysweep.data.dtypes import Array, noted
from raysweep.data.tokens import Floats, Integers
from raysweep.errors import InputError
from raysweep.study.spec.fields import listed
from raysweep.text import counted

STEPS = 50
MODALITIES = ("vision", "audio", "text")
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_STANDARDISED = ("vision", "audio")


@dataclass(frozen=True)
class Kind:
    """One of the data sets.

    Attributes:
        file: as MultiBench calls it.
        widths: features of a step of vision, audio and text.
        score: whether the label is a number, and not one of two classes.
        signed: whether class 1 is a label above 0, and not 1.
        rows: of train, valid and test that others report; 0 where that is not known.
    """

    file: str
    widths: tuple[int, int, int]
    score: bool = False
    signed: bool = False
    rows: tuple[int, int, int] = (0, 0, 0)


KINDS = {
    "mosi": Kind("mosi_data.pkl", (20, 5, 300), score=True, rows=(1284, 229, 686)),
    "mosei": Kind("mosei_senti_data.pkl", (35, 74, 300), score=True, rows=(16326, 1871, 4659)),
    "urfunny": Kind("humor.pkl", (371, 81, 300)),
    "mustard": Kind("sarcasm.pkl", (371, 81, 300), signed=True, rows=(414, 138, 138)),
}


@dataclass(frozen=True)
class Affect:
    """What came of a file.

    Attributes:
        modalities: by name, [n, 50, d] float32.
        lengths: [n] int64, steps that are real, the same of all modalities.
        y: [n], float64 of a score, int64 of classes.
        split: [n] of the words train, validation and test.
        told: what people should know, a line each.
    """

    modalities: dict[str, Array]
    lengths: Integers
    y: Array
    split: Array
    told: tuple[str, ...]


def affect(content: object, name: str) -> Affect:
    """Make sequences of a file's content.

    Args:
        content: as `raysweep.data.files.plain_pickle.read_plain_pickle` reads it.
        name: of the data set, in `KINDS`.

    Raises:
        InputError: the content is not that of such a file; all that is wrong.
    """
    if name not in KINDS:
        raise InputError(f"no data called {name!r}, valid are {', '.join(KINDS)}")
    kind, faults = KINDS[name], list[str]()
    if not isinstance(content, Mapping) or not set(_SPLITS) <= set(content):
        what = listed(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise InputError(f"has {what}, expected {', '.join(_SPLITS)}")
    parts: dict[str, dict[str, Any]] = {}
    for part in _SPLITS:
        with noted(faults):
            parts[part] = _checked(part, content[part], name)
    if faults:
        raise InputError("; ".join(faults))
    told = []
    for part, arrays in parts.items():
        kept = arrays["text"].sum(axis=(1, 2)) != 0
        parts[part] = {key: array[kept] for key, array in arrays.items()}
        there, expected = int(kept.sum()), kind.rows[list(_SPLITS).index(part)]
        lost = f", {len(kept) - there} without text left out" if there < len(kept) else ""
        usual = f"; others report {expected:,}" if expected not in (0, there) else ""
        told.append(f"{part}: {counted(there, 'row')}{lost}{usual}")
        if not there:
            raise InputError(f"{part} has no row with text")
    told += _standardise(parts)
    starts = {
        part: (arrays["text"] != 0).any(axis=2).argmax(axis=1) for part, arrays in parts.items()
    }
    lengths = np.concatenate(
        [np.minimum(parts[part]["text"].shape[1] - at, STEPS) for part, at in starts.items()]
    )
    told.append(f"steps of a row: {lengths.min()} to {lengths.max()}, mean {lengths.mean():.1f}")
    labels = np.concatenate([arrays["labels"] for arrays in parts.values()])
    return Affect(
        {
            key: np.concatenate([_trimmed(parts[part][key], at) for part, at in starts.items()])
            for key in MODALITIES
        },
        lengths,
        labels if kind.score else (labels > 0).astype(np.int64),
        np.repeat(list(_SPLITS.values()), [len(arrays["labels"]) for arrays in parts.values()]),
        tuple(told),
    )


def _checked(part: str, content: object, name: str) -> dict[str, Any]:
    """The arrays of a split: modalities [n, T, d] float64 and labels [n] float64."""
    kind = KINDS[name]
    wanted = (*MODALITIES, "labels")
    if not isinstance(content, Mapping) or not set(wanted) <= set(content):
        there = (
            listed(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        )
        raise InputError(f"{part} has {there}, expected {', '.join(wanted)}")
    faults: list[str] = []
    found: dict[str, Any] = {}
    for key in wanted:
        array = np.asarray(content[key])
        if array.dtype.kind not in "fiub":
            faults.append(f"{part}: {key} has dtype {array.dtype}, expected real numbers")
        else:
            found[key] = array.astype(np.float64)
    for key, width in zip(MODALITIES, kind.widths, strict=True):
        shape = found[key].shape if key in found else (1, 1, width)
        if len(shape) != 3 or shape[2] != width or 0 in shape:
            faults.append(
                f"{part}: {key} has shape {shape}, expected [n, T, {width}] of {name} ({kind.file})"
            )
    sizes = {key: array.shape[:2] for key, array in found.items() if key in MODALITIES}
    if not faults and len(set(sizes.values())) > 1:
        faults.append(f"{part}: modalities have {listed(sizes.values())} rows and steps, not alike")
    if "labels" in found and "text" in found:
        labels, rows = found["labels"], len(found["text"])
        if labels.size != rows or len(labels) != rows:
            faults.append(
                f"{part}: labels has shape {labels.shape}, expected one of each row [{rows}]"
            )
        elif not np.isfinite(labels).all():
            faults.append(f"{part}: labels has NaN or infinity, expected numbers")
        elif not kind.score and not set(np.unique(labels)) <= (
            {-1.0, 0.0, 1.0} if kind.signed else {0.0, 1.0}
        ):
            faults.append(
                f"{part}: labels has {listed(np.unique(labels), 5)}, expected "
                f"{'-1 or 0, and 1' if kind.signed else '0 and 1'}"
            )
        found["labels"] = labels.reshape(-1)
    if faults:
        raise InputError("; ".join(faults))
    return found


def _standardise(parts: Mapping[str, dict[str, Any]]) -> list[str]:
    """Standardise vision and audio of all splits by the training split; what is to be told."""
    told = []
    for arrays in parts.values():
        audio = arrays["audio"]
        arrays["audio"] = np.where(np.isneginf(audio), 0.0, audio)
    for key in _STANDARDISED:
        train = parts["train"][key][:, :STEPS]
        mean, sd = train.mean(axis=(0, 1)), train.std(axis=(0, 1))
        constant = int((sd == 0).sum())
        if constant:
            told.append(f"{key}: {counted(constant, 'feature')} constant in train, set to 0")
        for arrays in parts.values():
            arrays[key] = np.where(sd > 0, (arrays[key] - mean) / np.where(sd > 0, sd, 1.0), 0.0)
    return told


def _trimmed(x: Floats, starts: Integers) -> Array:
    """Rows [n, T, d] from their starts on, at most 50 steps of each, padding behind: float32."""
    rows, count = x.shape[:2]
    at = starts[:, None] + np.arange(STEPS)
    kept = x[np.arange(rows)[:, None], np.minimum(at, count - 1)]
    return np.where((at < count)[:, :, None], kept, 0.0).astype(np.float32)
