"""Compares a plate with frames: where it lies in them, in which light, and how much agrees.

Images are RGB (H, W, 3) in levels, 0 to 255, a few hundred pixels wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .align import plausible
from .colour_match import fit_colours
from .registration import Registration

#: Levels up to which colours agree; noise, compression and soft shadows stay below.
MAX_AGREEING_DIFFERENCE = 10.0
#: Standard deviation, in levels, from which a neighbourhood has structure to compare.
_MIN_STRUCTURE = 3.0
#: Width of a neighbourhood, in pixels.
_NEIGHBOURHOOD = 17
#: Correlation from which two neighbourhoods are alike.
_MIN_CORRELATION = 0.6
#: Longer sides, in pixels, at which a plate is registered with frames, from coarse to fine.
_SIZES = (192, 384)
#: Agreement of edges, in [0, 1], below which the coarse search is tried, and how often it may fail.
_MIN_EDGE_AGREEMENT, _MAX_FAILED_SEARCHES = 0.5, 2
#: By how much less the edges may agree, in [0, 1], after the move of another frame: a plate of
#: stripes can be shifted along them.
_MAX_MOVE_LOSS = 0.025


@dataclass(frozen=True)
class Move:
    """Where a plate lies in a frame.

    Attributes:
        homography: (3, 3), maps pixels of the plate to pixels of the frame.
        unmoved: How well its edges agree with the frame unmoved, in [0, 1].
        gain: By how much more they agree there, in [0, 1].
        distance: How far the plate's points move on average, in pixels.
    """

    homography: np.ndarray
    unmoved: float
    gain: float
    distance: float


@dataclass(frozen=True)
class Likeness:
    """How much of a plate a frame shows.

    Attributes:
        gain, offset: (3,), bring the plate's channels to the frame's, in levels.
        agreeing: Share of the covered part, in [0, 1], that has the frame's colours after that.
        same_colours: The same without gain and offset.
        alike: Share of the plate's structure, in [0, 1], that the frame shows, in any light.
        structured: Share of the covered part, in [0, 1], that has structure to compare.
    """

    gain: np.ndarray
    offset: np.ndarray
    agreeing: float
    same_colours: float
    alike: float
    structured: float


def find_moves(frames: Sequence[np.ndarray], plates: Sequence[np.ndarray]) -> list[Move]:
    """Find where each plate lies in its frame.

    The search starts from the last homography or from none. The coarse search is used in the first
    frame, and where edges do not agree otherwise.

    Args:
        frames: (H, W, 3) each, uint8.
        plates: One for each, likewise.
    """
    moves: list[Move] = []
    unmoved, failed = np.eye(3), 0
    registration, known = Registration(plates[0], _SIZES), plates[0]
    for image, plate in zip(frames, plates, strict=True):
        if plate is not known:
            registration, known = Registration(plate, _SIZES), plate
        frame = registration.frame(image)
        starts = [unmoved, *(move.homography for move in moves[-1:])]
        start = max(starts, key=lambda h: registration.agreement(frame, h))
        found = registration.refine(frame, start)
        agrees = registration.agreement(frame, found) >= _MIN_EDGE_AGREEMENT
        if not moves or (not agrees and failed < _MAX_FAILED_SEARCHES):
            coarse = registration.refine(frame, start, coarse=True)
            found = max(found, coarse, key=lambda h: registration.agreement(frame, h))
            failed += registration.agreement(frame, found) < _MIN_EDGE_AGREEMENT
        size = image.shape[:2]
        found = found if plausible(found, size) else unmoved
        before = registration.agreement(frame, unmoved)
        gain = registration.agreement(frame, found) - before
        moves.append(Move(found, before, gain, mean_distance(found, size)))
    return moves


def share_move(frames: Sequence[np.ndarray], plate: np.ndarray, moves: Sequence[Move]) -> bool:
    """Whether the move of one frame fits half of the others as well as their own do.

    Args:
        frames: (H, W, 3) each, uint8.
        plate: One for all, likewise.
        moves: Of the plate in each frame.
    """
    registration = Registration(plate, _SIZES)
    greys = [registration.frame(frame) for frame in frames]
    agreements = np.array(
        [[registration.agreement(grey, move.homography) for move in moves] for grey in greys]
    )
    losses = np.diagonal(agreements)[:, None] - agreements
    others = [np.median(np.delete(losses[:, n], n)) for n in range(len(moves))]
    return bool(min(others) <= _MAX_MOVE_LOSS)


def compare(frame: np.ndarray, plate: np.ndarray, homography: np.ndarray | None = None) -> Likeness:
    """Compare a frame with a plate, both float32, aligned by a homography if there is one."""
    height, width = frame.shape[:2]
    inside = np.ones((height, width), bool)
    if homography is not None:
        covered = cv2.warpPerspective(inside.astype(np.float32), homography, (width, height))
        inside = covered > 0.999
        plate = cv2.warpPerspective(
            plate, homography, (width, height), borderMode=cv2.BORDER_REPLICATE
        )
    gain, offset = _fit_light(frame, plate, inside)
    fitted = (plate * gain + offset).clip(0, 255)
    agreeing, same_colours = (
        np.count_nonzero((difference(frame, x) < MAX_AGREEING_DIFFERENCE) & inside)
        for x in (fitted, plate)
    )
    alike, structured = _compare_structure(frame, plate, inside)
    area = max(1, int(np.count_nonzero(inside)))
    return Likeness(
        gain=gain,
        offset=offset,
        agreeing=float(agreeing) / area,
        same_colours=float(same_colours) / area,
        alike=alike,
        structured=structured / area,
    )


def _fit_light(
    frame: np.ndarray, plate: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset (3,) of the channels; 1 and 0 where nothing agrees."""
    some = inside[::3, ::4]  # enough pixels for a fit
    fit = fit_colours(frame[::3, ::4][some] / 255, plate[::3, ::4][some] / 255)
    if fit is None:
        return np.ones(3, np.float32), np.zeros(3, np.float32)
    return fit.gain.astype(np.float32), 255 * fit.offset.astype(np.float32)


def _compare_structure(
    frame: np.ndarray, plate: np.ndarray, inside: np.ndarray
) -> tuple[float, int]:
    """Share of the plate's structured pixels that are alike in the frame, and their number."""
    a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (frame, plate))
    a, b = a - _mean_around(a), b - _mean_around(b)
    power_a, power_b = _mean_around(a * a), _mean_around(b * b)
    structured = (power_b > _MIN_STRUCTURE**2) & inside
    alike = _mean_around(a * b) > _MIN_CORRELATION * np.sqrt((power_a + 1) * (power_b + 1))
    count = int(np.count_nonzero(structured))
    return float(np.count_nonzero(alike & structured)) / max(1, count), count


def mean_distance(homography: np.ndarray, size: tuple[int, int]) -> float:
    """How far, in pixels, a homography moves the points of a frame (height, width) on average."""
    height, width = size
    points = np.array([(x * width, y * height) for x in (0.1, 0.5, 0.9) for y in (0.1, 0.5, 0.9)])
    moved = cv2.perspectiveTransform(points[None], homography)[0]
    return float(np.linalg.norm(moved - points, axis=1).mean())


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The largest difference of a channel (H, W) between two images."""
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    return cv2.max(cv2.max(red, green), blue)


def _mean_around(field: np.ndarray) -> np.ndarray:
    return cv2.blur(field, (_NEIGHBOURHOOD, _NEIGHBOURHOOD))
