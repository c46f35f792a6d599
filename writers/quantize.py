"""From floats to integer levels, in the one place where that happens."""

import torch
from torch import Tensor


def to_levels(frames: Tensor) -> Tensor:
    """Round frames to 8 bits, on their device.

    Args:
        frames: (B, C, H, W) with C = 1, 3 or 4, float in [0, 1] (values outside are clamped) or
            uint8.

    Returns:
        The same shape, uint8; a pixel's channels lie side by side, as encoders want them, unless
        ``frames`` was uint8: then it is returned as it is.

    Raises:
        ValueError: The shape or the type is another.
    """
    if frames.ndim != 4 or frames.shape[1] not in (1, 3, 4):
        raise ValueError(f"frames of shape {tuple(frames.shape)}; expected (B, 1, 3 or 4, H, W)")
    if frames.dtype == torch.uint8:
        return frames
    if not frames.is_floating_point():
        raise ValueError(f"frames of type {frames.dtype}; expected float in [0, 1] or uint8")
    # float32 first: bfloat16 cannot tell all 256 levels apart
    rounded = frames.float().mul(255).round_().clamp_(0, 255)
    return rounded.to(torch.uint8, memory_format=torch.channels_last)


def to_uint8(frames: Tensor) -> Tensor:
    """Round frames to 8 bits on their device, and bring a copy of their own to the host.

    Args:
        frames: As :func:`to_levels` takes them.

    Returns:
        The same shape, uint8, on the CPU; nothing else holds its memory.

    Raises:
        ValueError: The shape or the type is another.
    """
    levels = to_levels(frames)
    return levels.clone() if levels is frames and frames.device.type == "cpu" else levels.cpu()
