"""Follows the camera from frame to frame, with a subject that moves before it."""

from collections.abc import Sequence

import cv2
import numpy as np

from .colour_match import scaled
from .registration import Level, Registration, descend

#: Longer side, in pixels, at which corners are followed.
_CORNER_SIZE = 480
_MAX_CORNERS, _MIN_CORNERS = 300, 8
#: Quality of the worst corner relative to the best, and the distance between two, in pixels: so far
#: that they come from all parts of the frame.
_MIN_QUALITY, _MIN_CORNER_DISTANCE = 0.002, 14
#: Width of the window that is compared, in pixels, and levels of the pyramid above full size.
_WINDOW, _LEVELS = 15, 3
#: Distance, in pixels, up to which a corner agrees with a move.
_MAX_CORNER_ERROR = 1.0
#: Moves that are told, each of corners that do not agree with those before.
_MAX_MOVES = 2
#: Longer side, in pixels, at which whole images are compared, and the difference, in [0, 1], at
#: which a pixel agrees by half.
_AREA_SIZE, _HALF_AGREEMENT = 160, 0.015
#: Share of a frame that has to be covered.
_MIN_COVERED = 0.2
#: What moves cost that uncover the frame, or are not the last one: somebody before a bare wall
#: agrees with a move as well as the wall does.
_UNCOVERED_COST, _MOVE_COST = 0.3, 0.005
#: Fall of the agreement after which all shifts are tried, and what the best one has to gain.
_MAX_FALL, _MIN_SEARCH_GAIN = 0.03, 0.03
#: Pixels that are compared at that size, and the move, in pixels, after which steps have converged.
_MAX_PIXELS, _CONVERGED = 5000, 0.02
#: How stiff a homography is there, as noise has slopes, too; and how far a corner may be moved from
#: the guess, as a share of the longer side.
_STIFFNESS, _MAX_REFINEMENT = 30.0, 0.05
#: Tiles of the area, down and across, and how many of those that gain most do not count; agreement
#: of what is not covered.
_TILES, _LEFT_OUT, _UNCOVERED = (4, 6), 5, 0.5
#: Farthest shift that is tried, right and down, in pixels of a copy of half the size above.
_FARTHEST = (8, 5)


class MotionTracker:
    """Follows corners from frame to frame (pyramidal Lucas-Kanade).

    Args:
        size: (height, width) of the frames.
    """

    def __init__(self, size: tuple[int, int]):
        self._size = size
        self._last: np.ndarray | None = None

    def step(self, grey: np.ndarray) -> list[np.ndarray]:
        """Follow the corners of the last frame into the next one.

        A subject that moves has corners, too. Whether the camera or the subject moved so is left to
        :class:`Target`.

        Args:
            grey: (H, W), float32 in [0, 1]: the next frame, of any size.

        Returns:
            Similarities (3, 3) that map pixels of the last frame to pixels of this one, at full
            size: the one that most corners agree on comes first. Empty for the first frame.
        """
        small = _shrunk(grey, _CORNER_SIZE)
        last, self._last = self._last, np.rint(255 * small).astype(np.uint8)
        if last is None:
            return []
        before = cv2.goodFeaturesToTrack(last, _MAX_CORNERS, _MIN_QUALITY, _MIN_CORNER_DISTANCE)
        if before is None:
            return []
        after, status, _ = cv2.calcOpticalFlowPyrLK(
            last, self._last, before, np.empty(0), winSize=(_WINDOW, _WINDOW), maxLevel=_LEVELS
        )
        left = status.ravel() > 0
        moves: list[np.ndarray] = []
        while left.sum() >= _MIN_CORNERS and len(moves) < _MAX_MOVES:
            move, agrees = cv2.estimateAffinePartial2D(
                before[left], after[left], ransacReprojThreshold=_MAX_CORNER_ERROR
            )
            if move is None or agrees.sum() < _MIN_CORNERS:
                break
            left[np.flatnonzero(left)[agrees.ravel() > 0]] = False
            moves.append(scaled(np.vstack([move, [0, 0, 1]]), small.shape, self._size))
        return moves


