"""Frames as numbered image files."""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from .background import BackgroundWriter, usable_cores
from .base import FrameWriter, WriteError
from .formats import Clip, Format
from .outputs import Kind, Output, file_name, partial_name
from .quantize import to_uint8

#: Two frames wait for each worker: with dozens of cores, these would fill the memory.
_MOST_WORKERS = 16

# Level 1 with the `up` filter wrote 1080p RGBA in 28 to 67 ms, Pillow's default in 186 to 441 ms,
# at 1.1 times the bytes (one core; a cut-out and a full picture).
_PNG_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
]
_JPEG_OPTIONS = [
    *(cv2.IMWRITE_JPEG_QUALITY, 97),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]
#: Where a PNG's first chunk, the header, ends.
_AFTER_HEADER = 8 + 25


class ImageSequenceWriter(BackgroundWriter):
    """Saves frames as ``00000.png``, ``00001.png``, ... on a pool of threads.

    A frame's number is fixed when it arrives. Each file appears whole or not at all.

    Args:
        path: The folder; it is created, with its parents, if it is not there.
        extension: ``png`` (grey, RGB or RGBA, lossless, marked as sRGB) or ``jpg`` (grey or RGB).
        start_number: The first file's number.
        workers: Threads to encode with; by default one for each core.

    Raises:
        ValueError: The extension is another.
        WriteError: The folder cannot be created.
    """

    def __init__(
        self, path: str | Path, extension: str, *, start_number: int = 0, workers: int | None = None
    ):
        self.extension = extension.lower().removeprefix(".")
        if self.extension not in ENCODERS:
            raise ValueError(f"extension {extension!r} is none of {', '.join(ENCODERS)}")
        self.path = Path(path)
        self._folder = self.path.absolute()  # whatever folder is the current one later
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{self.path}: cannot make this folder: {error.strerror}") from error
        workers = workers or min(usable_cores(), _MOST_WORKERS)
        super().__init__(workers=workers, queue_size=2 * workers + 1)
        self._start_number = start_number
        self._count = 0
        self._size: torch.Size | None = None

    def add_batch(self, frames: Tensor) -> None:
        self._check()
        frames = to_uint8(frames)
        if frames.shape[1] == 4 and self.extension != "png":
            raise ValueError(f"{self.extension} holds no alpha; use png for frames with 4 channels")
        self._size = self._size or frames.shape[2:]
        if frames.shape[2:] != self._size:
            sizes = [f"{width}x{height}" for height, width in (frames.shape[2:], self._size)]
            raise ValueError(f"{self.path}: a frame of {sizes[0]} in a sequence of {sizes[1]}")
        for frame in frames:
            self._submit(self._add_batch, frame[None], self._count)
            self._count += 1

    def _add_batch(self, frames: Tensor, index: int) -> None:
        """Encode and save ``frames`` (B, C, H, W), uint8, of which the first has this index."""
        for number, frame in enumerate(frames, start=self._start_number + index):
            encoded = ENCODERS[self.extension](frame.permute(1, 2, 0).numpy())
            _save_whole(self._folder / file_name(number, self.extension), encoded)

    def _finalize(self, *, aborted: bool) -> None:
        pass


def save_png(path: Path, image: np.ndarray) -> None:
    """Save an image (H, W, 1, 3 or 4), uint8 or uint16, whole or not at all.

    Raises:
        WriteError: That is not possible.
    """
    _save_whole(path, _encode_png(image))


def _encode_png(image: np.ndarray) -> list[bytes | memoryview]:
    """Encode (H, W, 1, 3 or 4), uint8 or uint16: a PNG that says it is sRGB."""
    encoded = _encode(".png", image, _PNG_OPTIONS)
    return [encoded[:_AFTER_HEADER], _SRGB_CHUNK, encoded[_AFTER_HEADER:]]


def _encode_jpeg(image: np.ndarray) -> list[bytes | memoryview]:
    return [_encode(".jpg", image, _JPEG_OPTIONS)]


def _encode(extension: str, image: np.ndarray, options: list[int]) -> memoryview:
    channels = image.shape[2]
    if channels > 1:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA)
    done, encoded = cv2.imencode(extension, np.ascontiguousarray(image), options)
    if not done:
        raise WriteError(f"a frame of {image.shape[1]}x{image.shape[0]} cannot be encoded")
    return memoryview(encoded.tobytes())


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_SRGB_CHUNK = _png_chunk(b"sRGB", b"\0")  # intent: perceptual

Encoder = Callable[[np.ndarray], list[bytes | memoryview]]
ENCODERS: dict[str, Encoder] = {"png": _encode_png, "jpg": _encode_jpeg, "jpeg": _encode_jpeg}


def _save_whole(path: Path, parts: list[bytes | memoryview]) -> None:
    """Write a file under another name, then give it its own, so that it is whole or not there."""
    partial = partial_name(path)
    try:
        with open(partial, "wb") as file:
            file.writelines(parts)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise WriteError(f"{path}: {error.strerror}") from error


def _plan(kind: Kind, clip: Clip) -> Output:
    extension = clip.image_extension or ("png" if kind == "com" else "jpg")
    return Output(kind, kind, extension, clip.start_number)


def _open_output(output: Output, root: Path, clip: Clip) -> FrameWriter:
    assert output.extension is not None
    return ImageSequenceWriter(
        root / output.path, output.extension, start_number=output.start_number + clip.done
    )


FORMAT = Format(_plan, _open_output, has_alpha=True, resumable=True)
