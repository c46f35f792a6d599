"""The path of a camera through a clip: a homography for each frame."""

from dataclasses import dataclass

import cv2
import numpy as np

from .align import PlateAligner
from .colour_match import scaled
from .registration import grey_copies
from .track import MotionTracker, Target

#: Longer sides, in pixels, at which frames are compared, as in :mod:`plate.registration`.
_SIZES = (320, 960)
#: Longer side, in pixels, of copies in which an image is looked for that follows no other one.
_SMALL_SIZE = 640
#: Share of a frame that its keyframe has to cover, and that another one has to cover to take over.
_MIN_COVERED, _MIN_OTHER = 0.7, 0.8
#: Keyframes that are kept in memory, some megabytes each.
_MAX_KEYFRAMES = 48
#: Agreement, in [0, 1], below which a frame is lost.
_MIN_AGREEMENT = 0.3


@dataclass
class _Keyframe:
    """A frame that others are compared with.

    Attributes:
        target: The frame.
        small: A small copy, (h, w, 3), uint8.
        homography: (3, 3), maps pixels of the first frame to pixels of this one.
    """

    target: Target
    small: np.ndarray
    homography: np.ndarray


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
        self._key: _Keyframe | None = None
        self._agreed = 1.0

    def add(self, image: np.ndarray) -> None:
        """Register the next frame, (H, W, 3), uint8 or uint16."""
        frame = grey_copies(image, _SIZES)
        moves = self._tracker.step(frame[-1])
        if self._key is None:
            self._begin(image)
            return
        last = self.homographies[-1]
        before = self.homographies[-2] if len(self.homographies) > 1 else last
        ahead = last @ np.linalg.inv(before) @ last
        found = self._locate(frame, self._key, [last, ahead, *(move @ last for move in moves)])
        if self._agreed < _MIN_AGREEMENT:
            self.lost.append(len(self.homographies))
        elif self._covered(self._key, found) < _MIN_COVERED:
            other = max(self._keys, key=lambda key: self._covered(key, found))
            if self._covered(other, found) < _MIN_OTHER and len(self._keys) < _MAX_KEYFRAMES:
                self._add_keyframe(image, found)
                return
            if other is not self._key:
                self._key = other
                found = self._locate(frame, other, [found])
        self.homographies.append(found)

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
            self.homographies.append(found)
            return
        if self._keys:
            self.lost.append(0)
        self._add_keyframe(image, np.eye(3))

    def _add_keyframe(self, image: np.ndarray, homography: np.ndarray) -> None:
        self._key = _Keyframe(Target(image), _small(image), homography)
        self._keys.append(self._key)
        self.homographies.append(homography)
        self._agreed = 1.0

    def _locate(
        self, frame: list[np.ndarray], key: _Keyframe, starts: list[np.ndarray]
    ) -> np.ndarray:
        back = np.linalg.inv(key.homography)
        found, self._agreed = key.target.locate(frame, [h @ back for h in starts], self._agreed)
        found = found @ key.homography
        return np.asarray(found / found[2, 2])

    def _covered(self, key: _Keyframe, homography: np.ndarray) -> float:
        """Share of a frame, in [0, 1], that a keyframe covers."""
        width, height = 32, 18
        shrink = np.diag([self._size[1] / width, self._size[0] / height, 1])
        to_frame = np.linalg.inv(shrink) @ homography @ np.linalg.inv(key.homography) @ shrink
        inside = np.ones((height, width), np.float32)
        return float(cv2.warpPerspective(inside, to_frame, (width, height)).mean())


def _small(image: np.ndarray) -> np.ndarray:
    """A small copy of an image (H, W, 3), uint8."""
    levels = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    scale = min(1.0, _SMALL_SIZE / max(image.shape))
    size = max(2, round(image.shape[1] * scale)), max(2, round(image.shape[0] * scale))
    return cv2.resize(levels, size, interpolation=cv2.INTER_AREA)
