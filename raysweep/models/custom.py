"""A user's own encoder: torch modules of one factory, packed onto rows of the flat buffer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from raysweep.errors import InputError
from raysweep.models.held import numbers_of_a_row
from raysweep.plugins.user_code import check_call, imported


@dataclass(frozen=True)
class CustomEncoder:
    """One modality's encoder, for all members of a pack at once.

    The factory is called with inputs, depth and width and returns a module that maps rows
    [b, inputs] to the representation [b, width], or to a list of `depth` hidden layers
    [b, width] each, the last one the representation. What is computed from a row must not depend
    on the others (`raysweep.models.packable.check_packing`).

    Attributes:
        place: what the factory is called in messages.
        factory: (*, inputs, depth, width, **options) -> module.
        inputs: features of the modality.
        depth: hidden layers that are asked for.
        width: features of every layer.
        options: further keyword arguments of the factory.
    """

    place: str
    factory: Callable[..., nn.Module]
    inputs: int
    depth: int
    width: int
    options: Mapping[str, object] = field(default_factory=dict)

    def built(self, seed: int) -> nn.Module:
        """The module with the weights that the factory draws after torch was seeded so.

        Set to train, as a loop of one's own would, by the module's own `train`; what it or the
        factory has put in evaluation (a frozen BatchNorm, say) stays there.
        """
        sizes = {"inputs": self.inputs, "depth": self.depth, "width": self.width}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            module = self.factory(**sizes, **self.options)
        if not isinstance(module, nn.Module):
            raise InputError(
                f"{self.place}: the function returned {type(module).__name__}; it must return a "
                "torch.nn.Module"
            )
        evaluating = [part for part in module.modules() if not part.training]
        module.train()
        for part in evaluating:
            part.training = False
        return module

    @cached_property
    def module(self) -> nn.Module:
        """A module for its structure and its buffers; its own weights count for nothing."""
        return self.built(0)

    @cached_property
    def _placed(self) -> dict[tuple[torch.dtype, torch.device], dict[str, Tensor]]:
        return {}

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph can hold `forward`, which the module may say by an attribute.

        It reads no value back from the device then, makes no tensor of numbers of Python's, and
        lets no value decide on a branch or a shape.
        """
        return bool(getattr(self.module, "capturable", False))

    @cached_property
    def sizes(self) -> dict[str, torch.Size]:
        """The shape of every parameter, in the order of the flat buffer."""
        return {name: parameter.shape for name, parameter in self.module.named_parameters()}

    @cached_property
    def parameter_count(self) -> int:
        """Parameters of one member."""
        return sum(size.numel() for size in self.sizes.values())

    @cached_property
    def frozen(self) -> frozenset[str]:
        """Names of the parameters that stay as they were drawn (requires_grad is False)."""
        named = self.module.named_parameters()
        return frozenset(name for name, parameter in named if not parameter.requires_grad)

    @cached_property
    def frozen_columns(self) -> np.ndarray:
        """Where they lie in a member's parameters, int64."""
        sizes = [(name in self.frozen, size.numel()) for name, size in self.sizes.items()]
        return np.flatnonzero(np.repeat(*np.array(sizes, dtype=np.int64).reshape(-1, 2).T))

    @cached_property
    def untrained_layers(self) -> tuple[int, ...]:
        """Numbers, from 1, of the layers that no trained parameter has an influence on."""
        parameters = torch.zeros(1, self.parameter_count, requires_grad=True)
        with torch.enable_grad():
            layers = self.forward(parameters, torch.zeros(1, 2, self.inputs))
        return tuple(number for number, h in enumerate(layers, 1) if not h.requires_grad)

    @cached_property
    def layers(self) -> int:
        """Layers that `forward` returns: as many as it is deep, or the representation alone."""
        with torch.no_grad():
            return len(self.hidden(self.module, torch.zeros(2, self.inputs)))

    @cached_property
    def activations(self) -> int:
        """Numbers of a row that one member's forward pass leaves for the backward pass."""
        # The engine's inputs have a column of ones behind.
        return numbers_of_a_row(
            self.forward,
            self.parameter_count,
            lambda rows: torch.zeros(1, rows, self.inputs + 1)[:, :, :-1],
        )

    def initial_parameters(self, stream: np.random.Generator) -> np.ndarray:
        """One member's initial parameters, [parameter_count], float64."""
        module = self.built(int(stream.integers(2**63 - 1)))
        flat = [parameter.detach().double().reshape(-1) for parameter in module.parameters()]
        return torch.cat(flat).numpy()

    def forward(self, parameters: Tensor, x: Tensor) -> list[Tensor]:
        """The layers that alignment may be measured on, the representation last.

        Args:
            parameters: [m, parameter_count].
            x: [m, n, inputs].

        Returns:
            Each [m, width, n], differentiable by the parameters.

        Raises:
            InputError: the module returns something else.
        """
        blocks = parameters.split([size.numel() for size in self.sizes.values()], dim=1)
        stacked = {
            name: block.unflatten(1, size) if size else block[:, 0]
            for (name, size), block in zip(self.sizes.items(), blocks, strict=True)
        }
        stacked |= {name: stacked[name].detach() for name in self.frozen}
        buffers = self._buffers(x.dtype, x.device)

        def run(own: dict[str, Tensor], rows: Tensor) -> list[Tensor]:
            return self.hidden(
                lambda given: functional_call(self.module, (own, buffers), (given,)), rows
            )

        # Of attention's fused kernels, vmap would run the CPU's member by member.
        with sdpa_kernel(SDPBackend.MATH):
            hidden: list[Tensor] = vmap(run)(stacked, x)
        return [layer.mT for layer in hidden]

    def _buffers(self, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        """The module's buffers on a device, the floating ones in a dtype; they never change."""
        if (dtype, device) not in self._placed:
            # Once: a step that is captured copies nothing from the host.
            self._placed[dtype, device] = {
                name: buffer.to(device, dtype if buffer.is_floating_point() else buffer.dtype)
                for name, buffer in self.module.named_buffers()
            }
        return self._placed[dtype, device]

    def hidden(self, module: Callable[[Tensor], Any], x: Tensor) -> list[Tensor]:
        """The layers [n, width] that one member's module returns for rows [n, inputs].

        Raises:
            InputError: it returns something else.
        """
        returned = module(x)
        layers = list(returned) if isinstance(returned, list | tuple) else [returned]
        good = all(isinstance(h, Tensor) and h.shape == (len(x), self.width) for h in layers)
        alone = isinstance(returned, Tensor)
        if not good or not (alone or len(layers) == self.depth):
            raise InputError(
                f"{self.place}: the module returned {_described(returned)} for rows "
                f"{list(x.shape)} at depth {self.depth} and width {self.width}; it must return "
                f"the representation {[len(x), self.width]}, or a list of {self.depth} such "
                "layers, the representation last"
            )
        return layers


def custom_encoder(
    path: str, inputs: int, depth: int, width: int, options: Mapping[str, object]
) -> CustomEncoder:
    """A user's own encoder.

    Args:
        path: "package.module:function".
        inputs: features of the modality.
        depth: hidden layers.
        width: features of every layer.
        options: further keyword arguments of the function.

    Raises:
        InputError: the path names no function that could be called so.
    """
    place = f"encoder {path}"
    factory = imported(path, place)
    form = f"{path.partition(':')[2]}(inputs=..., depth=..., width=..., **options)"
    sizes = {"inputs": inputs, "depth": depth, "width": width}
    reserved = sorted(sizes.keys() & options.keys())
    if reserved:
        raise InputError(f"{place}: {', '.join(reserved)} is no option; the model grid gives it")
    check_call(factory, place, form, (), sizes, options)
    return CustomEncoder(place, factory, inputs, depth, width, dict(options))


def _described(returned: object) -> str:
    if isinstance(returned, Tensor):
        return f"shape {list(returned.shape)}"
    if isinstance(returned, list | tuple):
        return f"a list of {', '.join(map(_described, returned)) or 'nothing'}"
    return type(returned).__name__
