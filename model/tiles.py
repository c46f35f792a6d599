"""Tiles: squares of neighbouring patches, and the windows around them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Tiles(NamedTuple):
    """Square groups of neighbouring patches.

    Attributes:
        at: Image, row and column of each tile, each (N,).
        meant: How many of these are meant; the rest repeat the last.
        side: Patches along a side.
        grid: Rows and columns of tiles in an image.
    """

    at: tuple[Tensor, Tensor, Tensor]
    meant: int
    side: int
    grid: tuple[int, int]

    @classmethod
    def marked(cls, marks: Tensor, side: int, at_once: int, multiple: int) -> Iterator["Tiles"]:
        """The tiles with any mark in ``marks`` (B, R, C, side, side), so many at once.

        The last ones are filled up to a multiple of ``multiple``, since the libraries that convolve
        keep something for each shape that they meet, which would go on for hundreds of frames.
        """
        rows, columns = marks.shape[1:3]
        for part in marks.flatten(3).any(3).nonzero().split(at_once):
            repeats = part[-1:].expand(-len(part) % multiple, -1)
            image, row, column = torch.cat([part, repeats]).unbind(1)
            yield cls((image, row, column), len(part), side, (rows, columns))

    def windows(self, frames: Tensor, patch: int, margin: int) -> Tensor:
        """Cut the window around each tile.

        Args:
            frames: (B or 1, H', W', C), padded by ``margin`` and for whole tiles.
            patch: Side of a patch in ``frames``.
            margin: Pixels that a window reaches beyond its tile.

        Returns:
            (N, n, n, C) with n = side * patch + 2 * margin.
        """
        step = self.side * patch
        size = step + 2 * margin
        image, row, column = self.at
        windows = frames.unfold(1, size, step).unfold(2, size, step).permute(0, 1, 2, 4, 5, 3)
        return windows[image if len(frames) > 1 else image * 0, row, column]

    def upsampled(self, x: Tensor, size: tuple[int, int], patch: int, margin: int) -> Tensor:
        """As :meth:`windows`, of ``x`` (B, h, w, C) resized bilinearly to ``size``."""
        image, row, column = self.at
        step = self.side * patch
        kind = x.device, x.dtype
        down, taps_y = _interpolation(self.grid[0], step, margin, x.shape[1], size[0], *kind)
        across, taps_x = _interpolation(self.grid[1], step, margin, x.shape[2], size[1], *kind)
        down, taps_y, across, taps_x = down[row], taps_y[row], across[column], taps_x[column]
        small = x[image[:, None, None], down[:, :, None], across[:, None, :]]  # (N, m, m, C)
        tall = (taps_y @ small.flatten(2)).unflatten(2, small.shape[2:])  # (N, n, m, C)
        return taps_x[:, None] @ tall


@lru_cache(maxsize=64)
def _interpolation(
    count: int,
    step: int,
    margin: int,
    length: int,
    target: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Bilinear resizing of one axis, from ``length`` to ``target`` pixels, as windows see it.

    Window k covers the pixels from ``k * step - margin`` to ``(k + 1) * step + margin``.

    Returns:
        Which pixels each window needs, (count, m), and their weights for each of its own, of type
        ``dtype`` (count, n, m), which are 0 for those outside of the image; both on ``device``.
    """
    pixels = torch.arange(step + 2 * margin) - margin + step * torch.arange(count)[:, None]
    inside = (pixels >= 0) & (pixels < target)
    low, high, weight = bilinear(pixels.clamp(0, target - 1), length, target)
    first = low.amin(1, keepdim=True)
    needed = first + torch.arange(int((high - first).max()) + 1)
    lows, highs = ((index - first)[..., None] for index in (low, high))
    taps = torch.zeros(*pixels.shape, needed.shape[1])
    taps.scatter_add_(2, lows, (1 - weight)[..., None]).scatter_add_(2, highs, weight[..., None])
    needed, taps = needed.clamp(max=length - 1), taps * inside[..., None]
    return needed.to(device), taps.to(device, dtype)


def bilinear(pixels: Tensor, length: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where ``pixels`` of a resized axis lie: the pixel below, the one above, and its share."""
    position = ((pixels + 0.5) * (length / target) - 0.5).clamp(min=0)
    low = position.long()
    return low, (low + 1).clamp(max=length - 1), position - low


def cells(x: Tensor, side: int) -> Tensor:
    """A view of (B, H, W, ...) as (B, H/side, W/side, side, side, ...)."""
    return x.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
