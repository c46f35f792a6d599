"""Whether the camera stands still, from the frames alone: it decides how they make a plate."""

from collections.abc import Sequence

import cv2
import numpy as np

from .compare import find_moves, mean_distance
from .registration import grey_copies
from .track import MotionTracker

#: The frame's tiles, down and across; those along the border are compared.
_TILES = (4, 6)
#: Slope, in levels per pixel, from which a pixel is an edge, and edges that a tile needs to count.
_MIN_SLOPE, _MIN_EDGES = 2.0, 24
#: Difference in levels at which a pixel agrees by half.
_HALF_AGREEMENT = 8.0
#: By how much more the edges of a tile have to agree once they are moved, and by how much less they
#: have to for it to speak against a move, both in [0, 1].
_MIN_GAIN, _MIN_LOSS = 0.02, 0.06
#: Tiles that have to speak for a move, their least share, and the largest share of those against.
_MIN_TILES, _MIN_SHARE, _MAX_AGAINST = 3, 0.5, 0.1
#: Distance, in pixels of frames 384 wide, from which the camera moved.
_MIN_DISTANCE = 0.5


def camera_move(befores: Sequence[np.ndarray], afters: Sequence[np.ndarray]) -> float:
    """How far the camera moves between two frames, as the median over pairs of frames.

    A subject that moves takes along the edges of some tiles. A camera takes along most of those
    along the border of the frame, on both sides, and leaves hardly any in place.

    Args:
        befores, afters: (H, W, 3) each, RGB, uint8, a few hundred pixels wide.

    Returns:
        Pixels; 0 if the camera stands still, or nothing can be told.
    """
    if not befores:
        return 0.0
    moves = find_moves(afters, befores)
    distances = []
    for before, after, move in zip(befores, afters, moves, strict=True):
        homographies = [move.homography, *_followed(before, after)]
        found = [h for h in homographies if _takes_border_along(before, after, h)]
        distances.append(max((mean_distance(h, after.shape[:2]) for h in found), default=0.0))
    distance = float(np.median(distances))
    return distance if distance >= _MIN_DISTANCE else 0.0


def _followed(before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    """Moves (3, 3) that corners of a frame make until another: a zoom is found so."""
    tracker = MotionTracker(before.shape[:2])
    for image in (before, after):
        (grey,) = grey_copies(image, (max(image.shape),))
        moves = tracker.step(grey)
    return moves


def _takes_border_along(before: np.ndarray, after: np.ndarray, homography: np.ndarray) -> bool:
    """Whether a homography explains the edges along the border better than none."""
    height, width = after.shape[:2]
    now, then = (_soft_grey(image) for image in (after, before))
    moved = cv2.warpPerspective(then, homography, (width, height), borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpPerspective(np.ones_like(then), homography, (width, height)) > 0.99
    across, down = (cv2.Scharr(now, cv2.CV_32F, x, 1 - x, scale=1 / 32) for x in (1, 0))
    edges = ((np.hypot(across, down) > _MIN_SLOPE) & covered).astype(np.float32)
    gain = edges * (_agreement(now, moved) - _agreement(now, then))
    count, total = _tile_sums(edges), _tile_sums(gain)
    counts = np.asarray(count >= _MIN_EDGES)
    counts[1:-1, 1:-1] = False
    speaks_for = np.asarray(counts & (total > _MIN_GAIN * count))
    against = counts & (total < -_MIN_LOSS * count)
    sides = np.asarray(speaks_for.any(axis=0))
    third = _TILES[1] // 3
    return bool(
        speaks_for.sum() >= max(_MIN_TILES, _MIN_SHARE * counts.sum())
        and against.sum() <= _MAX_AGAINST * counts.sum()
        and sides[:third].any()
        and sides[-third:].any()
    )


def _agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How well two images (H, W) agree, in [0, 1], whatever the exposure."""
    difference = a - b
    return np.asarray(1 / (1 + ((difference - np.median(difference)) / _HALF_AGREEMENT) ** 2))


def _tile_sums(field: np.ndarray) -> np.ndarray:
    rows, columns = _TILES
    bands = np.array_split(field, rows, axis=0)
    return np.array(
        [[part.sum() for part in np.array_split(band, columns, axis=1)] for band in bands]
    )


def _soft_grey(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), 0.8)
