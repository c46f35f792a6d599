"""A prediction whose foreground is estimated from the frame, its plate and alpha."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from .cells import CELL, planes_of, scaled
from .foreground import SOLID, Foreground, estimate_foreground
from .prediction import DetailPrediction, Prediction


@dataclass(frozen=True)
class EstimatedPrediction:
    """A prediction with an estimated foreground; each frame is estimated alone, at its first use.

    Attributes:
        matte: The prediction.
        src: (B, 3, H, W), its frames: integers, or float, which may go beyond [0, 1].
        bgr: (B or 1, 3, H, W), their plates: integers, or float in [0, 1].
    """

    matte: Prediction | DetailPrediction
    src: Tensor
    bgr: Tensor

    @cached_property
    def pha(self) -> Tensor:
        return self.matte.pha.contiguous()

    @cached_property
    def fgr(self) -> Tensor:
        """(B, 3, H, W): the frame where alpha is 1; it goes on smoothly where alpha is 0."""
        return self.part(slice(None), slice(None)).fgr

    @property
    def err(self) -> Tensor:
        return self.matte.err

    @property
    def ref(self) -> Tensor | None:
        return self.matte.ref

    @property
    def padded_size(self) -> tuple[int, int]:
        return self.matte.padded_size

    def cut_out(self, depth: int | str = 8) -> Tensor:
        """As :meth:`Prediction.cut_out`, as integer levels at once if that is possible."""
        if depth != 8 or self.pha.device.type != "cpu" or self.src.dtype != torch.uint8:
            whole = Prediction(self.pha, self.fgr, self.err, self.ref, self.padded_size)
            return whole.cut_out(depth)
        frames = zip(self.src, self.pha, self._parts, strict=True)
        levels = np.stack([_cut_out(*frame) for frame in frames])
        return torch.from_numpy(levels).permute(0, 3, 1, 2)

    def sparse(self, i: int, every: int) -> tuple[Tensor, Tensor]:
        """As :meth:`Prediction.sparse`."""
        return self.pha[i, :, ::every, ::every], self._fgr(i, slice(None), slice(None))[
            :, ::every, ::every
        ]

    def part(self, rows: slice, columns: slice) -> Prediction:
        """As :meth:`Prediction.part`."""
        fgr = torch.stack([self._fgr(i, rows, columns) for i in range(len(self.src))])
        pha = self.pha[:, :, rows, columns]
        return Prediction(pha, fgr, self.err, self.ref, self.padded_size)

    @cached_property
    def _parts(self) -> list[Foreground]:
        """The foreground of each frame."""
        src, bgr = (_readable(x.to(self.pha.device)) for x in (self.src, self.bgr))
        plates = bgr.expand(len(src), -1, -1, -1)
        return [
            estimate_foreground(src[i], plates[i], self.pha[i], self.matte.sparse(i, CELL)[1])
            for i in range(len(src))
        ]

    def _fgr(self, i: int, rows: slice, columns: slice) -> Tensor:
        """The foreground (3, h, w) of a part of frame ``i``."""
        pha = self.pha[i, :, rows, columns]
        src = planes_of(self.src[i, :, rows, columns].to(pha.device))
        found, colours, y, x = self._parts[i].part(rows, columns)
        inside = found[:, : pha.shape[1], : pha.shape[2]]
        inside.copy_(torch.where(pha >= SOLID, src, inside))
        cells = found.unflatten(1, (-1, CELL)).unflatten(3, (-1, CELL))
        cells[:, y, :, x] = colours.permute(0, 3, 1, 2)
        return inside


def _readable(frames: Tensor) -> Tensor:
    """Frames as uint8 or float; few operators support other integers."""
    return frames if frames.dtype == torch.uint8 else scaled(frames)


def _cut_out(src: Tensor, pha: Tensor, part: Foreground) -> np.ndarray:
    """RGBA levels (H, W, 4), uint8, of a frame (3, H, W), uint8; black where alpha is 0."""
    frame, alpha = src.permute(1, 2, 0).numpy(), pha[0].numpy()
    height, width = alpha.shape
    rows, columns = part.cells.size
    colours = _rgba(part.colours.flatten(0, 1)).reshape(-1, CELL, CELL)
    found = cv2.resize(
        _rgba(part.coarse.permute(1, 2, 0)).view(np.uint8).reshape(rows, columns, 4),
        (CELL * columns, CELL * rows),
    )
    pixels = found.view(np.uint32)[..., 0]  # red, green, blue and alpha as one number
    whole = cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA).view(np.uint32)[..., 0]
    np.copyto(pixels[:height, :width], whole, where=alpha >= SOLID)
    cells = pixels.reshape(rows, CELL, columns, CELL)
    cells[part.cells.rows.numpy(), :, part.cells.columns.numpy()] = colours
    levels = np.ascontiguousarray(found[:height, :width])
    levels[..., 3] = cv2.convertScaleAbs(alpha, alpha=255)
    levels.view(np.uint32)[..., 0] *= alpha > 0
    return levels


def _rgba(colours: Tensor) -> np.ndarray:
    """Colours (h, w, 3) as opaque levels, RGBA as one number: (h, w), uint32."""
    levels = colours.mul(255).round_().clamp_(0, 255).byte().contiguous().numpy()
    if not levels.size:
        return np.empty(levels.shape[:2], np.uint32)
    return cv2.cvtColor(levels, cv2.COLOR_RGB2RGBA).view(np.uint32)[..., 0]
