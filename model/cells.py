"""Cells: squares of 4x4 pixels of a frame, their quarters, and values that are smooth across them.

Values of cells are planes (C, h, w). Values of some of them are (C, N), those of their quarters
(C, N, 4), and those of their pixels (C, N, 16), row by row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: Side of a cell in pixels.
CELL = 4
#: How often the planes can be halved.
HALVINGS = 5


@dataclass(frozen=True)
class Cells:
    """Some cells of a frame.

    Attributes:
        height, width: Of the frame, in pixels.
        index: (N,), row * w + column of each cell.
        size: (h, w), rows and columns of all cells. They go beyond the frame, so that planes can be
            halved ``HALVINGS`` times. What is beyond the frame repeats its border.
    """

    height: int
    width: int
    index: Tensor

    @classmethod
    def between(cls, low: float, pha: Tensor, high: float) -> "Cells":
        """The cells with a pixel of ``pha`` (H, W) between two values."""
        height, width = pha.shape
        rows, columns = grid_size(height), grid_size(width)
        missing = (0, CELL * columns - width, 0, CELL * rows - height)
        four = F.pad(_is_between(low, pha, high), missing).view(torch.int32)  # 4 pixels at once
        lines = four.unflatten(0, (-1, CELL)).unbind(1)
        found = (lines[0] | lines[1] | lines[2] | lines[3]) != 0
        return cls(height, width, found.flatten().nonzero()[:, 0])

    @property
    def size(self) -> tuple[int, int]:
        return grid_size(self.height), grid_size(self.width)

    @cached_property
    def rows(self) -> Tensor:
        return torch.div(self.index, self.size[1], rounding_mode="floor")

    @cached_property
    def columns(self) -> Tensor:
        return self.index - self.rows * self.size[1]

    def split(self, count: int) -> Iterator["Cells"]:
        """The same cells in groups of up to ``count``."""
        return (replace(self, index=index) for index in self.index.split(count))

    def sampled(self, image: Tensor, every: int = 1) -> Tensor:
        """A pixel of each ``every``-th cell of an image (C, H, W): (C, h, w) / ``every``."""
        step = CELL * every
        top, left = min(step // 2, self.height - 1), min(step // 2, self.width - 1)
        return self.padded(scaled(image[:, top::step, left::step]), every)

    def padded(self, planes: Tensor, every: int = 1) -> Tensor:
        """Planes that cover the frame, up to the size of all cells."""
        below, right = (
            n // every - length for n, length in zip(self.size, planes.shape[1:], strict=True)
        )
        return F.pad(planes[None], (0, right, 0, below), mode="replicate")[0]

    def pixels(self, image: Tensor) -> Tensor:
        """The pixels (C, N, 16) of an image (C, H, W), as float."""
        if self.width % CELL:
            columns = torch.arange(-(-self.width // CELL) * CELL, device=image.device)
            image = image.index_select(2, columns.clamp_(max=self.width - 1))
        # four pixels of a row are picked at once
        lines = image.permute(1, 2, 0).reshape(-1, CELL * len(image)).index_select(0, self._lines)
        return scaled(lines.view(-1, len(image)).t()).contiguous().unflatten(1, (-1, CELL**2))

    @cached_property
    def _lines(self) -> Tensor:
        y = CELL * self.rows[:, None] + torch.arange(CELL, device=self.index.device)
        columns = -(-self.width // CELL)
        return (y.clamp_(max=self.height - 1) * columns + self.columns[:, None]).flatten()

    def pick(self, plane: Tensor) -> Tensor:
        """The cells (N, 1) of a plane (1, h, w)."""
        return plane.flatten().index_select(0, self.index)[:, None]

    def put(self, planes: Tensor, values: Tensor) -> None:
        """Set the cells of planes (C, h, w) to ``values`` (C, N), in place."""
        planes.flatten(1).index_copy_(1, self.index, values)

    def smooth(self, planes: Tensor, parts: int) -> Tensor:
        """Planes (C, h, w) in the parts of the cells, bilinearly: (C, N, ``parts``^2)."""
        return self._around(planes, 1, 3) @ _bilinear(3, parts, planes.device)

    def put_quarters(self, halves: Tensor, values: Tensor) -> None:
        """Set the quarters in planes (C, 2 h, 2 w) to ``values`` (C, N, 4), in place."""
        width = 2 * self.size[1]
        first = 2 * self.rows * width + 2 * self.columns
        step = torch.tensor([0, 1, width, width + 1], device=first.device)
        halves.flatten(1).index_copy_(1, (first[:, None] + step).flatten(), values.flatten(1))

    def smooth_quarters(self, halves: Tensor) -> Tensor:
        """Planes (C, 2 h, 2 w) of quarters in the pixels of the cells: (C, N, 16)."""
        return self._around(halves, 2, 4) @ _bilinear(4, 4, halves.device)

    def _around(self, planes: Tensor, scale: int, side: int) -> Tensor:
        """Squares of ``side`` values around the cells in planes ``scale`` times as large."""
        height, width = planes.shape[1:]
        step = torch.arange(-1, side - 1, device=planes.device)
        y = (scale * self.rows[:, None] + step).clamp_(0, height - 1)
        x = (scale * self.columns[:, None] + step).clamp_(0, width - 1)
        place = (y[:, :, None] * width + x[:, None]).flatten()
        return planes.flatten(1).index_select(1, place).unflatten(1, (-1, side * side))


def grid_size(length: int) -> int:
    """Cells along a side of ``length`` pixels, a multiple of 2^``HALVINGS``."""
    return -(-length // (CELL << HALVINGS)) << HALVINGS


def scaled(pixels: Tensor) -> Tensor:
    """Integers as float32 in [0, 1]; floats keep their values."""
    if pixels.is_floating_point():
        return pixels.float()
    return pixels.float().mul_(1 / torch.iinfo(pixels.dtype).max)


def planes_of(image: Tensor) -> Tensor:
    """An image (C, H, W) as :func:`scaled`, with one plane after the other in memory."""
    if image.device.type == "cpu":  # OpenCV is many times faster than PyTorch
        image = torch.from_numpy(np.stack(cv2.split(image.permute(1, 2, 0).numpy())))
    return scaled(image).contiguous()


def quarter_means(pixels: Tensor) -> Tensor:
    """Means (C, N, 4) of the quarters of cells, from their pixels (C, N, 16)."""
    return pixels @ _quarters(pixels.device)


def halved(planes: Tensor) -> Tensor:
    """Means of 2x2 values of (C, 2 h, 2 w). On a CPU, OpenCV is many times faster than PyTorch."""
    if planes.device.type != "cpu":
        return F.avg_pool2d(planes[None], 2)[0]
    height, width = planes.shape[1] // 2, planes.shape[2] // 2
    small = planes.new_empty(len(planes), height, width)
    for plane, out in zip(planes.numpy(), small.numpy(), strict=True):
        cv2.resize(plane, (width, height), dst=out, interpolation=cv2.INTER_AREA)
    return small


def enlarged(planes: Tensor, times: int = 2) -> Tensor:
    """Planes (C, h, w) at ``times`` their size, bilinearly."""
    if planes.device.type != "cpu":
        return F.interpolate(planes[None], scale_factor=float(times), mode="bilinear")[0]
    height, width = times * planes.shape[1], times * planes.shape[2]
    large = planes.new_empty(len(planes), height, width)
    for plane, out in zip(planes.contiguous().numpy(), large.numpy(), strict=True):
        cv2.resize(plane, (width, height), dst=out)
    return large


def blurred(planes: Tensor) -> Tensor:
    """Means of 5x5 values of (C, h, w), with zeros around them."""
    if planes.device.type != "cpu":
        return F.avg_pool2d(planes[None], 5, 1, 2)[0]
    found = torch.empty_like(planes)
    for plane, out in zip(planes.numpy(), found.numpy(), strict=True):
        cv2.blur(plane, (5, 5), dst=out, borderType=cv2.BORDER_CONSTANT)
    return found


def _is_between(low: float, x: Tensor, high: float) -> Tensor:
    if x.device.type != "cpu":
        return (x > low) & (x < high)
    low, high = (float(np.nextafter(np.float32(v), np.float32(0.5))) for v in (low, high))
    return torch.from_numpy(cv2.inRange(x.numpy(), low, high))  # 255 or 0


@lru_cache
def _quarters(device: torch.device) -> Tensor:
    """(16, 4), takes the means of quarters."""
    half = torch.eye(2).repeat_interleave(2, 0) / 2  # (4, 2)
    return torch.kron(half, half).to(device)


@lru_cache
def _bilinear(given: int, parts: int, device: torch.device) -> Tensor:
    """Weights of bilinear interpolation in a cell, (given^2, parts^2).

    Args:
        given: 3 for the cell and its neighbours, 4 for its halves and the halves next to it.
        parts: Parts of the cell to find, from side to side.
        device: Where they are needed.
    """
    inside = given - 2
    where = (torch.arange(parts) + 0.5) * inside / parts + 0.5
    line = (1 - (where - torch.arange(given)[:, None]).abs()).clamp(min=0)  # (given, parts)
    return torch.kron(line, line).to(device)
