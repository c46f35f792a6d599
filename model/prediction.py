"""Predictions of the network for a batch of frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from .refiner import resize


@dataclass(frozen=True)
class Prediction:
    """The prediction for a batch, float32 in [0, 1].

    Attributes:
        pha: (B, 1, H, W), alpha.
        fgr: (B, 3, H, W), the subject's colours, not multiplied by alpha.
        err: (B, 1, h, w), the predicted error of the coarse alpha.
        ref: (B, 1, h, w), 1 where a patch was refined; None from a network without a refiner.
        padded_size: (height, width) of the padded frame, which ``err`` and ``ref`` cover; the frame
            itself is at the top left.
    """

    pha: Tensor
    fgr: Tensor
    err: Tensor
    ref: Tensor | None
    padded_size: tuple[int, int]

    def with_pha(self, pha: Tensor) -> "Prediction":
        """The same with another alpha, (B, 1, H, W) in [0, 1]."""
        return Prediction(pha, self.fgr, self.err, self.ref, self.padded_size)

    def with_extended(self, src: Tensor, extended: Tensor) -> "Prediction":
        """The same with colours that go beyond the levels which the network saw.

        Where ``extended`` is outside of [0, 1], it is the foreground. Elsewhere the foreground
        differs from it as it differs from ``src``.

        Args:
            src: (B, 3, H, W), what the network saw, uint8 or uint16.
            extended: The same as float32.
        """
        seen = src.to(self.fgr.device, torch.float32) / torch.iinfo(src.dtype).max
        extended = extended.to(self.fgr.device)
        is_inside = (extended >= 0) & (extended <= 1)
        fgr = extended + (self.fgr - seen) * is_inside
        return Prediction(self.pha, fgr, self.err, self.ref, self.padded_size)

    def cut_out(self, depth: int | str = 8) -> Tensor:
        """The subject with straight alpha: RGB where alpha is not 0, and black elsewhere.

        Args:
            depth: Bits per level to which the result will be rounded, or a type of float.

        Returns:
            (B, 4, H, W): float in [0, 1], or integer levels of that many bits.
        """
        return torch.cat([self.fgr * self.pha.ne(0), self.pha], dim=1)

    def sparse(self, i: int, every: int) -> tuple[Tensor, Tensor]:
        """Alpha (1, h, w) and foreground (3, h, w) of frame ``i``, subsampled by ``every``."""
        return self.pha[i, :, ::every, ::every], self.fgr[i, :, ::every, ::every]

    def part(self, rows: slice, columns: slice) -> "Prediction":
        """The same with a part of alpha and foreground; it starts at multiples of four."""
        pha, fgr = self.pha[:, :, rows, columns], self.fgr[:, :, rows, columns]
        return replace(self, pha=pha, fgr=fgr)


@dataclass(frozen=True)
class DetailPrediction:
    """The prediction of the fast network; ``pha`` and ``fgr`` are computed at their first use.

    Attributes:
        src: (B, 3, H, W), the frames: uint8, or float in [0, 1].
        detail: (B, H, W, 4), to be added to the levels (R, G, B, 255) of ``src``.
        err, ref, padded_size: As in :class:`Prediction`.
    """

    src: Tensor
    detail: Tensor
    err: Tensor
    ref: Tensor
    padded_size: tuple[int, int]

    @cached_property
    def pha(self) -> Tensor:
        return (self.detail[..., 3:].permute(0, 3, 1, 2) / 255 + 1).clamp_(0, 1)

    @cached_property
    def fgr(self) -> Tensor:
        white = 1 if self.src.is_floating_point() else 255
        res = self.detail[..., :3].permute(0, 3, 1, 2) / 255
        return res.add_(self.src, alpha=1 / white).clamp_(0, 1)

    def with_pha(self, pha: Tensor) -> Prediction:
        """The same with another alpha, (B, 1, H, W) in [0, 1]."""
        return Prediction(pha, self.fgr, self.err, self.ref, self.padded_size)

    def with_extended(self, src: Tensor, extended: Tensor) -> Prediction:
        """As :meth:`Prediction.with_extended`."""
        return self.with_pha(self.pha).with_extended(src, extended)

    def cut_out(self, depth: int | str = 8) -> Tensor:
        """As :meth:`Prediction.cut_out`, in one pass over memory if that is possible."""
        if depth != 8 or self.src.device.type != "cpu" or self.src.dtype != torch.uint8:
            return self.with_pha(self.pha).cut_out(depth)
        levels = torch.empty(self.detail.shape, dtype=torch.uint8)
        frames = self.src.permute(0, 2, 3, 1)
        for frame, detail, out in zip(frames, self.detail, levels, strict=True):
            _add_detail(frame.numpy(), detail.numpy(), out.numpy())
        return levels.permute(0, 3, 1, 2)

    def sparse(self, i: int, every: int) -> tuple[Tensor, Tensor]:
        """As :meth:`Prediction.sparse`; only these pixels are computed."""
        src, detail = self.src[i : i + 1], self.detail[i : i + 1]
        sparse = replace(self, src=src[..., ::every, ::every], detail=detail[:, ::every, ::every])
        return sparse.pha[0], sparse.fgr[0]

    def part(self, rows: slice, columns: slice) -> "DetailPrediction":
        """As :meth:`Prediction.part`."""
        src, detail = self.src[:, :, rows, columns], self.detail[:, rows, columns]
        return replace(self, src=src, detail=detail)


def concatenate(parts: Sequence[Prediction | DetailPrediction]) -> Prediction:
    """Concatenate the predictions of consecutive batches."""
    refs = [part.ref for part in parts if part.ref is not None]
    size = max(part.err.shape[2:] for part in parts)  # those of whole frames may be coarser
    return Prediction(
        pha=torch.cat([part.pha for part in parts]),
        fgr=torch.cat([part.fgr for part in parts]),
        err=torch.cat([resize(part.err, *size) for part in parts]),
        ref=torch.cat(refs) if refs else None,
        padded_size=parts[0].padded_size,
    )


def _add_detail(frame: np.ndarray, detail: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` with RGBA levels, rounded and clamped, black where alpha is 0.

    Args:
        frame: (H, W, 3), uint8.
        detail: (H, W, 4), to be added to the levels (R, G, B, 255).
        out: (H, W, 4), uint8.
    """
    cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA, dst=out)
    cv2.add(out, detail, dst=out, dtype=cv2.CV_8U)
    out.view(np.uint32)[...] *= detail[..., 3:] > -255
