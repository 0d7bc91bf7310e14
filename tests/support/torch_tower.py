"""An encoder with its head, of torch's own layers, filled from a row of the packed buffer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TorchTower(nn.Module):
    """What gives `layers` of rows and has a `head`."""

    head: nn.Linear

    def weights(self) -> Sequence[nn.Parameter]:
        """The encoder's parameters in the order of the packed buffer."""
        raise NotImplementedError

    def layers(self, x: Tensor) -> list[Tensor]:
        """The hidden layers of rows [n, inputs]: each [n, width]."""
        raise NotImplementedError

    def load(self, flat: Tensor) -> None:
        """Take the weights of a member's encoder and head, [parameters]."""
        nn.utils.vector_to_parameters(flat[: -self.head_size].clone(), list(self.weights()))
        block = flat[-self.head_size :].view(len(self.head.bias), -1)
        self.head.weight.data, self.head.bias.data = block[:, :-1].clone(), block[:, -1].clone()

    def flat(self) -> Tensor:
        """The weights as `load` takes them."""
        head = torch.cat((self.head.weight, self.head.bias[:, None]), dim=1)
        return torch.cat([w.detach().flatten() for w in (*self.weights(), head)])

    @property
    def head_size(self) -> int:
        """Parameters of the head."""
        return self.head.weight.numel() + self.head.bias.numel()
