"""Boxes around the parts of a frame that are looked at closely."""

from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

#: Boxes in a frame, at most.
_MAX_BOXES = 4
#: Cells along the side of a box, at least.
_MIN_CELLS = 4
#: Share of a frame by which the box around two boxes may be larger than both: each box costs time
#: of its own, and the network sees less around it.
_MERGE_SHARE = 0.02
#: Share of a frame from which the whole frame is one box.
_MOST = 0.75


class Box(NamedTuple):
    """A rectangle of pixels: rows ``top`` to ``bottom - 1``, columns ``left`` to ``right - 1``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def cut(self, frames: Tensor) -> Tensor:
        """The part of frames (B, C, H, W) that it covers; a view."""
        return frames[..., self.top : self.bottom, self.left : self.right]

    def meets(self, other: "Box") -> bool:
        """Whether they have pixels in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def joined(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )


def boxes_around(mask: np.ndarray, size: tuple[int, int], *, cell: int, margin: int) -> list[Box]:
    """Boxes that cover what a mask of a frame marks; no two have pixels in common.

    Args:
        mask: (h, w), bool, at any size.
        size: (height, width) of the frame, in pixels.
        cell: Edges of boxes are multiples of this, in pixels, or edges of the frame.
        margin: Pixels of the mask around what is marked that are covered too.
    """
    rows, columns = -(-size[0] // cell), -(-size[1] // cell)
    around = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    y, x = np.nonzero(cv2.dilate(mask.astype(np.uint8), around))
    marked = np.zeros((rows, columns), np.uint8)
    for top in _cells(y, mask.shape[0], size[0], cell):
        for left in _cells(x, mask.shape[1], size[1], cell):
            marked[top, left] = 1
    if marked.mean() > _MOST:
        return [Box(0, size[0], 0, size[1])]
    _, _, stats, _ = cv2.connectedComponentsWithStats(marked)
    boxes = [
        Box(*_widened(y, y + high, rows), *_widened(x, x + wide, columns))
        for x, y, wide, high, _ in stats[1:].tolist()
    ]
    return [
        Box(
            box.top * cell,
            min(box.bottom * cell, size[0]),
            box.left * cell,
            min(box.right * cell, size[1]),
        )
        for box in _merged(boxes, _MERGE_SHARE * rows * columns)
    ]


def _cells(places: np.ndarray, given: int, side: int, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells along a ``side`` in which some places of ``given`` begin and end."""
    return places * side // given // cell, ((places + 1) * side - 1) // given // cell


def _widened(start: int, end: int, count: int) -> tuple[int, int]:
    """A range of ``count`` cells, of a few at least: the network needs to see what is around."""
    missing = max(0, min(_MIN_CELLS, count) - (end - start))
    start = max(0, min(start - missing // 2, count - (end - start) - missing))
    return start, max(end, start + min(_MIN_CELLS, count))


def _merged(boxes: list[Box], allowance: float) -> list[Box]:
    """Merge boxes that meet, and those where little is added, until there are few."""

    def added(pair: tuple[Box, Box]) -> float:
        one, other = pair
        return -np.inf if one.meets(other) else one.joined(other).area - one.area - other.area

    while len(boxes) > 1:
        pair = min(combinations(boxes, 2), key=added)
        if added(pair) > allowance and len(boxes) <= _MAX_BOXES:
            break
        boxes = [box for box in boxes if box is not pair[0] and box is not pair[1]]
        boxes.append(pair[0].joined(pair[1]))
    return boxes
