"""The refiner on a CPU: each layer is computed only where the chosen patches need it.

The windows around adjacent patches overlap, and a convolution would compute the same values in
each of them. Here every value is computed once. A patch is a cell of 4x4 pixels. Each layer has a
table with one row for each cell, or for each quarter of a cell (2x2 pixels, one pixel at half
size). A row of the next table is a matrix product of the rows around it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from .near_cells import AROUND, NEXT_TO, NearCells, axis, numbers_of, places, squares_at

#: Side of a cell, and the pixels around a frame that the refiner looks at.
_CELL = 4
_MARGIN = _CELL * AROUND
#: Values of 4x4 pixels with four channels.
_PIXELS = 64
#: Values that are multiplied at once; they stay in the cache.
_VALUES = 2**18
#: Patches that are refined at once, about.
_PATCHES = 2**15
#: Kinds of cells, by how the pixels of the base lie in them, that are worth weights of their own.
_MAX_KINDS = 144
#: Numbers that hold the four channels of a pixel.
_PACKED = {torch.uint8: torch.int32, torch.float32: torch.complex128}
_UNPACKED = {number: channels for channels, number in _PACKED.items()}


def packed(frames: Tensor) -> Tensor:
    """Frames with one number for each pixel, and zeros around them.

    Args:
        frames: (B, 3, H, W), uint8 or float32; H and W are multiples of 4.

    Returns:
        (B, H + 16, W + 16).
    """
    batch, _, height, width = frames.shape
    pixels = frames.new_zeros(batch, height + 2 * _MARGIN, width + 2 * _MARGIN, 4)
    inside = pixels[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].numpy()
    for frame, out in zip(frames.permute(0, 2, 3, 1), inside, strict=True):
        cv2.cvtColor(frame.contiguous().numpy(), cv2.COLOR_RGB2RGBA, dst=out)
    return pixels.view(_PACKED[frames.dtype])[..., 0]


class SparseRefiner:
    """The four convolutions of a refiner as matrix products.

    Args:
        convs: They have kernels of 3, and BatchNorms are folded. The first reads the channels of
            the base, then frame and plate; the third those of the second, then frame and plate.
        dtype: Of the products.
    """

    def __init__(self, convs: Sequence[nn.Conv2d], dtype: torch.dtype):
        first, second, third, fourth = (
            _spread(conv.weight.detach().float(), side)
            for conv, side in zip(convs, (4, 4, 4, 6), strict=True)
        )
        biases = [
            conv.bias.detach().repeat(times).to(dtype)
            for conv, times in zip(convs, (4, 4, 4, 16), strict=True)
            if conv.bias is not None
        ]
        self._base, self._pair, self._bias = first[:, :, :-6], _flat(first[:, :, -6:]), biases[0]
        self._first: dict[bytes, _Layer] = {}
        halves = torch.eye(2).repeat_interleave(2, 0) / 2
        means = torch.einsum("ya,xb,co->yxcabo", halves, halves, torch.eye(3))
        self._means = _Layer(_flat(_of_levels(means)), torch.zeros(12))
        # Values of half size are repeated: three of them lie below four pixels.
        repeat = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
        enlarged = torch.einsum("iy,jx,yxcabo->ijcabo", repeat, repeat, third[:, :, :-6])
        src, bgr = (_of_levels(third[:, :, part]) for part in (slice(-6, -3), slice(-3, None)))
        third = torch.cat([_flat(part) for part in (enlarged, src, bgr)])
        self._second, self._third, self._fourth = (
            _Layer(weight.to(dtype), bias)
            for weight, bias in zip((_flat(second), third, _flat(fourth)), biases[1:], strict=True)
        )

    @staticmethod
    def suits(grid: Sequence[int], size: Sequence[int]) -> bool:
        """Whether the pixels of the base lie alike in most cells.

        Args:
            grid: Rows and columns of the patches of a frame.
            size: (height, width) of what the base returns.
        """
        down, across = (len(axis(n, length).kinds) for n, length in zip(grid, size, strict=True))
        return down * across <= _MAX_KINDS

    def __call__(
        self, coarse: Tensor, src: Tensor, bgr: Tensor, chosen: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Refine the chosen patches of a frame, some of its rows at a time.

        Args:
            coarse: (h, w, C), channels of the base.
            src: (H + 16, W + 16), from :func:`packed`.
            bgr: Likewise, the plate.
            chosen: (H/4, W/4), 1 where a patch is chosen.

        Returns:
            Row and column of each patch, (N,), and its pixels, (N, 4, 4, outputs).
        """
        bands = chosen.sum(1).cumsum(0).div_(_PATCHES, rounding_mode="floor")
        for band in bands.unique():
            yield self._refine(coarse, src, bgr, chosen * (bands == band)[:, None])

    def _refine(
        self, coarse: Tensor, src: Tensor, bgr: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        grid = np.pad(chosen.numpy() > 0, AROUND).astype(np.uint8)
        cells = NearCells.around(grid, *coarse.shape[:2])
        first = self._first_table(cells, coarse, src, bgr)

        around = cells.around_each().clamp(max=4 * cells.computed)
        second = self._second.table(cells.computed)
        self._second(second, lambda rows, part: _pick(first, around[part], rows))

        numbers, third = self._third_table(grid, cells, second, src, bgr)

        row, column = chosen.nonzero(as_tuple=True)
        pixels = _pixels_around(numbers, cells.width, row + AROUND, column + AROUND)
        fourth = self._fourth.table(len(row))
        self._fourth(fourth, lambda rows, part: _pick(third, pixels[part], rows), relu=False)
        return row, column, fourth[:-1].unflatten(1, (_CELL, _CELL, -1))

    def _first_table(self, cells: NearCells, coarse: Tensor, src: Tensor, bgr: Tensor) -> Tensor:
        pairs = torch.cat([self._at_half_size(frame, cells) for frame in (src, bgr)], dim=2)
        pairs = pairs.flatten(0, 1).to(coarse.dtype)
        pixels, around = coarse.flatten(0, 1), cells.around_each()
        table = _Layer(self._pair, self._bias).table(cells.computed)
        start = 0
        for down, across, count in cells.kinds:
            layer = self._first_layer(down, across)

            def read(rows: Tensor, part: slice, start: int = start) -> None:
                part = slice(start + part.start, start + part.stop)
                of_base, of_pairs = rows.tensor_split([-len(self._pair)], dim=1)
                _pick(pixels, cells.base[part], of_base)
                _pick(pairs, around[part], of_pairs)

            layer(table[start : start + count + 1], read)
            start += count
        return table

    def _third_table(
        self, grid: np.ndarray, cells: NearCells, second: Tensor, src: Tensor, bgr: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The numbers of the quarters in and next to patches, and a row for each."""
        quarters = cv2.dilate(grid.repeat(2, 0).repeat(2, 1), NEXT_TO)
        row, column = places(quarters)
        around = cells.numbers[squares_at(row - 1, column - 1, cells.width, 3)]
        around.clamp_(max=4 * cells.computed)
        table = self._third.table(len(row))

        def read(rows: Tensor, part: slice) -> None:
            of_second, *of_frames = rows.tensor_split([-2 * _PIXELS, -_PIXELS], dim=1)
            _pick(second, around[part], of_second)
            for frame, given in zip((src, bgr), of_frames, strict=True):
                _pick_pixels(frame, 2 * row[part] - 1, 2 * column[part] - 1, given)

        self._third(table, read)
        return numbers_of(quarters.shape, row, column), table

    def _first_layer(self, down: Tensor, across: Tensor) -> "_Layer":
        """The first layer for cells in which the pixels of the base lie in one way."""
        key = bytes(down.numpy()) + bytes(across.numpy())
        layer = self._first.get(key)
        if layer is None:
            if len(self._first) >= 4 * _MAX_KINDS:
                self._first.clear()  # other threads have theirs
            base = torch.einsum("yi,xj,yxcabo->ijcabo", down, across, self._base)
            weight = torch.cat([_flat(base), self._pair])
            layer = self._first[key] = _Layer(weight.to(self._bias.dtype), self._bias)
        return layer

    def _at_half_size(self, frame: Tensor, cells: NearCells) -> Tensor:
        """Means of the quarters of cells, (N + 1, 4, 3)."""
        table = self._means.table(len(cells.row))

        def read(rows: Tensor, part: slice) -> None:
            _pick_pixels(frame, _CELL * cells.row[part], _CELL * cells.column[part], rows)

        self._means(table, read)
        return table.unflatten(1, (4, 3))


class _Layer(NamedTuple):
    """A matrix product: (inputs, outputs) and (outputs,)."""

    weight: Tensor
    bias: Tensor

    def table(self, count: int) -> Tensor:
        """A table of ``count`` rows, and one of zeros at the end for what is not there."""
        table = self.bias.new_empty(count + 1, len(self.bias))
        table[-1] = 0
        return table

    def __call__(
        self, table: Tensor, read: Callable[[Tensor, slice], None], *, relu: bool = True
    ) -> None:
        """Compute all rows of a table but the last; ``read`` gathers the inputs of some."""
        inputs, most = len(self.weight), len(table) - 1
        at_once = max(1, _VALUES // inputs)
        matrix = self.weight.new_empty(min(at_once, most), inputs)
        for start in range(0, most, at_once):
            part = slice(start, min(start + at_once, most))
            rows = matrix[: part.stop - start]
            read(rows, part)
            torch.addmm(self.bias, rows, self.weight, out=table[part])
            if relu:
                table[part].relu_()


def _pixels_around(numbers: Tensor, width: int, row: Tensor, column: Tensor) -> Tensor:
    """Where the pixels of cells and next to them are in the third table, (N, 36).

    Args:
        numbers: Of quarters, row by row, ``width`` in a row.
        row, column: Of the cells.
    """
    around = numbers[squares_at(2 * row - 1, 2 * column - 1, width, 4)]
    pixel = torch.arange(1, 7)  # of 8x8 pixels, all but those along the border
    quarter, within = pixel // 2, pixel % 2
    quarter, within = 4 * quarter[:, None] + quarter, 2 * within[:, None] + within
    return 4 * around[:, quarter.flatten()] + within.flatten()


def _pick(table: Tensor, index: Tensor, out: Tensor) -> None:
    """Write rows of a table, or quarters of them, side by side: ``index`` is (N, k)."""
    table = table.view(-1, out.shape[1] // index.shape[1])
    if out.is_contiguous():
        torch.index_select(table, 0, index.flatten(), out=out.view(-1, table.shape[1]))
    else:
        out.copy_(table.index_select(0, index.flatten()).view(out.shape))


def _pick_pixels(frame: Tensor, row: Tensor, column: Tensor, out: Tensor) -> None:
    """Write the pixels of 4x4 squares of a packed frame, in levels of 255, as (N, 64)."""
    index = squares_at(row, column, frame.shape[1], 4)
    pixels = frame.flatten().index_select(0, index.flatten())
    kind = _UNPACKED[frame.dtype]
    out.copy_(pixels.view(kind).view(out.shape))
    if kind.is_floating_point:
        out.mul_(255)


def _spread(weight: Tensor, side: int) -> Tensor:
    """A convolution as a product, from a square of pixels to all that it covers.

    Args:
        weight: (O, I, 3, 3).
        side: Of the square.

    Returns:
        (side, side, I, side - 2, side - 2, O).
    """
    outputs, inputs = weight.shape[:2]
    inner = side - 2
    matrix = weight.new_zeros(side, side, inputs, inner, inner, outputs)
    for y in range(inner):
        for x in range(inner):
            matrix[y : y + 3, x : x + 3, :, y, x] = weight.permute(2, 3, 1, 0)
    return matrix


def _of_levels(matrix: Tensor) -> Tensor:
    """A matrix of :func:`_spread` for RGB in [0, 1], for levels of 255 with a fourth channel."""
    return torch.cat([matrix / 255, torch.zeros_like(matrix[:, :, :1])], dim=2)


def _flat(matrix: Tensor) -> Tensor:
    """A matrix of :func:`_spread` as (inputs, outputs)."""
    return matrix.flatten(3).flatten(0, 2)
