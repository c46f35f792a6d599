"""Where something stands before a wide plate, in cells so coarse that leaves do not count."""

from collections.abc import Sequence

import cv2
import numpy as np

#: Cells along the longer side of a frame in which something before the plate is looked for, and the
#: difference in levels that shows it.
_CELLS, _MIN_DIFFERENCE = 160, 10
#: Pixels of a cell, down and across, that are enough for that.
_CELL_PIXELS = 3


class Standing:
    """Looks for what stands before a wide plate, at a small size.

    Args:
        frames: (N, H, W, 3), RGB, uint8.
    """

    def __init__(self, frames: np.ndarray):
        every = max(1, round(max(frames.shape[1:3]) / _CELLS))
        self._shrink = max(1, every // _CELL_PIXELS)
        self._every = every / self._shrink
        self._frames = [_shrunk(frame, self._shrink) for frame in frames]

    def before(self, plate: np.ndarray, maps: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Where something stands: (h, w) for each frame, uint8, 0 where nothing does.

        Args:
            plate: (H, W, 3), uint8.
            maps: (3, 3) each, maps pixels of the plate to pixels of a frame.
        """
        small, by = _shrunk(plate, self._shrink), self._shrink
        return [
            _occupied(frame, small, _for_shrunk(to_frame, by), self._every)
            for frame, to_frame in zip(self._frames, maps, strict=True)
        ]


def _shrunk(image: np.ndarray, by: int) -> np.ndarray:
    """An image (H, W, 3) with every ``by`` pixels, down and across, made one; the rest is lost."""
    height, width = (side // by * by for side in image.shape[:2])
    size = width // by, height // by
    return cv2.resize(image[:height, :width], size, interpolation=cv2.INTER_AREA)


def _for_shrunk(homography: np.ndarray, by: int) -> np.ndarray:
    """A homography between two images, for both shrunk by a factor."""
    grow = np.array([[by, 0, (by - 1) / 2], [0, by, (by - 1) / 2], [0, 0, 1]])
    return np.asarray(np.linalg.inv(grow) @ homography @ grow)


def _occupied(
    frame: np.ndarray, plate: np.ndarray, to_frame: np.ndarray, every: float
) -> np.ndarray:
    """Where something stands before the plate in a frame: (h, w), uint8, in cells.

    A cell has ``every`` pixels of the frame down and across.
    """
    height, width = frame.shape[:2]
    size = (max(1, round(width / every)), max(1, round(height / every)))
    # both at half the detail of a cell: what was sampled coarsely must not differ by that alone
    shown = cv2.warpPerspective(
        plate, to_frame, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    cells = [
        cv2.GaussianBlur(cv2.resize(x, size, interpolation=cv2.INTER_AREA), (3, 3), 0)
        for x in (frame, shown)
    ]
    apart = (cv2.absdiff(*cells).max(axis=2) > _MIN_DIFFERENCE).astype(np.uint8)
    wide = cv2.dilate(apart, np.ones((3, 3), np.uint8))
    # what is inside is occupied, too: there, somebody may be in the plate as in the frame
    outlines, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(wide, outlines, -1, 1, cv2.FILLED))
