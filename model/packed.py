"""Convolutions for CPUs, with reordered weights and a fused activation."""

from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["none", "relu", "relu6"]
#: Shapes whose order of weights is remembered.
_MAX_SHAPES = 256
_ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.ReLU6: "relu6"}


class PackedConv(nn.Module):
    """A convolution and the activation after it in one pass.

    It uses operators of PyTorch's compiler, which are not a public interface; :func:`can_pack`
    tests them.

    Args:
        conv: A convolution with zero padding; its weights are shared.
        activation: The activation after it.
    """

    def __init__(self, conv: nn.Conv2d, activation: Activation = "none"):
        super().__init__()
        self.conv = conv
        self.out_channels = conv.out_channels
        self._attr = {"none": "none", "relu": "relu", "relu6": "hardtanh"}[activation]
        self._bounds = [0.0, 6.0] if activation == "relu6" else []
        # The order of the weights that inputs of a shape need, and the weights in each order.
        self._orders: dict[torch.Size, bytes] = {}
        self._packed: dict[bytes, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        where = [list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups]  # type: ignore[arg-type]
        packed = self._weights_for(x.shape, where)
        return torch.ops.mkldnn._convolution_pointwise(
            x, packed, conv.bias, *where, self._attr, self._bounds, ""
        )

    def _weights_for(self, shape: torch.Size, where: list[Any]) -> Tensor:
        """The weights in the order for a shape: another one costs many times the convolution."""
        order = self._orders.get(shape)
        if order is None:
            if len(self._orders) >= _MAX_SHAPES:
                self._orders.clear()
            ops = torch.ops.mkldnn
            packed = ops._reorder_convolution_weight(self.conv.weight, *where, list(shape))
            described = ops._get_mkldnn_serialized_md(packed).view(torch.int32)
            # For some kernels the width stands in there, though the weights are the same.
            order = bytes(described.masked_fill(described == shape[-1], 0).numpy())
            self._packed.setdefault(order, packed)
            self._orders[shape] = order
        return self._packed[order]


@lru_cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether packed convolutions work here and give the same results as ordinary ones."""
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
    """Replace every convolution in ``network`` by a packed one, in place.

    An activation that follows it in the same ``nn.Sequential`` is fused.
    """
    for module in list(network.modules()):
        children = [(n, c) for n, c in module.named_children() if not isinstance(c, nn.Identity)]
        for (name, child), (after, activation) in pairwise([*children, ("", nn.Identity())]):
            if isinstance(child, nn.Conv2d):
                fused: Activation = "none"
                if isinstance(module, nn.Sequential) and type(activation) in _ACTIVATIONS:
                    fused = _ACTIVATIONS[type(activation)]
                    setattr(module, after, nn.Identity())
                setattr(module, name, PackedConv(child, fused))
