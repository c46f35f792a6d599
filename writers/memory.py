"""Keeps frames in memory, for tests and for programs that use them directly."""

import torch
from torch import Tensor

from .base import FrameWriter
from .formats import Depth
from .quantize import to_host_levels


class MemoryWriter(FrameWriter):
    """Keeps every frame in memory.

    Args:
        depth: Bits per level, or the type of float.
    """

    def __init__(self, depth: Depth = 8) -> None:
        self.depth = depth
        self._batches: list[Tensor] = []
        self._closed = False

    @property
    def frames(self) -> Tensor:
        """All frames so far: (N, C, H, W), in the type of the depth.

        Raises:
            ValueError: There are none.
        """
        if not self._batches:
            raise ValueError("no frame has been added yet")
        return torch.cat(self._batches)

    def add_batch(self, frames: Tensor) -> None:
        if self._closed:
            raise ValueError("this MemoryWriter is closed")
        self._batches.append(to_host_levels(frames, self.depth))

    def close(self) -> None:
        self._closed = True
