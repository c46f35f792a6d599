"""Finds what stands in a plate and not in its clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .compare import MAX_AGREEING_DIFFERENCE, difference

#: Width, in pixels, of the surroundings that are compared on both sides of an outline.
_SURROUNDINGS = 7
#: Share of the shorter side, at the border, in which outlines do not count: cameras and scanners
#: leave dark lines there, and an aligned plate may end.
_BORDER = 0.03
#: Share of the frames that have to show an outline at the same place.
_MIN_LASTING_SHARE = 0.4
#: Outlines that are added to those found, as a share of the half perimeter: short ones say nothing.
_ADDED_OUTLINES = 0.6


@dataclass(frozen=True)
class Ghost:
    """Outlines that are in the plate rather than in the frames, at the same place over time.

    Attributes:
        share: Their share, in [0, 1], of all outlines that stay at their place; a constant number
            of outlines is added to these, so that a few short ones say nothing.
        where: (x, y), their centre as shares of width and height.
    """

    share: float
    where: tuple[float, float]


def find_ghost(frames: Sequence[np.ndarray], plate: np.ndarray) -> Ghost:
    """Search a plate for somebody.

    Frame and plate differ where something stands in either of them. The outline of the difference
    is an edge in the image where it stands. Outlines of the subject are in the frames, and move.
    Those of a ghost are in the plate, and stay.

    Args:
        frames: (H, W, 3) each, RGB in levels, in the light and the place of the plate.
        plate: (H, W, 3), likewise.
    """
    height, width = plate.shape[:2]
    balance, lasting = np.zeros((2, height, width), np.float32)
    for frame in frames:
        differs = _difference_mask(frame, plate)
        outline = _outline(differs)
        in_plate, in_frame = _contrast(plate, differs), _contrast(frame, differs)
        balance += outline & (in_plate > 1.5 * in_frame + 4)
        balance -= outline & (in_frame > 1.5 * in_plate + 4)
        lasting += outline
    ghost = balance >= _MIN_LASTING_SHARE * len(frames)
    found, stay = int(ghost.sum()), int((lasting >= _MIN_LASTING_SHARE * len(frames)).sum())
    y, x = np.nonzero(ghost) if found else (np.zeros(1), np.zeros(1))
    return Ghost(
        share=found / (stay + _ADDED_OUTLINES * (height + width)),
        where=(float(x.mean() / width), float(y.mean() / height)),
    )


def _difference_mask(frame: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """Where both show different things: (H, W), 0 or 1, without specks and lines."""
    mask = (cv2.blur(difference(frame, plate), (3, 3)) > MAX_AGREEING_DIFFERENCE).astype(np.uint8)
    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))


def _outline(mask: np.ndarray) -> np.ndarray:
    """The edge of a mask: (H, W), bool; not near the border of the image."""
    neighbours = np.ones((3, 3), np.uint8)
    outline = cv2.dilate(mask, neighbours) > cv2.erode(mask, neighbours, borderValue=1)
    near = max(2, round(_BORDER * min(mask.shape)))
    inside = np.zeros_like(outline)
    inside[near:-near, near:-near] = outline[near:-near, near:-near]
    return inside


def _contrast(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """How far colours inside of a mask are from those outside nearby: (H, W), in levels."""
    inside = cv2.merge([mask.astype(np.float32)] * 3)
    around = (_SURROUNDINGS, _SURROUNDINGS)
    shares = [cv2.blur(part, around) + 1e-3 for part in (inside, 1 - inside)]
    sums = [cv2.blur(image * part, around) for part in (inside, 1 - inside)]
    return difference(sums[0] / shares[0], sums[1] / shares[1])
