"""Rounds levels to what a file holds; no other code does."""

import torch
from torch import Tensor

from .formats import Depth

_TYPES: dict[Depth, torch.dtype] = {
    8: torch.uint8,
    16: torch.uint16,
    "half": torch.float16,
    "float": torch.float32,
}


def to_levels(frames: Tensor, depth: Depth = 8) -> Tensor:
    """Round frames to the levels of a depth, on their device.

    Args:
        frames: (B, C, H, W) with C = 1, 3 or 4: float, or integers over the full range of their
            type, of no more than ``depth`` bits.
        depth: Bits per level, or the type of float.

    Returns:
        The same shape, uint8, uint16, float16 or float32, with channels-last memory, which encoders
        need. Integers hold [0, 1], and values outside are clamped; float holds them. Frames that
        have this type already are returned as they are.

    Raises:
        ValueError: ``frames`` has another shape or type.
    """
    if frames.ndim != 4 or frames.shape[1] not in (1, 3, 4):
        raise ValueError(f"frames of shape {tuple(frames.shape)}; expected (B, 1, 3 or 4, H, W)")
    wanted = _TYPES[depth]
    if frames.dtype == wanted:
        return frames
    if wanted.is_floating_point:
        if not frames.is_floating_point():
            frames = frames.float().div_(torch.iinfo(frames.dtype).max)
        most = torch.finfo(wanted).max
        return frames.clamp(-most, most).to(wanted, memory_format=torch.channels_last)
    if frames.dtype == torch.uint8:
        return frames.to(torch.int32).mul_(257).to(wanted)
    if not frames.is_floating_point():
        known = " or ".join(str(kind).removeprefix("torch.") for kind in {wanted, torch.uint8})
        raise ValueError(f"frames of type {frames.dtype}; expected float in [0, 1] or {known}")
    # float32 first: bfloat16 does not represent all 256 levels
    white = torch.iinfo(wanted).max
    rounded = frames.float().mul(white).round_().clamp_(0, white)
    return rounded.to(wanted, memory_format=torch.channels_last)


def to_host_levels(frames: Tensor, depth: Depth = 8) -> Tensor:
    """As :func:`to_levels`, on the CPU; the memory is never shared with ``frames``."""
    levels = to_levels(frames, depth)
    return levels.clone() if levels is frames and frames.device.type == "cpu" else levels.cpu()
