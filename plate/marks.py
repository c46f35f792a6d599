"""What an artist knows of frames: where the scene is free, and where it is not."""

from collections.abc import Callable, Sequence

import numpy as np

#: It is not in the frame, somebody stands there, nothing is known, and the scene shows.
OUTSIDE, TAKEN, UNKNOWN, FREE = range(4)

#: From places in the clip, ascending, and a (height, width) to marks (N, height, width), uint8.
Marks = Callable[[Sequence[int], tuple[int, int]], np.ndarray]

#: Cells along the longer side of a frame in which marks are kept.
_CELLS = 480
#: Frames that have to be marked free at a pixel, so that only they count.
MIN_MARKED_FREE = 3


def that_count(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which values of pixels count for the empty scene.

    Args:
        marks: (N, ...), of N frames.

    Returns:
        (N, ...), bool: those marked free where there are a few, else all of which nothing is
        known;
        and (...), bool: where there are a few.
    """
    free = marks == FREE
    known = free.sum(axis=0) >= min(MIN_MARKED_FREE, len(marks))
    return np.where(known, free, marks >= UNKNOWN), known


class MarkedFrames:
    """Marks of a few frames, in cells.

    Args:
        marks: Where they come from; None if nothing is known.
        places: Of the frames in the clip.
        size: (height, width) of the frames.
    """

    def __init__(self, marks: Marks | None, places: Sequence[int], size: tuple[int, int]):
        self._size = size
        scale = min(1.0, _CELLS / max(size))
        self._cells = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        self._count: np.ndarray | None = None
        self.known = np.zeros(self._cells, bool)
        if marks is not None:
            self._count, self.known = that_count(marks(places, self._cells))

    def __bool__(self) -> bool:
        return self._count is not None

    def at(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which values count (N, P), and where the scene is known (P,), at pixels (P,)."""
        assert self._count is not None
        row, column = (
            at * cells // side
            for at, cells, side in zip((y, x), self._cells, self._size, strict=True)
        )
        return self._count[:, row, column], self.known[row, column]

    def rows(self, rows: slice) -> np.ndarray:
        """Which values count in some rows: (N, h, W), bool."""
        assert self._count is not None
        y, x = np.arange(rows.start, rows.stop), np.arange(self._size[1])
        return self.at(np.repeat(y, len(x)), np.tile(x, len(y)))[0].reshape(-1, len(y), len(x))
