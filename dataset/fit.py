"""Bringing pictures to the size of the frame."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .sources import Warn


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``image`` (H, W, 3), uint8 or uint16, to (height, width), bilinear, antialiased."""
    if image.shape[:2] == size:
        return image
    pixels: Tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    if image.dtype != np.uint8:  # only bytes have a kernel of their own
        pixels = pixels.float()
    pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    if image.dtype != np.uint8:
        pixels = pixels.round()
    return np.ascontiguousarray(pixels[0].permute(1, 2, 0).numpy().astype(image.dtype))


def cover(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale ``image`` (H, W, 3) to cover (height, width), and crop what juts out on both sides."""
    scale = max(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (
        max(wanted, round(have * scale)) for wanted, have in zip(size, image.shape[:2], strict=True)
    )
    image = resize(image, (height, width))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])


def check_plate(
    name: str,
    plate: tuple[int, int],
    source: tuple[int, int],
    *,
    stretch: bool,
    warn: Warn,
    what: str = "the plate",
) -> None:
    """Say what happens to a plate whose size (height, width) differs from the source's.

    Args:
        name: What to call the plate.
        plate: Its size.
        source: The size of the source.
        stretch: Whether both are to be resized to a size that the user chose.
        warn: Told that the plate is resized.
        what: What it is, if not a plate.

    Raises:
        ValueError: The shapes differ by more than 1 %, and nobody chose to stretch.
    """
    if plate == source or stretch:
        return
    sizes = f"{what} is {plate[1]}x{plate[0]}, the source {source[1]}x{source[0]}"
    ratio = (plate[1] / plate[0]) / (source[1] / source[0])
    if abs(ratio - 1) > 0.01:
        raise ValueError(
            f"{name}: {sizes}, which is another shape; crop {what} to match, "
            "or stretch both with --video-resize WIDTH HEIGHT"
        )
    warn(f"{name}: {sizes}; {what} is resized")
