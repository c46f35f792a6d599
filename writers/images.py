"""Frames as numbered image files."""

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from media import os_errors_as

from . import png
from .background import BackgroundWriter, usable_cores
from .base import FrameWriter, WriteError
from .encoded import Encoded
from .formats import FORMATS, IMAGE_EXTENSIONS, Clip, Depth
from .outputs import Output, file_name, partial_name
from .quantize import to_host_levels

#: Two frames wait for each worker: with dozens of cores, these would fill the memory.
_MAX_WORKERS = 16


class ImageSequenceWriter(BackgroundWriter):
    """Saves frames as ``00000.png``, ``00001.png``, ... on a pool of threads.

    A frame's number is fixed when it arrives. Each file appears whole or not at all.

    Args:
        path: The folder; it is created, with its parents, if it is not there.
        extension: ``png`` (grey, RGB or RGBA, lossless, marked as sRGB) or ``jpg`` (grey or RGB).
        start_number: The first file's number.
        bit_depth: Bits of a level: 8, or 16 where the format holds them.
        workers: Threads to encode with; by default one for each core.

    Raises:
        ValueError: The extension is another, or does not hold the bits.
        WriteError: The folder cannot be created.
    """

    def __init__(
        self,
        path: str | Path,
        extension: str,
        *,
        start_number: int = 0,
        bit_depth: Depth = 8,
        workers: int | None = None,
    ):
        self.extension = extension.lower().removeprefix(".")
        if self.extension not in IMAGE_EXTENSIONS:
            raise ValueError(f"extension {extension!r} is none of {', '.join(IMAGE_EXTENSIONS)}")
        self._format = FORMATS[self.extension]
        if bit_depth not in self._format.depths:
            raise ValueError(f"{self.extension} does not hold {bit_depth} bits")
        self.depth = bit_depth
        self._encode: Callable[[np.ndarray], Encoded] = import_module(
            f"{__package__}.{self._format.encoder}"
        ).encode
        self.path = Path(path)
        self._folder = self.path.absolute()  # the current folder may change later
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{self.path}: cannot make this folder: {error.strerror}") from error
        workers = workers or min(usable_cores(), _MAX_WORKERS)
        super().__init__(workers=workers, queue_size=2 * workers + 1)
        self._start_number = start_number
        self._count = 0
        self._size: torch.Size | None = None

    def add_batch(self, frames: Tensor) -> None:
        self._check()
        frames = to_host_levels(frames, self.depth)
        if frames.shape[1] == 4 and not self._format.alpha:
            raise ValueError(f"{self.extension} holds no alpha; use png for frames with 4 channels")
        self._size = self._size or frames.shape[2:]
        if frames.shape[2:] != self._size:
            sizes = [f"{width}x{height}" for height, width in (frames.shape[2:], self._size)]
            raise ValueError(f"{self.path}: a frame of {sizes[0]} in a sequence of {sizes[1]}")
        for frame in frames:
            self._submit(self._add_batch, frame[None], self._count)
            self._count += 1

    def _add_batch(self, frames: Tensor, index: int) -> None:
        """Encode and save ``frames`` (B, C, H, W), of which the first has this index."""
        for number, frame in enumerate(frames, start=self._start_number + index):
            encoded = self._encode(frame.permute(1, 2, 0).numpy())
            _save_whole(self._folder / file_name(number, self.extension), encoded)

    def _finalize(self, *, aborted: bool) -> None:
        pass


def open_writer(
    output: Output, root: Path, clip: Clip, *, start_number: int, bit_depth: Depth
) -> FrameWriter:
    """Open the sink for an output below ``root``."""
    assert output.extension is not None
    return ImageSequenceWriter(
        root / output.path, output.extension, start_number=start_number, bit_depth=bit_depth
    )


def save_png(path: Path, image: np.ndarray) -> None:
    """Save an image (H, W, 1, 3 or 4), uint8 or uint16, whole or not at all.

    Raises:
        WriteError: That is not possible.
    """
    _save_whole(path, png.encode(image))


def _save_whole(path: Path, parts: Encoded) -> None:
    """Write a file under another name, then rename it, so that it is whole or not there."""
    partial = partial_name(path)
    with os_errors_as(WriteError, path):
        try:
            with open(partial, "wb") as file:
                file.writelines(parts)
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
