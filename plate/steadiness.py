"""How far the camera moves in a clip, by a look at a few frames."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from dataset import FrameSource, MediaError, evenly_spaced, thumbnails

from .compare import find_moves, mean_distance
from .in_place import TILES, border, group_views, soft_grey
from .registration import grey_copies, slopes
from .track import MotionTracker

#: Frames that are looked at: each is compared with the next one, and with one that is this share of
#: the clip later.
_FRAMES, _NEAR_SHARE = 5, 0.02
#: Slope, in levels per pixel, from which a pixel is an edge, and edges that a tile needs to count.
_MIN_SLOPE, _MIN_EDGES = 2.0, 24
#: Difference in levels at which a pixel agrees by half.
_HALF_AGREEMENT = 8.0
#: By how much more the edges of a tile have to agree once they are moved, and by how much less they
#: have to for it to speak against a move, both in [0, 1].
_MIN_GAIN, _MIN_LOSS = 0.02, 0.06
#: Tiles that have to speak for a move, their least share, and the largest share of those against.
_MIN_TILES, _MIN_SHARE, _MAX_AGAINST = 3, 0.5, 0.1
#: After a move this far, in pixels, edges that agree so well unmoved, in [0, 1], and no better once
#: moved, speak against it, too: stripes can be shifted along themselves, but few parts of a frame
#: are such. The largest share of all tiles against a move is higher then.
_FAR, _MIN_UNMOVED, _MAX_AGAINST_FAR = 4.0, 0.8, 0.2
#: Distance, in pixels of frames 384 wide, from which the camera moved.
_MIN_DISTANCE = 0.5


def motion_in_clip(
    src: FrameSource, small: tuple[int, int], plate: np.ndarray | None = None
) -> tuple[float, int]:
    """How far the camera moves between frames of a clip that are near in time, or far.

    Args:
        src: The clip.
        small: (height, width) in which frames are looked at.
        plate: (height, width, 3), if there is one for all frames: those in which it is in its place
            show one view.

    Returns:
        Pixels of small frames, 0 if it stands still or nothing can be told; and the number of
        frames that were looked at.
    """
    numbers = evenly_spaced(src.length_hint, _FRAMES)
    later = max(1, round((src.length_hint or 0) * _NEAR_SHARE))
    wanted = sorted({*numbers, *(n + later for n in numbers)})
    try:
        frames = dict(thumbnails(src, wanted, small))
    except MediaError:
        frames = {}
    if len(frames) < 2:
        return 0.0, 0
    shown, images = sorted(frames), [frames[n] for n in sorted(frames)]
    views = group_views(images if plate is None else [plate, *images])
    seen_at: dict[int, list[int]] = {}
    for n, view in zip(shown, views[-len(shown) :], strict=True):
        seen_at.setdefault(view, []).append(n)
    far = shown[:: max(1, len(shown) // _FRAMES)]
    near = tuple((a, b) for a, b in pairwise(shown) if b - a <= later)
    distance = 0.0
    for pairs in {tuple(pairwise(far)), near}:  # the same ones in a short clip
        # a camera that shows a view before and after a pair of frames did not move in between
        moving = [
            (a, b) for a, b in pairs if not any(n[0] <= a and b <= n[-1] for n in seen_at.values())
        ]
        befores, afters = ([frames[pair[i]] for pair in moving] for i in (0, 1))
        still = len(pairs) - len(moving)
        distance = max(distance, camera_move(befores, afters, still=still))
    return distance, len(frames)


def camera_move(
    befores: Sequence[np.ndarray], afters: Sequence[np.ndarray], *, still: int = 0
) -> float:
    """How far the camera moves between two frames, as the median over pairs of frames.

    A subject that moves takes along the edges of some tiles. A camera takes along most of those
    along the border of the frame, on both sides, and leaves hardly any in place.

    Args:
        befores, afters: (H, W, 3) each, RGB, uint8, a few hundred pixels wide.
        still: Further pairs, between which it is known to stand still.

    Returns:
        Pixels; 0 if the camera stands still, or nothing can be told.
    """
    if still > len(befores) or not befores:
        return 0.0
    moves = find_moves(afters, befores)
    distances = [0.0] * still
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
    now, then = (soft_grey(image) for image in (after, before))
    moved = cv2.warpPerspective(then, homography, (width, height), borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpPerspective(np.ones_like(then), homography, (width, height)) > 0.99
    edges = ((np.hypot(*slopes(now)) > _MIN_SLOPE) & covered).astype(np.float32)
    unmoved = _agreement(now, then)
    gain = edges * (_agreement(now, moved) - unmoved)
    count, total = _tile_sums(edges), _tile_sums(gain)
    counts = border() & (count >= _MIN_EDGES)
    speaks_for = np.asarray(counts & (total > _MIN_GAIN * count))
    against = counts & (total < -_MIN_LOSS * count)
    if mean_distance(homography, (height, width)) >= _FAR:
        unchanged = _tile_sums(edges * unmoved) > _MIN_UNMOVED * count
        stays = counts & (against | (unchanged & ~speaks_for))
        if stays.sum() > _MAX_AGAINST_FAR * counts.sum():
            return False
    sides = np.asarray(speaks_for.any(axis=0))
    third = TILES[1] // 3
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
    rows, columns = TILES
    bands = np.array_split(field, rows, axis=0)
    return np.array(
        [[part.sum() for part in np.array_split(band, columns, axis=1)] for band in bands]
    )
