"""Patches for a plate: where the clip shows something else, and whether it helps to show it."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from .temporal_mode import densest_of_clip

#: Fewest frames that have to agree on what a pixel shows.
MIN_FREE_FRAMES = 3
#: A pixel is free where alpha stays below this, at its neighbours too, so many pixels away.
_FREE, _AROUND = 0.65, 2
#: What the clip shows there counts if it does so in this share of the frames, too, as does what the
#: plate shows; and in this share of the moments when the pixel is free.
_FREE_SHARE, _STEADY = 0.08, 0.5
#: Levels of 255, averaged over as many pixels, by which the plate has to differ to be mended, and
#: the softness, in pixels, of the seam; and levels by which a pixel alone is another.
_APART, _PATCH, _SEAM, _ALONE = 8, 5, 1.5, 24
#: A patch stays if it makes alpha fall by this, as a mean over its pixels and all frames, and by
#: as many times what it does wrong; patches as near to each other are one.
_HELPS, _TIMES, _NEAR = 0.003, 1.5, 9


class Patches(NamedTuple):
    """A mended plate (H, W, 3), where it was mended, and where the clip shows it, (H, W), bool."""

    plate: np.ndarray
    patches: np.ndarray
    sure: np.ndarray


def find_patches(
    plate: np.ndarray, seen: np.ndarray, pha: np.ndarray, between: Callable[[], None]
) -> Patches:
    """Put what is seen, where that is free, in the place of what a plate shows.

    Args:
        plate: (H, W, 3), uint8 or uint16.
        seen: (N, H, W, 3), uint8, the pixels of the plate at N moments.
        pha: (N, H, W), uint8, alpha there.
        between: Called now and then; what it raises ends the work.

    Returns:
        The plate is of the same type.
    """
    levels = np.float32(257 if plate.dtype == np.uint16 else 1)
    around = np.ones((2 * _AROUND + 1,) * 2, np.uint8)
    free = np.stack([cv2.dilate(alpha, around) < 255 * _FREE for alpha in pha])
    scene, agreement = densest_of_clip(seen, between, free)
    enough = max(_FREE_SHARE * len(seen), MIN_FREE_FRAMES) - 0.5
    sure = agreement * len(seen) > np.maximum(enough, _STEADY * free.sum(axis=0))
    shown = plate / levels
    change = np.where(sure[..., None], scene - shown, 0)
    moments = np.zeros(sure.shape, int)
    for frame, there in zip(seen, free, strict=True):
        moments += _alike(frame, plate) & there
    patches = sure & _apart(change, sure) & (moments < enough)
    wider = cv2.dilate(patches.astype(np.float32), np.ones((3, 3), np.uint8))
    weight = cv2.GaussianBlur(wider, (0, 0), _SEAM)[..., None]
    better = np.rint(plate + levels * weight * change).astype(plate.dtype)
    return Patches(better, patches, sure)


def helpful_patches(
    patches: np.ndarray,
    better: np.ndarray,
    seen: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
) -> np.ndarray:
    """Which patches make alpha fall where nobody stands, but not on the subject.

    Args:
        patches: (H, W), bool.
        better: (H, W, 3), uint8 or uint16, the plate with all patches.
        seen: (N, H, W, 3), uint8, the pixels of the plate at N moments.
        before, after: (N, H, W), uint8, alpha without and with the patches.

    Returns:
        (H, W), bool: these patches, and what is around them.
    """
    near = np.ones((_NEAR, _NEAR), np.uint8)
    count, labels = cv2.connectedComponents(cv2.dilate(patches.astype(np.uint8), near))
    gains = np.zeros(patches.shape)
    for frame, old, new in zip(seen, before, after, strict=True):
        fall = old / 255 - new / 255
        empty = _alike(frame, better, 1, _ALONE)
        lost = np.where(empty, (-fall).clip(0), fall.clip(0) * patches)
        gains += (fall.clip(0) * empty * patches) - _TIMES * lost
    gain, pixels = (np.bincount(labels.ravel(), x.ravel(), count) for x in (gains, patches))
    stays = (gain > _HELPS * len(seen) * pixels) & (np.arange(count) > 0)
    return np.asarray(stays[labels])


def _alike(
    frame: np.ndarray, plate: np.ndarray, patch: int = _PATCH, apart: float = _APART
) -> np.ndarray:
    """Where a frame (H, W, 3), uint8, shows what a plate does, uint8 or uint16: (H, W), bool."""
    shown = plate if plate.dtype == np.uint8 else np.rint(plate / 257).astype(np.uint8)
    mean = cv2.blur(cv2.absdiff(frame, shown), (patch, patch))
    return np.asarray(mean.max(axis=2) <= apart)


def _apart(change: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Where a change (H, W, 3), in levels, is large around, as far as that is ``sure``."""
    around = (_PATCH, _PATCH)
    mean = cv2.blur(np.abs(change).max(axis=2) * sure, around)
    return np.asarray(mean > _APART * cv2.blur(sure.astype(np.float32), around))
