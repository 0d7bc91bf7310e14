"""A vision model of a user's own code, which says how often an image is prepared."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PREPARED = "OWN_VISION_PREPARED"
"""The file to which each image that is prepared adds a byte."""
SLOW = "OWN_VISION_SLOW"
"""Seconds that each image takes."""


class Two(nn.Module):
    """A convolution and its means: a layer over places and a flat one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 4, 8, stride=8)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """[b, 3, 32, 32] to [b, 4, 4, 4] and [b, 4]."""
        places = self.convolution(pixels)
        return [places, places.amax(dim=(2, 3))]


def prepare(image: Any) -> Tensor:
    """An image of Pillow's as [3, 32, 32]."""
    if path := os.environ.get(PREPARED):
        with Path(path).open("ab") as file:
            file.write(b".")
    time.sleep(float(os.environ.get(SLOW, "0")))
    return torch.from_numpy(np.array(image.resize((32, 32)))).permute(2, 0, 1) / 255


def model() -> Any:
    """What `raysweep features own_vision:model` calls."""
    return Two(), prepare


def slow() -> Any:
    """The same, under another name."""
    return model()


def none() -> Any:
    """Not what is expected."""
    return Two()
