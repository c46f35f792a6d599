"""Convolutions for CPUs with their weights laid out in advance and their activation built in."""

from functools import lru_cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["none", "relu", "relu6"]
_ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.ReLU6: "relu6"}


class PackedConv(nn.Module):
    """A convolution and the activation after it in one pass.

    PyTorch has the operators for its own compiler; they are no public interface, hence
    :func:`can_pack`.

    Args:
        conv: With zeros as padding; its weights are shared.
        activation: What follows.
    """

    def __init__(self, conv: nn.Conv2d, activation: Activation = "none"):
        super().__init__()
        self.conv = conv
        self.out_channels = conv.out_channels
        self._attr = {"none": "none", "relu": "relu", "relu6": "hardtanh"}[activation]
        self._bounds = [0.0, 6.0] if activation == "relu6" else []
        self._packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        where = [list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups]  # type: ignore[arg-type]
        ops = torch.ops.mkldnn
        if self._packed is None:
            self._packed = ops._reorder_convolution_weight(conv.weight, *where, list(x.shape))
        return ops._convolution_pointwise(
            x, self._packed, conv.bias, *where, self._attr, self._bounds, ""
        )


@lru_cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether packed convolutions work here, and give what ordinary ones give."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 8, 8, generator=generator)
    conv = nn.Conv2d(16, 16, 3, padding=2, dilation=2)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator))
    conv, x = conv.to(dtype), x.to(dtype).contiguous(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            got, wanted = PackedConv(conv, "relu6")(x), F.relu6(conv(x))
            return got.dtype == dtype and torch.allclose(got, wanted, rtol=0.02, atol=0.02)
    except (AttributeError, RuntimeError):
        return False


def pack(network: nn.Module) -> None:
    """Replace every convolution within ``network`` by a packed one, in place.

    An activation that follows in the same ``nn.Sequential`` is built in.
    """
    for module in list(network.modules()):
        children = [(n, c) for n, c in module.named_children() if not isinstance(c, nn.Identity)]
        for (name, child), (after, activation) in pairwise([*children, ("", nn.Identity())]):
            if isinstance(child, nn.Conv2d):
                built_in: Activation = "none"
                if isinstance(module, nn.Sequential) and type(activation) in _ACTIVATIONS:
                    built_in = _ACTIVATIONS[type(activation)]
                    setattr(module, after, nn.Identity())
                setattr(module, name, PackedConv(child, built_in))
