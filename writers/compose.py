"""The frames of each kind of output, as pure functions of a prediction."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from media import UsageError, to_linear

from .formats import Depth, Kind
from .quantize import no_levels, to_levels


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
    def cut_out(self) -> Tensor: ...
    def part(self, rows: slice, columns: slice) -> "Matte": ...


#: Side in pixels of the cells by which a mask grows.
_CELL = 8
#: Rows that a CPU works on together, so that they fit into its cache; a multiple of 4.
_ROWS_AT_ONCE = 32
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
        if kind == "err":
            return to_levels(_crop(error_map(matte.err, matte.padded_size), matte), depth)
        if kind == "ref":
            return to_levels(_crop(_refined_map(matte), matte), depth)
        if kind == "pha":
            return to_levels(matte.pha, depth)
        if kind == "com" and alpha and depth == 8 and not (linear or premultiplied or margin):
            return to_levels(matte.cut_out(), depth)
        shown = None
        if kind == "fgr" or alpha:
            target = None
            if kind == "com":
                shown = _widened(matte.pha.ne(0), 0 if premultiplied else margin)
        else:
            assert target is not None, "a writer without alpha has a target"
            target = target.to(matte.pha.device).expand(-1, -1, *matte.pha.shape[2:])
        if matte.pha.device.type != "cpu":
            return to_levels(frames(matte, shown, target), depth)
        return by_parts(matte, shown, target)

    def by_parts(matte: Matte, shown: Tensor | None, target: Tensor | None) -> Tensor:
        """Compose a few rows at a time, and only the columns that show something."""
        batch, _, height, width = matte.pha.shape
        whole = no_levels((batch, 3 if shown is None else 4, height, width), depth)
        for top in range(0, height, _ROWS_AT_ONCE):
            rows = slice(top, min(top + _ROWS_AT_ONCE, height))
            columns = slice(0, width) if shown is None else _columns(shown[:, :, rows])
            here = (..., rows, columns)
            if columns.stop:
                part = frames(
                    matte.part(rows, columns),
                    None if shown is None else shown[here],
                    None if target is None else target[here],
                )
                whole[here] = to_levels(part, depth)
        return whole

    def frames(matte: Matte, shown: Tensor | None, target: Tensor | None) -> Tensor:
        if target is not None:
            return in_light(over(matte.pha, matte.fgr, target))
        colours = in_light(matte.fgr)
        if shown is None:
            return colours
        share = matte.pha if premultiplied else shown.float()
        return torch.cat([colours * share, matte.pha], dim=1)

    def in_light(levels: Tensor) -> Tensor:
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


def _columns(shown: Tensor) -> slice:
    """The columns in which something of (B, 1, H, W) is shown; they start at a multiple of 4."""
    found = shown.flatten(0, 2).any(0).nonzero()
    return slice(int(found[0]) // 4 * 4, int(found[-1]) + 1) if len(found) else slice(0, 0)


def _widened(mask: Tensor, margin: int) -> Tensor:
    """A mask (B, 1, H, W) that is also true about ``margin`` pixels around where ``mask`` is."""
    if not margin:
        return mask
    height, width = mask.shape[2:]
    missing = (0, -width % _CELL, 0, -height % _CELL)
    lines = F.pad(mask[:, 0], missing).contiguous().view(torch.int64).ne(0)  # 8 pixels at once
    cells = lines.unflatten(1, (-1, _CELL)).any(2)[:, None].float()
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
