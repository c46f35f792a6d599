"""The contact sheet of a run: a few frames beside their mattes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from dataset import evenly_spaced
from model import DetailPrediction, EstimatedPrediction, Prediction
from writers import error_map

#: Frames on a sheet, and pixels of a cell's longer side.
PREVIEW_FRAMES, CELL = 5, 480
_COLUMNS = ("source", "plate as used", "alpha", "subject", "predicted error")
_HEADER, _GAP = 28, 6
_PAPER, _INK = 24, 230
#: Side of the checkerboard's squares, in pixels, and its two levels.
_SQUARE, _DARK, _LIGHT = 12, 90 / 255, 150 / 255


@dataclass(frozen=True)
class Row:
    """A frame on the sheet.

    Attributes:
        place: Its place in the run.
        number: Its number in the clip.
        cells: (h, w, 3), uint8 each.
    """

    place: int
    number: int
    cells: list[np.ndarray]


class Preview:
    """Keeps a few frames, evenly over a run.

    One frame of every ``stride`` is kept; when there are too many, every other one is dropped and
    the stride doubles. If far fewer frames come than expected, the sheet shows early ones instead:
    frames 0, 1, 2, 4, 8 and so on of the run.

    Args:
        expected: Frames to expect, if known.
        names: Numbers of the frames in their clip, where they do not count up from 0.
        first: Place in the run of the first frame that comes.
    """

    def __init__(self, expected: int | None, names: Sequence[int] = (), first: int = 0):
        self._names = names
        self._stride = max(1, (expected or 0) // PREVIEW_FRAMES)
        self._offset = self._stride // 2
        self._seen = first
        self._early: list[Row] = []
        self._rows: list[Row] = []

    def add(
        self,
        numbers: Sequence[int],
        src: Tensor,
        bgr: Tensor,
        matte: Prediction | DetailPrediction | EstimatedPrediction,
    ) -> None:
        """Keep those frames of a batch that the sheet needs.

        Args:
            numbers: Of the batch's frames.
            src: (B, 3, H, W), integers, or float in [0, 1].
            bgr: (B or 1, 3, H, W), likewise, the plate as the network saw it.
            matte: The prediction for them.
        """
        every = max(1, max(src.shape[2:]) // (2 * CELL))  # shrunk from twice the size of a cell
        size = (-(-matte.padded_size[0] // every), -(-matte.padded_size[1] // every))
        for i in range(len(src)):
            place, self._seen = self._seen, self._seen + 1
            if not self._wants(place):
                continue
            frame, plate = (x[..., ::every, ::every] for x in (src[i], bgr[i % len(bgr)]))
            err = error_map(matte.err[i : i + 1], size)[0, :, : frame.shape[1], : frame.shape[2]]
            images = frame, plate, *matte.sparse(i, every), err
            self._keep(Row(place, numbers[i], _cells(*map(_small, images))))

    @property
    def rows(self) -> list[Row]:
        """What was kept, for a preview that :meth:`take` gives it to."""
        return self._early + self._rows

    def take(self, count: int, rows: Iterable[Row]) -> None:
        """Keep those of ``count`` frames, of which another preview kept some."""
        self._seen += count
        for row in rows:
            if self._wants(row.place):
                self._keep(row)

    def _wants(self, place: int) -> bool:
        return self._is_early(place) or (place - self._offset) % self._stride == 0

    def _is_early(self, place: int) -> bool:
        return place < self._offset and place & (place - 1) == 0

    def _keep(self, row: Row) -> None:
        (self._early if self._is_early(row.place) else self._rows).append(row)
        if len(self._rows) > 2 * PREVIEW_FRAMES:
            self._rows = self._rows[::2]
            self._stride *= 2

    @property
    def numbers(self) -> list[int]:
        """The frames that the sheet shows."""
        last = len(self._names) - 1
        shown = [row.number for row in self._shown()]
        return [self._names[min(number, last)] for number in shown] if self._names else shown

    def _shown(self) -> list[Row]:
        rows = self._rows or self._early
        return [rows[i] for i in evenly_spaced(len(rows), PREVIEW_FRAMES)] if rows else []

    def sheet(self) -> np.ndarray | None:
        """The contact sheet (H, W, 3), uint8, RGB; None before the first frame."""
        rows = self._shown()
        if not rows:
            return None
        height, width = rows[0].cells[0].shape[:2]
        down, across = height + _HEADER, width + _GAP
        size = (len(rows) * down + _GAP, len(_COLUMNS) * across + _GAP, 3)
        sheet = np.full(size, _PAPER, np.uint8)
        for y, (number, row) in enumerate(zip(self.numbers, rows, strict=True)):
            for x, (title, cell) in enumerate(zip(_COLUMNS, row.cells, strict=True)):
                top, left = y * down + _HEADER, x * across + _GAP
                sheet[top : top + height, left : left + width] = cell
                text = f"frame {number}: {title}" if x == 0 else title
                _write(sheet[top - _HEADER : top, left : left + width], text)
        return sheet


def _small(image: Tensor) -> np.ndarray:
    """An image (C, H, W), integers or [0, 1], as (h, w, C) in [0, 1], no larger than a cell."""
    pixels = image.float() if image.is_floating_point() else image
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())
    height, width = array.shape[:2]
    scale = min(1.0, CELL / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(array, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)
    white = 1 if image.is_floating_point() else torch.iinfo(image.dtype).max
    return small / np.float32(white)


def _cells(
    src: np.ndarray, bgr: np.ndarray, pha: np.ndarray, fgr: np.ndarray, err: np.ndarray
) -> list[np.ndarray]:
    y, x = np.indices(pha.shape[:2])[..., None] // _SQUARE
    board = np.float32(_DARK) + np.float32(_LIGHT - _DARK) * ((y + x) % 2)
    images = (src, bgr, pha, fgr * pha + board * (1 - pha), err)
    levels = [np.rint(255 * image.clip(0, 1)).astype(np.uint8) for image in images]
    return [np.broadcast_to(image, src.shape) for image in levels]


def _write(strip: np.ndarray, text: str) -> None:
    """Write a line into a strip (H, W, 3), in place, shrunk to its width if need be."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    scale = 0.5 * min(1.0, strip.shape[1] / width)
    line = np.full(strip.shape, _PAPER, np.uint8)
    cv2.putText(line, text, (0, 19), cv2.FONT_HERSHEY_SIMPLEX, scale, [_INK] * 3, 1, cv2.LINE_AA)
    strip[:] = line
