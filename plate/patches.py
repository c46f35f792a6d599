"""Patches of a plate: where the clip shows something else, and which of them lower alpha."""

from typing import NamedTuple

import cv2
import numpy as np

from .stages import Step
from .temporal_mode import temporal_mode_of_frames

#: Fewest frames that have to agree on what a pixel shows.
MIN_FREE_FRAMES = 3
#: A pixel is free where alpha stays below this, also at the pixels up to this far away.
_MAX_FREE_ALPHA, _FREE_RADIUS = 0.65, 2
#: Share of all frames, and of the frames in which a pixel is free, that have to agree on what it
#: shows.
_MIN_FREE_SHARE, _MIN_AGREEMENT = 0.08, 0.5
#: Difference in levels of 255, averaged over a square of this width in pixels, from which a pixel
#: of the plate is patched.
_MIN_DIFFERENCE, _DIFFERENCE_WIDTH = 8, 5
#: Softness of a patch's edge: standard deviation in pixels.
_SEAM = 1.5
#: Difference in levels of 255 from which a single pixel shows something else.
_MIN_PIXEL_DIFFERENCE = 24
#: A patch stays if it lowers alpha by this, as a mean over its pixels and all frames, and by this
#: many times the harm that it does.
_MIN_GAIN, _MIN_GAIN_RATIO = 0.003, 1.5
#: Patches closer to each other than half this, in pixels, are judged as one.
_JOIN_WIDTH = 9


class Patches(NamedTuple):
    """Patches of a plate.

    Attributes:
        plate: (H, W, 3), the plate with all patches.
        patched: (H, W), bool: where it was patched.
        sure: (H, W), bool: where the frames agree on the empty scene.
    """

    plate: np.ndarray
    patched: np.ndarray
    sure: np.ndarray


def find_patches(plate: np.ndarray, seen: np.ndarray, pha: np.ndarray, step: Step) -> Patches:
    """Put what free pixels show in place of what a plate shows.

    Args:
        plate: (H, W, 3), uint8 or uint16.
        seen: (N, H, W, 3), uint8, what N frames show at the pixels of the plate.
        pha: (N, H, W), uint8, alpha there.
        step: Told of the rows done.

    Returns:
        The plate is of the same type.
    """
    levels = np.float32(257 if plate.dtype == np.uint16 else 1)
    free = np.stack([_free(alpha) for alpha in pha])
    scene, agreement = temporal_mode_of_frames(seen, step, free)
    enough = max(_MIN_FREE_SHARE * len(seen), MIN_FREE_FRAMES) - 0.5
    sure = agreement * len(seen) > np.maximum(enough, _MIN_AGREEMENT * free.sum(axis=0))
    shown = plate / levels
    change = np.where(sure[..., None], scene - shown, 0)
    confirmed = np.zeros(sure.shape, int)  # free frames that show what the plate shows
    for frame, is_free in zip(seen, free, strict=True):
        confirmed += _alike(frame, plate) & is_free
    patched = sure & _differs(change, sure) & (confirmed < enough)
    wider = cv2.dilate(patched.astype(np.float32), np.ones((3, 3), np.uint8))
    weight = cv2.GaussianBlur(wider, (0, 0), _SEAM)[..., None]
    better = np.rint(plate + levels * weight * change).astype(plate.dtype)
    return Patches(better, patched, sure)


def helpful_patches(
    patched: np.ndarray,
    better: np.ndarray,
    seen: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
) -> np.ndarray:
    """Which patches lower alpha where the scene is empty, but not on the subject.

    Args:
        patched: (H, W), bool.
        better: (H, W, 3), uint8 or uint16, the plate with all patches.
        seen: (N, H, W, 3), uint8, what N frames show at the pixels of the plate.
        before, after: (N, H, W), uint8, alpha without and with the patches.

    Returns:
        (H, W), bool: these patches and their surroundings.
    """
    near = np.ones((_JOIN_WIDTH, _JOIN_WIDTH), np.uint8)
    count, labels = cv2.connectedComponents(cv2.dilate(patched.astype(np.uint8), near))
    gains = np.zeros(patched.shape)
    for frame, old, new in zip(seen, before, after, strict=True):
        fall = old / 255 - new / 255
        empty = _alike(frame, better, 1, _MIN_PIXEL_DIFFERENCE)
        harm = np.where(empty, (-fall).clip(0), fall.clip(0) * patched)
        gains += (fall.clip(0) * empty * patched) - _MIN_GAIN_RATIO * harm
    gain, pixels = (np.bincount(labels.ravel(), x.ravel(), count) for x in (gains, patched))
    stays = (gain > _MIN_GAIN * len(seen) * pixels) & (np.arange(count) > 0)
    return np.asarray(stays[labels])


def disagreement(plate: np.ndarray, seen: np.ndarray, pha: np.ndarray, step: Step) -> float:
    """Share, in [0, 1], of the free pixels of all frames that a plate does not show.

    Args:
        plate: (H, W, 3), uint8 or uint16.
        seen: (N, H, W, 3), uint8, what N frames show at the pixels of the plate.
        pha: (N, H, W), uint8, alpha there.
        step: Told of the frames done.
    """
    apart = total = 0.0
    for number, (frame, alpha) in enumerate(zip(seen, pha, strict=True)):
        step(number, len(seen))
        free = _free(alpha)
        total += np.count_nonzero(free)
        apart += np.count_nonzero(free & ~_alike(frame, plate))
    return float(apart / max(1, total))


def _free(alpha: np.ndarray) -> np.ndarray:
    """Where alpha (H, W), uint8, is low, also nearby: (H, W), bool."""
    around = np.ones((2 * _FREE_RADIUS + 1,) * 2, np.uint8)
    return np.asarray(cv2.dilate(alpha, around) < 255 * _MAX_FREE_ALPHA)


def _alike(
    frame: np.ndarray,
    plate: np.ndarray,
    width: int = _DIFFERENCE_WIDTH,
    limit: float = _MIN_DIFFERENCE,
) -> np.ndarray:
    """Where a frame (H, W, 3), uint8, shows what a plate does, uint8 or uint16: (H, W), bool."""
    shown = plate if plate.dtype == np.uint8 else np.rint(plate / 257).astype(np.uint8)
    mean = cv2.blur(cv2.absdiff(frame, shown), (width, width))
    return np.asarray(mean.max(axis=2) <= limit)


def _differs(change: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Where a change (H, W, 3), in levels, is large on average over its ``sure`` surroundings."""
    around = (_DIFFERENCE_WIDTH, _DIFFERENCE_WIDTH)
    mean = cv2.blur(np.abs(change).max(axis=2) * sure, around)
    return np.asarray(mean > _MIN_DIFFERENCE * cv2.blur(sure.astype(np.float32), around))
