"""Resizing images to the size of the frame."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from media import MattingError, Warn

from .sources import Frame

#: Relative difference of two aspect ratios up to which an image is resized without asking, and up
#: to which the error advises to stretch it.
_MAX_STRETCH, _MAX_ADVISED_STRETCH = 0.01, 1.1


class ShapeError(MattingError, ValueError):
    """An image whose shape differs from the frames'; the message says what to do."""


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``image`` (H, W, 3), of any type, to (height, width), bilinear, antialiased."""
    if image.shape[:2] == size:
        return image
    pixels: Tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    if image.dtype != np.uint8:  # PyTorch has no kernel for uint16
        pixels = pixels.float()
    pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    if image.dtype == np.uint16:
        pixels = pixels.round()
    return np.ascontiguousarray(pixels[0].permute(1, 2, 0).numpy().astype(image.dtype))


def resize_frame(frame: Frame, size: tuple[int, int]) -> Frame:
    """Resize a frame as :func:`resize` does; colours that its alpha hides do not count."""
    if frame.image.shape[:2] == size:
        return frame
    image, extended, pha = frame.image, frame.extended, frame.pha
    if pha is None:
        extended = None if extended is None else resize(extended, size)
        return replace(frame, image=resize(image, size), extended=extended)
    share = pha.astype(np.float32) / np.iinfo(pha.dtype).max
    return replace(
        frame,
        image=_resize_shown(image, share, size),
        extended=None if extended is None else _resize_shown(extended, share, size),
        pha=resize(pha, size),
    )


def _resize_shown(image: np.ndarray, share: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image (H, W, 3) of any type, weighted by alpha (H, W, 1) in [0, 1]."""
    colours = image.astype(np.float32)
    shown = resize(share, size)
    resized = resize(colours, size)  # for where nothing shows
    np.divide(resize(colours * share, size), shown, out=resized, where=shown > 0)
    if image.dtype == np.float32:
        return resized
    return np.rint(resized.clip(0, np.iinfo(image.dtype).max)).astype(image.dtype)


def cover(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale ``image`` (H, W, 3) to cover (height, width), and crop it to the centre."""
    scale = max(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (
        max(wanted, round(have * scale)) for wanted, have in zip(size, image.shape[:2], strict=True)
    )
    image = resize(image, (height, width))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])


def check_shape(
    what: str,
    name: str,
    size: tuple[int, int],
    frames: tuple[int, int],
    *,
    stretch: bool,
    warn: Warn,
) -> None:
    """Check the shape of an image that will be resized to the frames.

    Args:
        what: Noun for the image in messages.
        name: Its path in messages.
        size: Its (height, width).
        frames: (height, width) of the frames.
        stretch: The user chose a size to which both are resized.
        warn: Called if the image will be resized.

    Raises:
        ShapeError: The aspect ratios differ by more than 1 %, and ``stretch`` is off. The message
            says whether a quarter turn, a crop or a slight stretch makes them alike.
    """
    if size == frames or stretch:
        return
    sizes = f"{what} is {size[1]}x{size[0]}, the source {frames[1]}x{frames[0]}"
    ratio = _relative_shape(size, frames)
    if abs(ratio - 1) > _MAX_STRETCH:
        remedy = _remedy(what, size, frames)
        raise ShapeError(f"{name}: {sizes}, which is another aspect ratio; {remedy}")
    warn(f"{name}: {sizes}; {what} is resized")


def _relative_shape(size: tuple[int, int], frames: tuple[int, int]) -> float:
    """By how much wider an image of ``size`` is than the frames, for its height."""
    return (size[1] / size[0]) / (frames[1] / frames[0])


def _remedy(what: str, size: tuple[int, int], frames: tuple[int, int]) -> str:
    """What gives an image of another aspect ratio that of the frames."""
    height, width = size
    if abs(_relative_shape((width, height), frames) - 1) <= _MAX_STRETCH:
        return f"turn {what} by a quarter turn"
    ratio = _relative_shape(size, frames)
    crop = (width, max(1, round(width * frames[0] / frames[1])))
    if ratio > 1:
        crop = (max(1, round(height * frames[1] / frames[0])), height)
    remedy = f"crop {what} to {crop[0]}x{crop[1]}"
    if max(ratio, 1 / ratio) <= _MAX_ADVISED_STRETCH:
        remedy += ", or stretch both with --video-resize WIDTH HEIGHT"
    return remedy
