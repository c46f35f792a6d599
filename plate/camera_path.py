"""The path of a camera through a clip: a homography for each frame."""

from dataclasses import dataclass

import cv2
import numpy as np

from .align import PlateAligner
from .colour_match import scaled
from .registration import grey_copies
from .shades import Fit, Shades, shades_of
from .track import MotionTracker, Target

#: Longer sides, in pixels, at which frames are compared, as in :mod:`plate.registration`.
_SIZES = (320, 960)
#: Longer side, in pixels, of copies in which an image is looked for that follows no other one.
_SMALL_SIZE = 640
#: Share of a frame that its keyframe has to cover, and that another one has to cover to take over.
_MIN_COVERED, _MIN_OTHER = 0.8, 0.87
#: Keyframes that are kept in memory, some megabytes each.
_MAX_KEYFRAMES = 48
#: Agreement, in [0, 1], below which a frame may be lost: in front of fine patterns, frames that are
#: found agree as little, but more than at a distance, as a share of the width.
_MIN_AGREEMENT, _MIN_RATIO, _ELSEWHERE = 0.3, 1.3, 0.05
#: Paths that are followed at a time, and the distance, in shares of the width, from which two are
#: not the same.
_MAX_PATHS, _MIN_APART = 2, 0.006
#: Frames by which a path is corrected when another one turns out to be better; up to twice as many.
_MAX_STEPS = 128
#: What a guess costs that is not refined, and what a move from frame to frame costs by as much as
#: the width: somebody before a bare wall fits as well as the wall does, and a camera is slower.
_GUESS_COST, _MOVE_COST = 0.03, 5.0
#: Fall of a fit after which guesses are taken to be rough.
_MAX_FALL = 0.3
#: What a fit may lose by a comparison of edges, and how far that may move a point, as
#: a share of the width.
_MAX_LOSS, _MAX_REFINEMENT = 0.02, 0.01


@dataclass
class _Keyframe:
    """A frame that others are compared with.

    Attributes:
        target: The frame.
        shades: The same, to align whole frames.
        small: A small copy, (h, w, 3), uint8.
        homography: (3, 3), maps pixels of the first frame to pixels of this one.
    """

    target: Target
    shades: Shades
    small: np.ndarray
    homography: np.ndarray


@dataclass(eq=False)
class _Step:
    """A frame on one of the paths that a camera may have taken since its keyframe.

    Attributes:
        homography: (3, 3), maps pixels of the first frame to pixels of this one.
        fit: How it fits the keyframe.
        total: Sum of what the frames up to this one fit.
        before: The frame before it; None at the first frame beside the keyframe.
        refined: The homography, refined on edges; None if the path was not the best one then.
    """

    homography: np.ndarray
    fit: Fit
    total: float
    before: "_Step | None"
    refined: np.ndarray | None = None