class Target:
    """An image, a plate or a frame, that is looked for in other frames.

    Args:
        image: (H, W, 3), RGB, uint8 or uint16.

    Attributes:
        registration: Compares its edges.
        size: (height, width) of the image.
    """

    def __init__(self, image: np.ndarray):
        self.registration = Registration(image)
        self.size = image.shape[:2]
        self._area = small_area(self.registration.frame(image))
        self._level = Level(self._area, _MAX_PIXELS, dense=True)

    def locate(
        self, frame: list[np.ndarray], starts: Sequence[np.ndarray], expected: float
    ) -> tuple[np.ndarray, float]:
        """Find the target in a frame, from several guesses.

        The guess by which most of the area agrees is refined: a subject is smaller than what the
        camera sees beside it.

        Args:
            frame: From :meth:`Registration.frame`.
            starts: (3, 3) each, maps pixels of the target to pixels of the frame; the most likely
                one first.
            expected: The agreement in the frame before. If it falls, all shifts are tried.

        Returns:
            The homography (3, 3), and the share of the area, in [0, 1], that agrees.
        """
        area = small_area(frame)
        best = max(range(len(starts)), key=lambda n: self._gain(area, starts[n], starts[0], n > 0))
        start, score = starts[best], self._score(area, starts[best])
        if score < expected - _MAX_FALL:
            shifted = self._best_shift(area, start)
            if self._gain(area, shifted, start, True) > _MIN_SEARCH_GAIN:
                start, score = shifted, self._score(area, shifted)
        small = scaled(start, self.size, area.shape)
        small = descend(self._level, area, small, _CONVERGED, _STIFFNESS)
        dense = scaled(small, area.shape, self.size)
        if self._is_near(dense, start) and (found := self._score(area, dense)) > score:
            start, score = dense, found  # smooth scenes have no edges
        refined = self.registration.refine(frame, start)
        if not self._is_near(refined, start) or self._score(area, refined) < score - _MOVE_COST:
            refined = start
        return refined, self.agreement(frame, refined)

    def _is_near(self, found: np.ndarray, start: np.ndarray) -> bool:
        """Whether a homography was refined, rather than bent."""
        height, width = self.size
        corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
        moved = [cv2.perspectiveTransform(corners, h) for h in (found, start)]
        return float(np.abs(moved[0] - moved[1]).max()) <= _MAX_REFINEMENT * max(self.size)

    def agreement(self, frame: list[np.ndarray], homography: np.ndarray) -> float:
        """Share of the covered area, in [0, 1], that agrees with a frame at any exposure."""
        return _agreement(*self._laid(small_area(frame), homography))

    def _gain(
        self, area: np.ndarray, homography: np.ndarray, before: np.ndarray, moves: bool
    ) -> float:
        """By how much more of the area agrees than before, without the parts that gain most.

        These may be somebody who moves.
        """
        tiles = [self._tiles(area, h) for h in (homography, before)]
        gains = np.sort(tiles[0] - tiles[1], axis=None)[:-_LEFT_OUT]
        return float(gains.sum() / tiles[0].size) - _MOVE_COST * moves

    def _tiles(self, area: np.ndarray, homography: np.ndarray) -> np.ndarray:
        """Agreement of each tile, in [0, 1]; of what is not covered, a middling one."""
        difference, covered = self._laid(area, homography)
        if covered.mean() < _MIN_COVERED:
            return np.zeros(_TILES)
        apart = difference - np.median(difference[covered])
        agreement = np.where(covered, 1 / (1 + (apart / _HALF_AGREEMENT) ** 2), _UNCOVERED)
        return cv2.resize(agreement.astype(np.float32), _TILES[::-1], interpolation=cv2.INTER_AREA)

    def _score(self, area: np.ndarray, homography: np.ndarray) -> float:
        laid, covered = self._laid(area, homography)
        return _agreement(laid, covered) - _UNCOVERED_COST * float(1 - covered.mean())

    def _laid(self, area: np.ndarray, homography: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Difference (h, w) of a frame and the target in its place, and where it is covered."""
        laid = _lay(self._area, scaled(homography, self.size, area.shape))
        return area - laid, laid >= 0

    def _best_shift(self, area: np.ndarray, homography: np.ndarray) -> np.ndarray:
        size = area.shape[0] // 2, area.shape[1] // 2
        half, target = (cv2.resize(x, size[::-1]) for x in (area, self._area))
        laid = _lay(target, scaled(homography, self.size, size))
        right, down = _FARTHEST
        padded = cv2.copyMakeBorder(
            laid, down, down, right, right, cv2.BORDER_CONSTANT, value=_OUTSIDE
        )
        most, shift = -1.0, (0, 0)
        for y in range(2 * down + 1):
            for x in range(2 * right + 1):
                part = padded[y : y + size[0], x : x + size[1]]
                found = _agreement(half - part, part >= 0)
                if found > most:
                    most, shift = found, (right - x, down - y)
        step = self.size[1] / size[1]
        move = np.array([[1, 0, shift[0] * step], [0, 1, shift[1] * step], [0, 0, 1]])
        return np.asarray(move @ homography)


#: Marks pixels beyond an image, whose levels are in [0, 1].
_OUTSIDE = -9.0


def _lay(image: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """An image (h, w) warped onto another of its size; below 0 where it does not cover it."""
    return cv2.warpPerspective(
        image, homography, image.shape[::-1], borderMode=cv2.BORDER_CONSTANT, borderValue=_OUTSIDE
    )


def _agreement(difference: np.ndarray, covered: np.ndarray) -> float:
    if covered.mean() < _MIN_COVERED:
        return 0.0
    inside = difference[covered]
    return float((1 / (1 + ((inside - np.median(inside)) / _HALF_AGREEMENT) ** 2)).mean())


def small_area(frame: list[np.ndarray]) -> np.ndarray:
    """A frame, from :meth:`Registration.frame`, at a small size (h, w)."""
    return cv2.GaussianBlur(_shrunk(frame[0], _AREA_SIZE), (0, 0), 0.7)


def _shrunk(grey: np.ndarray, longest: int) -> np.ndarray:
    scale = longest / max(grey.shape)
    size = max(2, round(grey.shape[1] * scale)), max(2, round(grey.shape[0] * scale))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
