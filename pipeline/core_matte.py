"""The core matte: closes holes in the subject, and leaves its edge alone."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: Longer side, in pixels, at which holes are looked for.
_WORKING_SIZE = 480
#: Alpha from which a pixel is solid there; hair, which is thinner than a pixel, is not.
_SOLID = 0.9
#: Directions of eight in which the subject has to be met, so that a notch begins to close, and so
#: that it is closed; on a straight edge it is met in three or four. And how far away, in pixels of
#: that size: a power of two.
_MIN_SIDES, _ALL_SIDES, _REACH = 5.0, 7.0, 16
#: Standard deviation, in pixels of that size, by which a core fades in from its edge.
_FADE = 2.0
#: Level from which a pixel is in the core at all; its level then says how far it is closed.
_MIN_CORE = 0.02
_DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]


def with_core(pha: Tensor, core: Tensor) -> Tensor:
    """Close the holes of alpha where a core matte is white.

    A pixel is closed if solid alpha encloses it, or is near on nearly all sides of it, as in a
    notch. Hair and soft edges have the background on half of their sides, so a rough core that
    reaches beyond the subject does not harden them.

    Args:
        pha: (B, 1, H, W), float32 in [0, 1].
        core: (1 or B, 1, H, W), likewise.

    Returns:
        (B, 1, H, W), nowhere less than ``pha``.
    """
    height, width = pha.shape[2:]
    scale = min(1.0, _WORKING_SIZE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = F.interpolate(pha, size, mode="area").cpu().numpy()[:, 0]
    mattes = F.interpolate(core, size, mode="area").cpu().numpy()[:, 0]
    mattes = np.broadcast_to(mattes, small.shape)
    shares = np.stack([_closed(a, c) for a, c in zip(small, mattes, strict=True)])
    closed = torch.from_numpy(shares)[:, None].to(pha.device)
    closed = F.interpolate(closed, (height, width), mode="bilinear")
    return torch.maximum(pha, closed * core)


def _closed(pha: np.ndarray, core: np.ndarray) -> np.ndarray:
    """How far each pixel (h, w) has to be closed, in [0, 1]."""
    if not core.any():
        return np.zeros_like(pha)
    solid = cv2.morphologyEx(
        (pha >= _SOLID).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    met, clear = np.zeros((2, *pha.shape), np.float32)
    within = core > _MIN_CORE
    for step in _DIRECTIONS:
        meets, leaves = _look(solid > 0, within, step)
        met += meets
        clear += leaves
    sides = 8 * met / np.maximum(met + clear, 1)
    share = ((sides - _MIN_SIDES) / (_ALL_SIDES - _MIN_SIDES)).clip(0, 1).astype(np.float32)
    share[solid > 0] = 0  # else the edge beside it would harden
    enclosed = _enclosed(solid > 0, within)
    rim = cv2.dilate(enclosed.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    share[enclosed | (rim & (solid > 0))] = 1
    inside = cv2.GaussianBlur(within.astype(np.float32), (0, 0), _FADE)
    fade = 2 * inside - 1
    return np.asarray(share * fade.clip(0, 1))


def _look(
    solid: np.ndarray, core: np.ndarray, step: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """From each pixel (h, w), bool, in one direction: solid alpha is near, or it is not.

    Neither is so where the line ends at the border of the frame before that. Lines double their
    length in each round.
    """
    down, across = step
    meets, within = _moved(solid, down, across), _moved(core & ~solid, down, across)
    leaves = _moved(~(core | solid), down, across)
    length = 1
    while length < _REACH:
        y, x = down * length, across * length
        meets |= within & _moved(meets, y, x)
        leaves |= within & _moved(leaves, y, x)
        within &= _moved(within, y, x)
        length *= 2
    return meets, leaves | within


def _enclosed(solid: np.ndarray, core: np.ndarray) -> np.ndarray:
    """What solid alpha (h, w), bool, encloses inside of the core: no way leads out of both."""
    count, labels = cv2.connectedComponents((~solid).astype(np.uint8), connectivity=4)
    is_open = np.zeros(count, bool)
    is_open[np.unique(labels[~core])] = True
    for border in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        is_open[border] = True
    return ~is_open[labels] & ~solid


def _moved(mask: np.ndarray, down: int, across: int) -> np.ndarray:
    """What is so far down and across of each pixel (h, w), bool; False beyond the border."""
    height, width = mask.shape
    moved = np.zeros_like(mask)
    if abs(down) < height and abs(across) < width:
        to = np.s_[max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)]
        at = np.s_[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)]
        moved[to] = mask[at]
    return moved
