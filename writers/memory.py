"""Frames kept in memory, for tests and for programs that go on with them."""

import torch
from torch import Tensor

from .base import FrameWriter
from .quantize import to_uint8


class MemoryWriter(FrameWriter):
    """Keeps every frame."""

    def __init__(self) -> None:
        self._batches: list[Tensor] = []
        self._closed = False

    @property
    def frames(self) -> Tensor:
        """All frames so far: (N, C, H, W), uint8.

        Raises:
            ValueError: There are none.
        """
        if not self._batches:
            raise ValueError("no frame has come yet")
        return torch.cat(self._batches)

    def add_batch(self, frames: Tensor) -> None:
        if self._closed:
            raise ValueError("this MemoryWriter is closed")
        self._batches.append(to_uint8(frames))

    def close(self) -> None:
        self._closed = True
