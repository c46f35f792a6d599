"""The cells of 4x4 pixels that the refiner computes, and where their neighbours are."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from .tiles import interpolation

#: How many cells around a frame the refiner looks at.
AROUND = 2
#: What is next to a place, for ``cv2.dilate``.
NEXT_TO = np.ones((3, 3), np.uint8)


class NearCells(NamedTuple):
    """The cells that the first two layers are computed in, and after them those they read.

    Attributes:
        row, column: (N,), in the grid of cells that goes ``AROUND`` beyond the frame.
        computed: How many are computed; the others are only read.
        kinds: In the order of the cells, how many have which weights of the base's pixels, down and
            across.
        base: (computed, m), indices of the pixels of the base that a cell reads.
        numbers: Of the quarters of the grid, row by row: where their row is in a table.
        width: Quarters in a row of the grid.
    """

    row: Tensor
    column: Tensor
    computed: int
    kinds: list[tuple[Tensor, Tensor, int]]
    base: Tensor
    numbers: Tensor
    width: int

    @classmethod
    def around(cls, grid: np.ndarray, height: int, width: int) -> "NearCells":
        """The cells around the chosen ones of ``grid``; the base has ``height`` x ``width``."""
        rows, columns = (length - 2 * AROUND for length in grid.shape)
        down, across = axis(rows, height), axis(columns, width)
        near = cv2.dilate(grid, NEXT_TO)
        row, column = places(near)
        kind = down.kind[row] * len(across.kinds) + across.kind[column]
        kind, order = kind.sort(stable=True)
        row, column = row[order], column[order]
        numbers, counts = (x.tolist() for x in kind.unique_consecutive(return_counts=True))
        ways = (divmod(number, len(across.kinds)) for number in numbers)
        kinds = [
            (down.kinds[y], across.kinds[x], count)
            for (y, x), count in zip(ways, counts, strict=True)
        ]
        base = down.needed[row][:, :, None] * width + across.needed[column][:, None, :]
        beyond = places(cv2.dilate(near, NEXT_TO) - near)
        every = torch.cat([row, beyond[0]]), torch.cat([column, beyond[1]])
        cells = numbers_of(grid.shape, *every).view(grid.shape[0], 1, grid.shape[1], 1)
        numbers = 4 * cells + torch.tensor([[0, 1], [2, 3]], dtype=torch.int32)[:, None]
        return cls(*every, len(row), kinds, base.flatten(1), numbers.flatten(), 2 * grid.shape[1])

    def around_each(self) -> Tensor:
        """Numbers of the 4x4 quarters in and around each cell to compute, (computed, 16)."""
        row, column = (2 * index[: self.computed] - 1 for index in (self.row, self.column))
        return self.numbers[squares_at(row, column, self.width, 4)]


class Axis(NamedTuple):
    """How the pixels of the base lie in the cells along one axis.

    Attributes:
        needed: (N, m), the pixels that each cell reads.
        kind: (N,), the kind of each cell.
        kinds: (K, 4, m), by kind, their weights for the four pixels of half size around a cell.
    """

    needed: Tensor
    kind: Tensor
    kinds: Tensor


@lru_cache(maxsize=64)
def axis(cells: int, length: int) -> Axis:
    """The axis of a frame of ``cells`` cells, which has ``length`` pixels in the base."""
    first = 2 * (torch.arange(cells + 2 * AROUND) - AROUND)
    needed, weights = interpolation(first[:, None] + torch.arange(-1, 3), length, 2 * cells)
    kinds, kind = weights.unique(dim=0, return_inverse=True)
    return Axis(needed, kind, kinds)


def places(mask: np.ndarray) -> tuple[Tensor, Tensor]:
    """Rows and columns where a mask (H, W), uint8, is set."""
    row, column = torch.from_numpy(mask).nonzero(as_tuple=True)
    return row, column


def numbers_of(shape: Sequence[int], row: Tensor, column: Tensor) -> Tensor:
    """A plane (H * W,) with the numbers of N places; elsewhere it is N."""
    numbers = torch.full((shape[0] * shape[1],), len(row), dtype=torch.int32)
    numbers[row * shape[1] + column] = torch.arange(len(row), dtype=torch.int32)
    return numbers


def squares_at(row: Tensor, column: Tensor, width: int, side: int) -> Tensor:
    """Indices (N, side * side) into a plane of the squares that begin at rows and columns."""
    offset = torch.arange(side, dtype=torch.int32)
    first = (row * width + column).to(torch.int32)
    return first[:, None] + (offset[:, None] * width + offset).flatten()