class CameraPath:
    """Registers frame after frame with keyframes, and so with each other.

    A frame becomes a keyframe if no other one covers most of it. A camera that comes back finds its
    earlier keyframes again, so that small errors do not add up.

    Args:
        size: (height, width) of the frames.

    Attributes:
        homographies: (3, 3) of each frame added, maps pixels of the first frame to its pixels.
        lost: Frames that show nothing of what others show; their homographies are guesses.
    """

    def __init__(self, size: tuple[int, int]):
        self.homographies: list[np.ndarray] = []
        self.lost: list[int] = []
        self._size = size
        self._tracker = MotionTracker(size)
        self._keys: list[_Keyframe] = []
        self._key: _Keyframe  # the one that frames are compared with now
        self._steps: list[_Step] = []  # the last one of each path, the best path first

    def add(self, image: np.ndarray) -> None:
        """Register the next frame, (H, W, 3), uint8 or uint16."""
        frame = grey_copies(image, _SIZES)
        moves = self._tracker.step(frame[-1])
        if not self.homographies:
            self._begin(image)
            return
        shades = shades_of(frame[0])
        last, self._steps = self._steps[0], self._next_steps(shades, moves)
        self._correct(last, self._steps[0].before)
        if len(self.homographies) % _MAX_STEPS == 0:
            self._forget()
        found = self._steps[0].refined = self._refined(frame, shades, self._steps[0])
        self.homographies.append(found)
        if self._is_lost(frame, found @ np.linalg.inv(self._key.homography)):
            self.lost.append(len(self.homographies) - 1)
        elif self._covered(self._key, found) < _MIN_COVERED:
            other = max(self._keys, key=lambda key: self._covered(key, found))
            if self._covered(other, found) < _MIN_OTHER and len(self._keys) < _MAX_KEYFRAMES:
                self.homographies.pop()
                self._add_keyframe(image, found)
            elif other is not self._key:
                self._key = other
                self.homographies[-1] = self._restart(frame, shades, found)

    def _is_lost(self, frame: list[np.ndarray], homography: np.ndarray) -> bool:
        """Whether a frame agrees with the keyframe little, and hardly more than anywhere."""
        target, step = self._key.target, _ELSEWHERE * max(self._size)
        agreement = target.agreement(frame, homography)
        if agreement >= _MIN_AGREEMENT:
            return False
        elsewhere = [
            target.agreement(frame, np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ homography)
            for x, y in ((step, 0), (-step, 0), (0, step), (0, -step))
        ]
        return agreement < _MIN_RATIO * float(np.mean(elsewhere))

    def _restart(
        self, frame: list[np.ndarray], shades: np.ndarray, homography: np.ndarray
    ) -> np.ndarray:
        """Begin a path at a frame of which a homography is known; returns a better one."""
        gain = self._steps[0].fit.gain if self._steps else 1.0
        start = homography @ np.linalg.inv(self._key.homography)
        fit = self._key.shades.fit(shades, [start], gain)[0]
        step = _Step(_normal(fit.homography @ self._key.homography), fit, 0.0, None)
        self._steps = [step]
        return self._refined(frame, shades, step)

    def _next_steps(self, shades: np.ndarray, moves: list[np.ndarray]) -> list[_Step]:
        """The paths, continued: those that fit best, but for ones that are nearly the same."""
        ways = self._ways(shades, moves, wide=False)
        if ways[0][1].score < self._steps[0].fit.score - _MAX_FALL:
            ways += self._ways(shades, moves, wide=True)
            ways.sort(key=self._total, reverse=True)
        steps: list[_Step] = []
        for path, rough in ways:
            if len(steps) < _MAX_PATHS and all(
                self._apart(rough.homography @ self._key.homography, s.homography) > _MIN_APART
                for s in steps
            ):
                fit = self._key.shades.fit(shades, [rough.homography], rough.gain)[0]
                if self._apart(fit.homography, rough.homography) > _MIN_APART:
                    fit = rough  # nothing but somebody holds it there
                found = _normal(fit.homography @ self._key.homography)
                steps.append(_Step(found, fit, self._total((path, fit)), path))
        return sorted(steps, key=lambda step: -step.total)

    def _ways(
        self, shades: np.ndarray, moves: list[np.ndarray], *, wide: bool
    ) -> list[tuple[_Step, Fit]]:
        """Where the paths may go on, and how well that fits roughly, best first."""
        back, ways = np.linalg.inv(self._key.homography), []
        for path in self._steps:
            last = path.homography
            before = path.before.homography if path.before else last
            starts = [last, last @ np.linalg.inv(before) @ last, *(move @ last for move in moves)]
            starts = self._different(starts)
            from_key = [start @ back for start in starts]
            gain, key = path.fit.gain, self._key.shades
            fits = key.fit(shades, from_key, gain, wide=wide, rough=True)
            if not wide:
                for start in from_key[:2]:
                    score = key.score(shades, start, gain, rough=True) - _GUESS_COST
                    fits.append(Fit(start, gain, score))
            ways += [(path, fit) for fit in fits]
        return sorted(ways, key=self._total, reverse=True)

    def _different(self, guesses: list[np.ndarray]) -> list[np.ndarray]:
        """The guesses, but for ones that are nearly the same as one before."""
        kept: list[np.ndarray] = []
        for guess in guesses:
            if all(self._apart(guess, other) > _MIN_APART / 4 for other in kept):
                kept.append(guess)
        return kept

    def _total(self, way: tuple[_Step, Fit]) -> float:
        """What the frames on a path fit, less what its moves cost."""
        path, fit = way
        move = self._apart(fit.homography @ self._key.homography, path.homography)
        return path.total + fit.score - _MOVE_COST * move

    def _correct(self, old: _Step | None, new: _Step | None) -> None:
        """Replace the homographies of a path by those of one that turned out to be better."""
        number = len(self.homographies) - 1
        while new is not old and new is not None and old is not None:
            found = new.homography if new.refined is None else new.refined
            self.homographies[number] = found
            number, old, new = number - 1, old.before, new.before

    def _forget(self) -> None:
        """Drop what lies further back than a path is corrected."""
        for step in self._steps:
            for _ in range(_MAX_STEPS):
                if step.before is None:
                    break
                step = step.before
            step.before = None

    def _refined(self, frame: list[np.ndarray], shades: np.ndarray, step: _Step) -> np.ndarray:
        """The homography of a frame, refined on edges unless these are those of a subject."""
        key, fit = self._key, step.fit
        refined = key.target.registration.refine(frame, fit.homography)
        if self._apart(refined, fit.homography) > _MAX_REFINEMENT:
            return step.homography
        if key.shades.score(shades, refined, fit.gain) < fit.score - _MAX_LOSS:
            return step.homography
        return _normal(refined @ key.homography)

    def _apart(self, one: np.ndarray, other: np.ndarray) -> float:
        """Distance of two homographies at the corners, as a share of the width."""
        height, width = self._size
        corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
        moved = [cv2.perspectiveTransform(corners, h) for h in (one, other)]
        return float(np.abs(moved[0] - moved[1]).max()) / max(self._size)

    def branch(self) -> "CameraPath":
        """The path of another clip of the same place, whose first frame may lie anywhere in it."""
        other = CameraPath(self._size)
        other._keys = self._keys
        return other

    def place(self, image: np.ndarray) -> np.ndarray | None:
        """Find an image that follows no other one.

        Args:
            image: (H, W, 3), uint8 or uint16, of the size of the frames.

        Returns:
            (3, 3), maps pixels of the first frame to its pixels; None if no keyframe shows it.
        """
        frame, small = grey_copies(image, _SIZES), _small(image)
        best, least = None, _MIN_AGREEMENT
        for key in self._keys:
            found = PlateAligner().solve(small, key.small)
            if found is None:
                continue
            start = scaled(found, small.shape[:2], self._size)
            placed, agreed = key.target.locate(frame, [start], 0)
            placed = placed @ key.homography
            agreed *= self._covered(key, placed)
            if agreed > least:
                best, least, self._key = placed / placed[2, 2], agreed, key
        return best

    def _begin(self, image: np.ndarray) -> None:
        found = self.place(image) if self._keys else None
        if found is not None:
            frame = grey_copies(image, _SIZES)
            self.homographies.append(self._restart(frame, shades_of(frame[0]), found))
            return
        if self._keys:
            self.lost.append(0)
        self._add_keyframe(image, np.eye(3))

    def _add_keyframe(self, image: np.ndarray, homography: np.ndarray) -> None:
        shades = Shades(shades_of(grey_copies(image, _SIZES)[0]), self._size)
        self._key = _Keyframe(Target(image), shades, _small(image), homography)
        self._keys.append(self._key)
        self.homographies.append(homography)
        self._steps = [_Step(homography, Fit(np.eye(3), 1.0, 0.0), 0.0, None, homography)]

    def _covered(self, key: _Keyframe, homography: np.ndarray) -> float:
        """Share of a frame, in [0, 1], that a keyframe covers."""
        width, height = 32, 18
        shrink = np.diag([self._size[1] / width, self._size[0] / height, 1])
        to_frame = np.linalg.inv(shrink) @ homography @ np.linalg.inv(key.homography) @ shrink
        inside = np.ones((height, width), np.float32)
        return float(cv2.warpPerspective(inside, to_frame, (width, height)).mean())


def _normal(homography: np.ndarray) -> np.ndarray:
    return np.asarray(homography / homography[2, 2])


def _small(image: np.ndarray) -> np.ndarray:
    """A small copy of an image (H, W, 3), uint8."""
    levels = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    scale = min(1.0, _SMALL_SIZE / max(image.shape))
    size = max(2, round(image.shape[1] * scale)), max(2, round(image.shape[0] * scale))
    return cv2.resize(levels, size, interpolation=cv2.INTER_AREA)
