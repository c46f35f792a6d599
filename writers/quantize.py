"""Rounds levels to what a file holds; no other code does."""

import cv2
import numpy as np
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
        return _interleaved(frames.clamp(-most, most).to(wanted))
    if frames.dtype == torch.uint8:
        return frames.to(torch.int32).mul_(257).to(wanted)
    if not frames.is_floating_point():
        known = " or ".join(str(kind).removeprefix("torch.") for kind in {wanted, torch.uint8})
        raise ValueError(f"frames of type {frames.dtype}; expected float in [0, 1] or {known}")
    # float32 first: bfloat16 does not represent all 256 levels
    white = torch.iinfo(wanted).max
    rounded = frames.float().mul(white).round_().clamp_(0, white)
    return _interleaved(rounded.to(wanted))


def no_levels(shape: tuple[int, int, int, int], depth: Depth) -> Tensor:
    """Levels (B, C, H, W) of 0, as of :func:`to_levels`, on the CPU."""
    batch, channels, height, width = shape
    kind = torch.empty(0, dtype=_TYPES[depth]).numpy().dtype
    levels = np.zeros((batch, height, width, channels), kind)  # takes no time until it is filled
    return torch.from_numpy(levels).permute(0, 3, 1, 2)


def _interleaved(levels: Tensor) -> Tensor:
    """Levels (B, C, H, W) with channels-last memory."""
    if levels.device.type != "cpu" or levels.shape[1] == 1 or not levels.is_contiguous():
        return levels.contiguous(memory_format=torch.channels_last)
    whole = torch.empty_like(levels, memory_format=torch.channels_last)
    for planes, out in zip(levels, whole, strict=True):  # OpenCV is many times faster than PyTorch
        cv2.merge([_bits(plane) for plane in planes], dst=_bits(out.permute(1, 2, 0)))
    return whole


def _bits(levels: Tensor) -> np.ndarray:
    """The memory of levels; float16 as uint16, as OpenCV does not know it."""
    array: np.ndarray = levels.numpy()
    return array.view(np.uint16) if array.dtype == np.float16 else array


def to_host_levels(frames: Tensor, depth: Depth = 8) -> Tensor:
    """As :func:`to_levels`, on the CPU; the memory is never shared with ``frames``."""
    levels = to_levels(frames, depth)
    return levels.clone() if levels is frames and frames.device.type == "cpu" else levels.cpu()
