"""The frames of each kind of output, as pure functions of a prediction."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from media import UsageError, to_linear

from .formats import Depth, Kind
from .quantize import to_levels


class Matte(Protocol):
    """What a composer needs of a prediction; see ``model.Prediction`` for each member."""

    @property
    def pha(self) -> Tensor: ...
    @property
    def fgr(self) -> Tensor: ...
    @property
    def err(self) -> Tensor: ...
    @property
    def ref(self) -> Tensor | None: ...
    @property
    def padded_size(self) -> tuple[int, int]: ...
    def cut_out(self, depth: Depth) -> Tensor: ...


#: Side in pixels of the cells by which a mask grows.
_CELL = 8
#: Maps a matte and a target (B or 1, 3, H, W) to frames (B, C, H, W) of one kind, in the type of
#: their depth.
Composer = Callable[[Matte, Tensor | None], Tensor]


def composer(
    kind: Kind,
    *,
    alpha: bool,
    depth: Depth = 8,
    linear: bool = False,
    premultiplied: bool = False,
    margin: int = 0,
) -> Composer:
    """A function that makes the frames of a kind.

    Args:
        kind: The kind.
        alpha: The writer holds alpha; without it, ``com`` is composited over the target.
        depth, linear, premultiplied, margin: As of :class:`FrameWriter`.
    """

    def compose(matte: Matte, target: Tensor | None) -> Tensor:
        return to_levels(frames(matte, target), depth)

    def frames(matte: Matte, target: Tensor | None) -> Tensor:
        if kind == "com" and alpha and not linear and not premultiplied and not margin:
            return matte.cut_out(depth)
        if kind == "com" and alpha:
            share = matte.pha if premultiplied else _widened(matte.pha.ne(0), margin)
            return torch.cat([coloured(matte.fgr) * share, matte.pha], dim=1)
        if kind == "com":
            assert target is not None, "a writer without alpha has a target"
            return coloured(over(matte.pha, matte.fgr, target.to(matte.pha.device)))
        if kind == "err":
            return _crop(error_map(matte.err, matte.padded_size), matte)
        if kind == "ref":
            return _crop(_refined_map(matte), matte)
        return matte.pha if kind == "pha" else coloured(matte.fgr)

    def coloured(levels: Tensor) -> Tensor:
        return to_linear(levels) if linear else levels

    return compose


def over(pha: Tensor, fgr: Tensor, target: Tensor) -> Tensor:
    """Composite the subject over another background: ``fgr * pha + target * (1 - pha)``.

    Args:
        pha: (B, 1, H, W) in [0, 1].
        fgr: (B, 3, H, W) in [0, 1].
        target: (B or 1, 3, H, W) in [0, 1].

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    return target + pha * (fgr - target)


def error_map(err: Tensor, size: tuple[int, int]) -> Tensor:
    """The predicted error (B, 1, h, w), resized bilinearly to (height, width)."""
    return F.interpolate(err, size, mode="bilinear", align_corners=False)


def refined_map(ref: Tensor, size: tuple[int, int]) -> Tensor:
    """The refined patches (B, 1, h, w), resized to (height, width) by nearest neighbour."""
    return F.interpolate(ref, size, mode="nearest")


def _widened(mask: Tensor, margin: int) -> Tensor:
    """A mask (B, 1, H, W) that is also true about ``margin`` pixels around where ``mask`` is."""
    if not margin:
        return mask
    cells = F.max_pool2d(
        mask.float(), _CELL, ceil_mode=True
    )  # pixel by pixel it would take ten times as long
    reach = -(-margin // _CELL)
    cells = F.max_pool2d(cells, 2 * reach + 1, 1, reach)
    wide = cells.bool().repeat_interleave(_CELL, 2).repeat_interleave(_CELL, 3)
    return wide[..., : mask.shape[2], : mask.shape[3]]


def _refined_map(matte: Matte) -> Tensor:
    if matte.ref is None:
        raise UsageError("ref needs refined patches: mattingrefine")
    return refined_map(matte.ref, matte.padded_size)


def _crop(frames: Tensor, matte: Matte) -> Tensor:
    return frames[..., : matte.pha.shape[2], : matte.pha.shape[3]]
