"""AV-MNIST as arXiv 2502.16282 trains on it: digits as pictures, and spoken as MFCCs.

A folder with ``image/`` and ``audio/``, in each ``train_data.npy`` and ``test_data.npy``, and
beside them ``train_labels.npy`` and ``test_labels.npy``. A picture and a sound of one row are of
the same digit and were paired at random: given the label they tell nothing of each other.

1. Pictures are divided by 255 and cut into 7 x 7 patches of 4 x 4, row by row: 49 tokens of 16.
2. Sounds are standardised by the mean and sd of each MFCC over the training rows and all frames.
   An MFCC that is constant there becomes 0.
3. The paper's code takes the 20 MFCCs for the steps of a sequence and the 36 frames for the
   features of a step (``coefficients``); with time as the sequence it is ``frames``.
4. The last twelfth of the training file, 5,000 of 60,000 rows, is for validation, none of it drawn.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raysweep.data.dtypes import Array, noted
from raysweep.data.tokens import Floats, Integers
from raysweep.errors import InputError
from raysweep.text import counted

LAYOUTS = ("coefficients", "frames")
_SIDE, _PATCH = 28, 4
_MFCCS, _FRAMES = 20, 36
_SPECTROGRAM = (112, 112)
_VALIDATION = 12
"""One row of so many in the training file is for validation."""


@dataclass(frozen=True)
class AvMnist:
    """What came of a folder.

    Attributes:
        modalities: image [n, 49, 16], audio [n, 20, 36] or [n, 36, 20]; float32.
        y: [n] int64, the digit.
        split: [n] of the words train, validation and test.
        told: what people should know, a line each.
    """

    modalities: dict[str, Array]
    y: Integers
    split: Array
    told: tuple[str, ...]


def av_mnist(folder: Path, layout: str = "coefficients") -> AvMnist:
    """Make sequences of a folder's arrays.

    Args:
        folder: with the files.
        layout: what the sequence of a sound runs over, one of `LAYOUTS`.

    Raises:
        InputError: a file lacks or is no such array; all that is wrong.
    """
    if layout not in LAYOUTS:
        raise InputError(f"no layout called {layout!r}, valid are {', '.join(LAYOUTS)}")
    faults = list[str]()
    images, sounds, labels = dict[str, Array](), dict[str, Array](), dict[str, Integers]()
    for part in ("train", "test"):
        with noted(faults):
            images[part] = _images(folder / "image" / f"{part}_data.npy")
        with noted(faults):
            sounds[part] = _sounds(folder / "audio" / f"{part}_data.npy")
        with noted(faults):
            labels[part] = _labels(folder / f"{part}_labels.npy")
        if not faults:
            rows = {len(images[part]), len(sounds[part]), len(labels[part])}
            if len(rows) > 1:
                faults.append(
                    f"{part}: {len(images[part])} pictures, {len(sounds[part])} sounds and "
                    f"{len(labels[part])} labels, expected as many of each"
                )
    if not faults and len(labels["train"]) < _VALIDATION:
        faults.append(
            f"train: {counted(len(labels['train']), 'row')}, expected {_VALIDATION} or more"
        )
    if faults:
        raise InputError("; ".join(faults))
    train, test = len(labels["train"]), len(labels["test"])
    validation = train // _VALIDATION
    told = [
        f"{train - validation} rows for training, {validation} for validation, {test} for testing"
    ]
    audio = np.concatenate([sounds["train"], sounds["test"]]).astype(np.float64)
    audio, constant = _standardised(audio, train - validation)
    if constant:
        told.append(f"audio: {counted(constant, 'MFCC')} constant in train, set to 0")
    if layout == "frames":
        audio = audio.transpose(0, 2, 1)
    return AvMnist(
        {
            "image": _patches(np.concatenate([images["train"], images["test"]])),
            "audio": np.ascontiguousarray(audio, dtype=np.float32),
        },
        np.concatenate([labels["train"], labels["test"]]),
        np.repeat(["train", "validation", "test"], [train - validation, validation, test]),
        tuple(told),
    )


def _read(path: Path) -> Array:
    try:
        found: Array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (OSError, ValueError, EOFError) as error:
        words = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as an .npy file of numbers ({words})") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        what = getattr(found, "dtype", type(found).__name__)
        raise InputError(f"{path}: has {what}, expected numbers")
    if not np.isfinite(found).all():
        raise InputError(f"{path}: has NaN or infinity, expected numbers")
    return found


def _images(path: Path) -> Array:
    """Pictures [n, 784] of 0 to 255."""
    found = _read(path)
    if found.shape[1:] not in ((_SIDE**2,), (_SIDE, _SIDE)):
        raise InputError(f"{path}: has shape {found.shape}, expected [n, {_SIDE**2}]")
    if found.size and (found.min() < 0 or found.max() > 255 or found.max() <= 1):
        raise InputError(
            f"{path}: has values from {found.min()} to {found.max()}, expected 0 to 255"
        )
    return found.reshape(len(found), _SIDE**2)


def _sounds(path: Path) -> Array:
    """MFCCs [n, 20, 36]."""
    found = _read(path)
    if found.shape[1:] == _SPECTROGRAM:
        raise InputError(
            f"{path}: has spectrograms {found.shape}, which are MultiBench's AV-MNIST; expected "
            f"MFCCs [n, {_MFCCS}, {_FRAMES}]"
        )
    if found.shape[1:] != (_MFCCS, _FRAMES):
        raise InputError(f"{path}: has shape {found.shape}, expected [n, {_MFCCS}, {_FRAMES}]")
    return found


def _labels(path: Path) -> Integers:
    """Digits [n]."""
    found = _read(path)
    if found.size != len(found) or not np.isin(found, np.arange(10)).all():
        raise InputError(f"{path}: has shape {found.shape}, expected [n] of the digits 0 to 9")
    return found.reshape(-1).astype(np.int64)


def _standardised(audio: Floats, train: int) -> tuple[Floats, int]:
    """Sounds [n, 20, 36] by the first ``train`` of them, and how many MFCCs are constant there."""
    mean = audio[:train].mean(axis=(0, 2))[:, None]
    sd = audio[:train].std(axis=(0, 2))[:, None]
    return np.where(sd > 0, (audio - mean) / np.where(sd > 0, sd, 1.0), 0.0), int((sd == 0).sum())


def _patches(images: Array) -> Array:
    """Pictures [n, 784] as [n, 49, 16] float32 of 0 to 1."""
    across = _SIDE // _PATCH
    tiles = images.reshape(-1, across, _PATCH, across, _PATCH).transpose(0, 1, 3, 2, 4)
    return tiles.reshape(len(images), across**2, _PATCH**2).astype(np.float32) / np.float32(255)
