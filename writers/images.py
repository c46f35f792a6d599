"""Writes frames as numbered image files."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from media import UsageError, os_errors_as

from . import png
from .base import FILES, FrameWriter, WriteError, logger
from .encoded import About, Encoded
from .files import save_whole
from .formats import (
    FORMATS,
    IMAGE_EXTENSIONS,
    Alpha,
    Clip,
    Depth,
    ExrCompression,
    Format,
    in_words,
)
from .image_encoder import ImageEncoder
from .outputs import Output
from .threaded import ThreadedWriter, usable_cores

#: Limits memory on machines with many cores, as two frames wait for each worker.
_MAX_WORKERS = 16


class ImageSequenceWriter(ThreadedWriter):
    """Saves frames as ``00000.png``, ``00001.png``, ... on a pool of threads.

    Frames are numbered in the order of arrival. Each file is complete or absent.

    Args:
        path: The folder; it is created, with its parents, if it does not exist.
        extension: ``png``, ``tif``, ``webp`` or ``exr`` (grey, RGB or RGBA, lossless), or ``jpg``
            (grey or RGB).
        start_number: Number of the first file.
        numbers: Those of the files, read one by one as frames arrive; they replace the usual ones.
        name: Gives the name of the file with a number; the usual one has five digits.
        bit_depth: Bits per level, or the type of float, that the format holds.
        alpha: Whether frames are multiplied by alpha; a default of the format.
        frame_rate: Frames per second, for formats whose files tell it.
        exr_compression: Compression of EXR files.
        workers: Number of encoding threads; by default one per core, up to 16.

    Attributes:
        encoder: Encodes the frames; another process can do the same.

    Raises:
        UsageError: The extension is unknown, or the format does not hold ``bit_depth``.
        WriteError: The folder cannot be created.
    """

    def __init__(
        self,
        path: str | Path,
        extension: str,
        *,
        start_number: int = 0,
        numbers: Iterable[int] | None = None,
        name: Callable[[int], str] | None = None,
        bit_depth: Depth | None = None,
        alpha: Alpha | None = None,
        frame_rate: Fraction | None = None,
        exr_compression: ExrCompression = "zip",
        workers: int | None = None,
    ):
        self.extension = extension.lower().removeprefix(".")
        if self.extension not in IMAGE_EXTENSIONS:
            raise UsageError(f"extension {extension!r} is none of {', '.join(IMAGE_EXTENSIONS)}")
        self._format = FORMATS[self.extension]
        self.depth = self._format.depth_for(bit_depth, deep=False)
        if self.depth not in self._format.depths:
            raise UsageError(f"{self.extension} does not hold {in_words(self.depth)}")
        self.linear = self._format.linear
        self.premultiplied = (alpha or self._format.alpha) == "premultiplied"
        self.holds = {
            "codec": self.extension,
            "bits": self.depth,
            "transfer": "linear" if self.linear else "sRGB",
        }
        about = About(
            frame_rate=frame_rate, premultiplied=self.premultiplied, compression=exr_compression
        )
        self.encoder = ImageEncoder(self._format, self.depth, about)
        self.path = Path(path)
        self._folder = self.path.absolute()  # the current folder may change later
        with os_errors_as(WriteError, self.path, ValueError):  # ValueError: a NUL character
            self.path.mkdir(parents=True, exist_ok=True)
        workers = workers or min(usable_cores(), _MAX_WORKERS)
        super().__init__(workers=workers, queue_size=2 * workers + 1)
        self._numbers = count(start_number) if numbers is None else iter(numbers)
        self._name = name or (lambda number: f"{number:05d}.{self.extension}")
        self._size: torch.Size | None = None

    def add_batch(self, frames: Tensor) -> None:
        self._check()
        frames = self.encoder.levels(frames)
        self._size = self._size or frames.shape[2:]
        if frames.shape[2:] != self._size:
            sizes = [f"{width}x{height}" for height, width in (frames.shape[2:], self._size)]
            raise UsageError(f"{self.path}: a frame of {sizes[0]} in a sequence of {sizes[1]}")
        for frame in frames:
            self._submit(self._save, frame, next(self._numbers))

    def add_encoded(self, content: Encoded) -> None:
        self._check()
        self._submit(self._save_content, content, next(self._numbers))

    def _save(self, frame: Tensor, number: int) -> None:
        """Encode and save a frame (C, H, W)."""
        try:
            content = self.encoder(frame, number)
        except WriteError as error:
            raise WriteError(f"{self._folder / self._name(number)}: {error}") from error
        self._save_content(content, number)

    def _save_content(self, content: Encoded, number: int) -> None:
        path = self._folder / self._name(number)
        save_whole(path, content)
        logger.log(FILES, "%s", self.path / path.name)

    def _finalize(self, *, aborted: bool) -> None:
        pass


def open_writer(
    form: Format, output: Output, root: Path, clip: Clip, **options: Any
) -> FrameWriter:
    """Open the writer for an output in ``root``; ``options`` are those of the format."""
    return ImageSequenceWriter(
        root / output.path,
        form.extension,
        numbers=clip.numbers(),
        name=output.file_name,
        frame_rate=clip.frame_rate,
        **options,
    )


def save_png(path: Path, image: np.ndarray) -> None:
    """Save an image (H, W, 1, 3 or 4), uint8 or uint16; the file is complete or absent.

    Raises:
        WriteError: The file cannot be written.
    """
    save_whole(path, png.encode(image, About()))
