"""The curve of sRGB, which also holds outside of [0, 1]."""

import torch
from torch import Tensor

# IEC 61966-2-1; below the knee the curve is a line.
_ENCODED_KNEE, _LINEAR_KNEE, _SLOPE = 0.04045, 0.04045 / 12.92, 12.92
_OFFSET, _GAMMA = 0.055, 2.4


def to_linear(levels: Tensor) -> Tensor:
    """Linear light for levels of sRGB, both float.

    Levels above 1 follow the same curve, and below 0 its mirror image (extended sRGB).
    """
    size = levels.abs()
    # a power, twice as fast on CPUs
    light = ((size + _OFFSET) / (1 + _OFFSET)).log2_().mul_(_GAMMA).exp2_()
    return torch.where(size <= _ENCODED_KNEE, levels / _SLOPE, light.copysign_(levels))


def from_linear(light: Tensor) -> Tensor:
    """Levels of sRGB for linear light; the inverse of :func:`to_linear`."""
    size = light.abs()
    levels = size.pow(1 / _GAMMA).mul_(1 + _OFFSET).sub_(_OFFSET)
    return torch.where(size <= _LINEAR_KNEE, light * _SLOPE, levels.copysign_(light))
