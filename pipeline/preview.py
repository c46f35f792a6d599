"""A contact sheet of a run: a few frames, side by side with what was made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dataset import spread
from model import DetailPrediction, Prediction, to_float
from writers import composer

#: Frames on a sheet, and pixels of a cell's longer side.
FRAMES, CELL = 5, 480
_COLUMNS = ("source", "plate as used", "alpha", "subject", "predicted error")
_HEADER, _GAP = 28, 6
_PAPER, _INK = 24, 230
#: Side of the checkerboard's squares, in pixels, and its two levels.
_SQUARE, _DARK, _LIGHT = 12, 90 / 255, 150 / 255


@dataclass(frozen=True)
class _Row:
    number: int
    cells: list[np.ndarray]


class Preview:
    """Keeps a few frames, evenly over a run, from those that pass by.

    Every so many frames one is kept; when there are too many, every other one is given up. A wrong
    or missing count of frames costs nothing but a few small pictures.

    Args:
        expected: Frames to expect, if known.
        names: The frames' numbers in their clip, where they don't just count up from 0.
    """

    def __init__(self, expected: int | None, names: Sequence[int] = ()):
        self._names = names
        self._stride = max(1, (expected or 0) // FRAMES)
        self._offset = self._stride // 2
        self._rows: list[_Row] = []

    def add(
        self, first: int, src: Tensor, bgr: Tensor, matte: Prediction | DetailPrediction
    ) -> None:
        """Take what is wanted of a batch.

        Args:
            first: Number of the batch's first frame.
            src: (B, 3, H, W), integers, or float in [0, 1].
            bgr: (B or 1, 3, H, W), likewise, the plate as the network saw it.
            matte: What was made of them.
        """
        every = max(1, max(src.shape[2:]) // (2 * CELL))  # they are shrunk from twice the size
        err: Tensor | None = None
        for i in range(len(src)):
            if (first + i - self._offset) % self._stride:
                continue
            if err is None:
                err = composer("err", has_alpha=True)(matte, None)
            seen = (x[..., ::every, ::every] for x in (src[i], bgr[i % len(bgr)]))
            pictures = *seen, *matte.sparse(i, every), err[i, :, ::every, ::every]
            self._rows.append(_Row(first + i, _cells(*map(_small, pictures))))
            if len(self._rows) > 2 * FRAMES:
                self._rows = self._rows[::2]
                self._stride *= 2

    @property
    def numbers(self) -> list[int]:
        """The frames that the sheet shows."""
        last = len(self._names) - 1
        shown = [row.number for row in self._shown()]
        return [self._names[min(number, last)] for number in shown] if self._names else shown

    def _shown(self) -> list[_Row]:
        return [self._rows[i] for i in spread(len(self._rows), FRAMES)] if self._rows else []

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


def _small(picture: Tensor) -> Tensor:
    """(C, H, W), no larger than a cell."""
    picture = to_float(picture[None])
    scale = min(1.0, CELL / max(picture.shape[2:]))
    height, width = (max(1, round(side * scale)) for side in picture.shape[2:])
    if scale < 1:
        picture = F.interpolate(picture, (height, width), mode="bilinear", antialias=True)
    return picture[0]


def _cells(src: Tensor, bgr: Tensor, pha: Tensor, fgr: Tensor, err: Tensor) -> list[np.ndarray]:
    y, x = (torch.arange(side, device=pha.device) // _SQUARE for side in pha.shape[1:])
    board = _DARK + (_LIGHT - _DARK) * ((y[:, None] + x) % 2)
    subject = fgr * pha + board * (1 - pha)
    pictures = (src, bgr, pha.expand_as(src), subject, err.expand_as(src))
    return [
        (255 * picture.clamp(0, 1)).round().byte().permute(1, 2, 0).cpu().numpy()
        for picture in pictures
    ]


def _write(strip: np.ndarray, text: str) -> None:
    """Write a line into a strip (H, W, 3) of paper, in place, no wider than that."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    scale = 0.5 * min(1.0, strip.shape[1] / width)
    line = np.full(strip.shape, _PAPER, np.uint8)
    cv2.putText(line, text, (0, 19), cv2.FONT_HERSHEY_SIMPLEX, scale, [_INK] * 3, 1, cv2.LINE_AA)
    strip[:] = line
