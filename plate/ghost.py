"""Finding what stands in a plate and not in its clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .compare import AGREE, difference

#: Width, in pixels, of the surroundings that are compared on both sides of an outline.
_BESIDE = 7
#: Share of the frames that an outline has to be in at the same place.
_LASTING = 0.4
#: Outlines of nobody, as a share of the half perimeter, that short ones have to stand out from.
_STRAY = 0.6


@dataclass(frozen=True)
class Ghost:
    """Outlines that lie in the plate rather than in the frames, at the same place over time.

    Attributes:
        share: Their share, in [0, 1], among all outlines that stay at their place; a few more are
            counted with these, so that short ones alone tell nothing.
        where: (x, y), their middle as shares of width and height.
    """

    share: float
    where: tuple[float, float]


def find_ghost(frames: Sequence[np.ndarray], plate: np.ndarray) -> Ghost:
    """Look for somebody in the plate.

    Whatever stands in either picture makes both differ, and the outline of that difference is an
    edge in the picture where it stands. The subject's outlines lie in the frames and move; those
    of a ghost lie in the plate and stay.

    Args:
        frames: (H, W, 3) each, RGB in levels, in the plate's light and framing.
        plate: (H, W, 3), likewise.
    """
    height, width = plate.shape[:2]
    balance, lasting = np.zeros((2, height, width), np.float32)
    for frame in frames:
        foreign = _foreign(frame, plate)
        outline = _outline(foreign)
        here, there = _contrast(plate, foreign), _contrast(frame, foreign)
        balance += outline & (here > 1.5 * there + 4)
        balance -= outline & (there > 1.5 * here + 4)
        lasting += outline
    ghost = balance >= _LASTING * len(frames)
    found, stay = int(ghost.sum()), int((lasting >= _LASTING * len(frames)).sum())
    y, x = np.nonzero(ghost) if found else (np.zeros(1), np.zeros(1))
    return Ghost(
        share=found / (stay + _STRAY * (height + width)),
        where=(float(x.mean() / width), float(y.mean() / height)),
    )


def _foreign(frame: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """Where both show different things: (H, W), 0 or 1, without specks and lines."""
    mask = (cv2.blur(difference(frame, plate), (3, 3)) > AGREE).astype(np.uint8)
    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))


def _outline(mask: np.ndarray) -> np.ndarray:
    """The edge of a mask: (H, W), bool; not along the picture's own edge."""
    beside = np.ones((3, 3), np.uint8)
    outline = cv2.dilate(mask, beside) > cv2.erode(mask, beside, borderValue=1)
    outline[:2], outline[-2:], outline[:, :2], outline[:, -2:] = False, False, False, False
    return outline


def _contrast(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """How far the colours inside of a mask are from those outside nearby: (H, W), in levels."""
    inside = cv2.merge([mask.astype(np.float32)] * 3)
    shares = [cv2.blur(part, (_BESIDE, _BESIDE)) + 1e-3 for part in (inside, 1 - inside)]
    sums = [cv2.blur(picture * part, (_BESIDE, _BESIDE)) for part in (inside, 1 - inside)]
    return difference(sums[0] / shares[0], sums[1] / shares[1])
