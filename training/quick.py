"""Layers as they are, with gradients that CPUs compute several times faster.

PyTorch's own are slow on CPUs for depthwise convolutions with a dilation or a stride, and for
bilinear resizing in channels-last memory: together half of a step of the base.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.decoder import Decoder


def quicken(network: nn.Module) -> None:
    """Give the layers of ``network`` their quick forms, in place; its weights stay as they are."""
    for module in network.modules():
        if type(module) is Decoder:
            module.__class__ = _QuickDecoder
        elif type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
            if module.dilation[0] > 1:
                module.__class__ = _Dilated
            elif module.stride[0] > 1:
                module.__class__ = _Strided


class _QuickDecoder(Decoder):
    @staticmethod
    def enlarge(x: Tensor, height: int, width: int) -> Tensor:
        if (height, width) == (2 * x.shape[2], 2 * x.shape[3]):
            return _Doubled.apply(x)
        return Decoder.enlarge(x, height, width)


class _Doubled(torch.autograd.Function):
    """Bilinear resizing to twice the size: a pixel gets 3/4 of the nearest and 1/4 of the next."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return Decoder.enlarge(x, 2 * x.shape[2], 2 * x.shape[3])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _gathered(_gathered(gradients[0], 2), 3)


def _gathered(gradient: Tensor, axis: int) -> Tensor:
    """What the pixels along ``axis`` are given of the gradient of their doubled number."""
    count = gradient.shape[axis] // 2
    first, second = gradient.unflatten(axis, (count, 2)).unbind(axis + 1)
    given = (first + second).mul_(0.75)
    for one, to, by in ((first, 0, 1), (second, 1, 0)):  # the next pixel's half on this side
        given.narrow(axis, to, count - 1).add_(one.narrow(axis, by, count - 1), alpha=0.25)
    for one, edge in ((first, 0), (second, count - 1)):  # beyond the edge, the edge itself
        given.narrow(axis, edge, 1).add_(one.narrow(axis, edge, 1), alpha=0.25)
    return given


class _Dilated(nn.Conv2d):
    """A dilated convolution as a dense one on every ``dilation``-th pixel, one phase after another.

    Pads with as many zeros as its dilation, and has no stride.
    """

    def forward(self, x: Tensor) -> Tensor:
        step, (height, width) = self.dilation[0], x.shape[2:]
        x = F.pad(x, (0, -width % step, 0, -height % step)).permute(0, 2, 3, 1)
        x = x.unflatten(2, (-1, step)).unflatten(1, (-1, step))  # (B, h, step, w, step, C)
        phases = x.permute(0, 2, 4, 1, 3, 5).flatten(0, 2).permute(0, 3, 1, 2)
        y = F.conv2d(phases, self.weight, padding=1, groups=self.groups)
        y = y.permute(0, 2, 3, 1).unflatten(0, (-1, step, step)).permute(0, 3, 1, 4, 2, 5)
        return y.flatten(3, 4).flatten(1, 2)[:, :height, :width].permute(0, 3, 1, 2)


class _Strided(nn.Conv2d):
    """A convolution with a stride as one without, of which every ``stride``-th pixel is kept."""

    def forward(self, x: Tensor) -> Tensor:
        step = self.stride[0]
        y = F.conv2d(x, self.weight, padding=self.padding, groups=self.groups)
        return y[..., ::step, ::step].contiguous(memory_format=torch.channels_last)
