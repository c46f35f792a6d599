"""Tells the scene from what moves before it, where a place shows both for long."""

from collections.abc import Sequence

import cv2
import numpy as np

from .marks import UNKNOWN
from .temporal_mode import temporal_mode

#: Cells along the longer side of a frame.
_CELLS = 160
#: Colours that a cell may have, the share of the frames, in [0, 1], and the frames that one needs.
_MAX_COLOURS, _MIN_SHARE, _MIN_FRAMES = 4, 0.04, 2
#: Difference, in levels, up to which a cell shows a colour.
_MAX_DIFFERENCE = 8
#: Two colours of neighbours belong together if this share of the frames that show one of them show
#: both; below it they cost up to 1.
_TOGETHER = 0.5
#: What a colour costs that is never seen, against those that do not belong together.
_RARE_COST = 0.05
#: Cells that are worked on together; bounds the memory.
_MAX_CELLS = 8192
#: Rounds of messages between neighbours, and the cost of a colour that there is not.
_SWEEPS, _FORBIDDEN = 12, 1e3


def scene_colours(
    frames: np.ndarray, marks: np.ndarray, maps: Sequence[np.ndarray], shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the scene shows in coarse cells.

    Somebody who walks past may cover a place in most of the frames, so that the densest colour is
    theirs. But the edge between them and the scene beside them is at one place for a frame or two,
    and that between two parts of the scene whenever both are free. Of the colours that a cell shows
    for some time, the ones are chosen that go together with those of their neighbours.

    Args:
        frames: (N, H, W, 3), RGB, uint8.
        marks: (N, H, W), uint8: see :mod:`plate.marks`.
        maps: (3, 3) of each, maps pixels of the wide plate to its pixels.
        shape: (height, width) of the wide plate.

    Returns:
        Colours (h, w, 3), uint8; where they are not the densest ones (h, w), bool; and which frames
        show them (N, h, w), bool.
    """
    stack, covered = _stack(frames, marks, maps, shape)
    grid = covered.shape[1:]
    flat, seen = stack.reshape(len(stack), -1, 3), covered.reshape(len(covered), -1)
    colours, shown = _colours(flat, seen)
    share = shown.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)[:, None]  # (P, K)
    allowed = (share >= _MIN_SHARE) & (shown.sum(axis=0) >= _MIN_FRAMES)
    allowed[:, 0] = True
    cost = np.where(allowed, _RARE_COST * (1 - share), _FORBIDDEN).astype(np.float32)
    cost = cost.reshape(*grid, -1)
    shown = shown.reshape(len(shown), *grid, -1)
    across = _apart(shown[:, :, :-1], shown[:, :, 1:])
    down = _apart(shown[:, :-1], shown[:, 1:])
    label = _labelled(cost, across, down)
    chosen = np.take_along_axis(colours.reshape(*grid, -1, 3), label[..., None, None], axis=2)
    shows = np.take_along_axis(shown, label[None, ..., None], axis=3)[..., 0]
    return chosen[:, :, 0], label > 0, shows


def _stack(
    frames: np.ndarray, marks: np.ndarray, maps: Sequence[np.ndarray], shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """What frames show in cells of a wide plate (N, h, w, 3), and where that counts (N, h, w)."""
    height, width = frames.shape[1:3]
    every = max(1.0, max(height, width) / _CELLS)
    small = max(1, round(width / every)), max(1, round(height / every))
    grid = max(1, round(shape[1] / every)), max(1, round(shape[0] / every))
    from_cells = _scale(shape[1] / grid[0], shape[0] / grid[1])
    to_small = np.linalg.inv(_scale(width / small[0], height / small[1]))
    stack = np.empty((len(frames), grid[1], grid[0], 3), np.uint8)
    covered = np.empty(stack.shape[:3], bool)
    for n, (frame, known, to_frame) in enumerate(zip(frames, marks, maps, strict=True)):
        whole = np.where(known >= UNKNOWN, np.uint8(255), np.uint8(0))
        whole = cv2.resize(whole, small, interpolation=cv2.INTER_AREA)
        whole[[0, -1]] = whole[:, [0, -1]] = 0
        cells = cv2.GaussianBlur(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), (3, 3), 0)
        matrix = to_small @ to_frame @ from_cells
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpPerspective(
            cells, matrix, grid, dst=stack[n], flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        covered[n] = cv2.warpPerspective(whole, matrix, grid, flags=flags) > 250
    return stack, covered


def _scale(x: float, y: float) -> np.ndarray:
    """Maps pixels of a small image to those of one larger by factors."""
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def _colours(values: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (P, K, 3), densest first, and which frames show them (N, P, K)."""
    colours = np.zeros((values.shape[1], _MAX_COLOURS, 3), np.uint8)
    shown = np.zeros((*values.shape[:2], _MAX_COLOURS), bool)
    for start in range(0, values.shape[1], _MAX_CELLS):
        part = np.s_[:, start : start + _MAX_CELLS]
        _find_colours(values[part], seen[part], colours[part[1]], shown[part])
    return colours, shown


def _find_colours(
    values: np.ndarray, seen: np.ndarray, colours: np.ndarray, shown: np.ndarray
) -> None:
    """Fill in ``colours`` and ``shown``, as of :func:`_colours`."""
    left = seen.copy()
    for k in range(_MAX_COLOURS):
        some = np.flatnonzero(left.sum(axis=0) >= (_MIN_FRAMES if k else 1))
        if not len(some):
            return
        part = values.take(some, axis=1)
        colour, _ = temporal_mode(part, left.take(some, axis=1))
        apart = np.abs(part.astype(np.int16) - colour.astype(np.int16)).max(axis=2)
        near = apart <= _MAX_DIFFERENCE
        colours[some, k] = colour
        shown[:, some, k] = near & seen[:, some]
        left[:, some] &= ~near


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """What it costs that neighbours (N, h, w, K) have two colours: (h, w, K, K)."""
    return np.stack([_apart_in_row(one[:, y], other[:, y]) for y in range(one.shape[1])])


def _apart_in_row(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    a = one.transpose(1, 2, 0).astype(np.float32)
    b = other.transpose(1, 0, 2).astype(np.float32)
    both = a @ b
    either = a.sum(axis=2)[:, :, None] + b.sum(axis=1)[:, None] - both
    return np.asarray((1 - both / np.maximum(either, 1) / _TOGETHER).clip(0, 1))


def _labelled(cost: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Labels (h, w) of least cost.

    Source: Kolmogorov, "Convergent tree-reweighted message passing for energy minimization"
    (2006): TRW-S, in the order of the diagonals.

    Args:
        cost: (h, w, K), of each label.
        across: (h, w - 1, K, K), of each pair of labels of a cell and the one to its right.
        down: (h - 1, w, K, K), of a cell and the one below it.
    """
    height, width, number = cost.shape
    skewed = np.zeros((height + width, height + 1, number), np.float32)
    rows, columns = np.mgrid[:height, :width]
    at = rows + columns, rows
    own = skewed.copy()
    own[at] = cost
    to_right, to_below = np.zeros((2, *skewed.shape, number), np.float32)
    to_right[at[0][:, :-1], at[1][:, :-1]] = across
    to_below[at[0][:-1], at[1][:-1]] = down
    to_left, to_above = (np.ascontiguousarray(x.swapaxes(2, 3)) for x in (to_right, to_below))
    right, below, left, above = (skewed.copy() for _ in range(4))  # messages that arrived
    last, label = height + width - 2, cost.argmin(axis=2)
    for _ in range(_SWEEPS):
        for d in range(last):
            half = (own[d] + right[d] + below[d] + left[d] + above[d]) / 2
            right[d + 1] = _sent(half - left[d], to_right[d])
            below[d + 1, 1:] = _sent(half - above[d], to_below[d])[:-1]
        for d in range(last, 0, -1):
            half = (own[d] + right[d] + below[d] + left[d] + above[d]) / 2
            left[d - 1] = _sent(half - right[d], to_left[d - 1])
            above[d - 1, :-1] = _sent((half - below[d])[1:], to_above[d - 1, :-1])
        before, label = label, (own + right + below + left + above).argmin(axis=2)[at]
        if (label == before).all():
            break
    return label


def _sent(out: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """A message (n, K), of senders (n, K) that know what pairs of labels cost (n, K, K)."""
    message = out[:, :1] + apart[:, 0]
    for label in range(1, out.shape[1]):
        np.minimum(message, out[:, label, None] + apart[:, label], out=message)
    return message - message[:, :1]  # what is the same for all labels says nothing
