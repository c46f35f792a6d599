"""Tiles: square groups of adjacent patches, and the windows around them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Tiles(NamedTuple):
    """Square groups of adjacent patches.

    Attributes:
        positions: Frame, row and column of each tile, each (N,).
        distinct: Number of distinct tiles; the others are padding and repeat the last one.
        side: Side of a tile in patches.
        grid: Rows and columns of tiles in a frame.
    """

    positions: tuple[Tensor, Tensor, Tensor]
    distinct: int
    side: int
    grid: tuple[int, int]

    @classmethod
    def chosen(
        cls, patches: Tensor, side: int, batch_size: int, multiple: int
    ) -> Iterator["Tiles"]:
        """The tiles with a chosen patch, in batches.

        The last batch is padded to a multiple of ``multiple``: convolution libraries prepare and
        cache each new shape, so there must be few of them.

        Args:
            patches: (B, R, C, side, side), bool, True where a patch is chosen.
            side: Side of a tile in patches.
            batch_size: Tiles in each batch but the last.
            multiple: See above.
        """
        rows, columns = patches.shape[1:3]
        for part in patches.flatten(3).any(3).nonzero().split(batch_size):
            padding = part[-1:].expand(-len(part) % multiple, -1)
            frame, row, column = torch.cat([part, padding]).unbind(1)
            yield cls((frame, row, column), len(part), side, (rows, columns))

    def windows(self, frames: Tensor, patch: int, margin: int) -> Tensor:
        """Cut the window around each tile.

        Args:
            frames: (B or 1, H', W', C), padded by ``margin`` and to whole tiles.
            patch: Side of a patch in ``frames`` in pixels.
            margin: Pixels of a window on each side of its tile.

        Returns:
            (N, n, n, C) with n = side * patch + 2 * margin.
        """
        step = self.side * patch
        size = step + 2 * margin
        frame, row, column = self.positions
        windows = frames.unfold(1, size, step).unfold(2, size, step).permute(0, 1, 2, 4, 5, 3)
        return windows[frame if len(frames) > 1 else frame * 0, row, column]

    def upsampled(self, x: Tensor, size: tuple[int, int], patch: int, margin: int) -> Tensor:
        """As :meth:`windows`, of ``x`` (B, h, w, C) resized bilinearly to ``size``."""
        frame, row, column = self.positions
        step = self.side * patch
        kind = x.device, x.dtype
        rows, weights_y = _interpolation(self.grid[0], step, margin, x.shape[1], size[0], *kind)
        columns, weights_x = _interpolation(self.grid[1], step, margin, x.shape[2], size[1], *kind)
        rows, weights_y = rows[row], weights_y[row]
        columns, weights_x = columns[column], weights_x[column]
        small = x[frame[:, None, None], rows[:, :, None], columns[:, None, :]]  # (N, m, m, C)
        tall = (weights_y @ small.flatten(2)).unflatten(2, small.shape[2:])  # (N, n, m, C)
        return weights_x[:, None] @ tall


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
    """Bilinear resizing of one axis, from ``length`` to ``target`` pixels, for each window.

    Window k covers the resized pixels from ``k * step - margin`` to ``(k + 1) * step + margin``.

    Returns:
        On ``device``: the indices of the source pixels of each window, (count, m), and their
        weights for each pixel of the window, (count, n, m) of type ``dtype``. Pixels of a window
        outside the frame have zero weights.
    """
    pixels = torch.arange(step + 2 * margin) - margin + step * torch.arange(count)[:, None]
    needed, weights = interpolation(pixels, length, target)
    return needed.to(device), weights.to(device, dtype)


def interpolation(pixels: Tensor, length: int, target: int) -> tuple[Tensor, Tensor]:
    """Bilinear resizing of one axis, from ``length`` to ``target`` pixels, in windows.

    Args:
        pixels: (N, n), the resized pixels of each window.

    Returns:
        The indices of the source pixels of each window, (N, m), and their weights for each pixel
        of the window, (N, n, m). Pixels of a window outside the frame have zero weights.
    """
    inside = (pixels >= 0) & (pixels < target)
    low, high, weight = bilinear(pixels.clamp(0, target - 1), length, target)
    first = low.amin(1, keepdim=True)
    needed = first + torch.arange(int((high - first).max()) + 1)
    lows, highs = ((index - first)[..., None] for index in (low, high))
    weights = torch.zeros(*pixels.shape, needed.shape[1])
    weights.scatter_add_(2, lows, (1 - weight)[..., None])
    weights.scatter_add_(2, highs, weight[..., None])
    return needed.clamp(max=length - 1), weights * inside[..., None]


def bilinear(pixels: Tensor, length: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bilinear resizing of one axis, from ``length`` to ``target`` pixels.

    Returns:
        For each of ``pixels`` of the resized axis: the lower source pixel, the higher one, and the
        weight of the higher one.
    """
    position = ((pixels + 0.5) * (length / target) - 0.5).clamp(min=0)
    low = position.long()
    return low, (low + 1).clamp(max=length - 1), position - low


def cells(x: Tensor, side: int) -> Tensor:
    """A view of (B, H, W, ...) as (B, H/side, W/side, side, side, ...)."""
    return x.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
