"""Colour profiles (ICC): from the colours of an image to sRGB, with 8 and with 16 bits."""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms
from torch.nn import functional as F

from .shaper import NotAShaperError, Shaper

#: Levels of 8 bits between the nodes of a lookup table for 16 bits; it divides 255.
_STEP = 3
#: Levels of 255 that the formula of a profile may differ from LittleCMS.
_MAX_DIFFERENCE = 1.0
#: Rows to convert at a time.
_ROWS = 64

#: (H, W, 3) to (H, W, 3), uint16.
DeepConversion = Callable[[np.ndarray], np.ndarray]


class ProfileError(ValueError):
    """A profile that cannot be applied; the message says why."""


def transform_to_srgb(profile: bytes, mode: str) -> tuple[str, Any]:
    """LittleCMS's transform of 8 bits to sRGB.

    Args:
        profile: The embedded profile.
        mode: Pillow's mode of the image: ``L``, ``RGB``, ``CMYK`` or ``LAB``.

    Returns:
        The mode to which the image is converted first, and the transform.

    Raises:
        ProfileError: It cannot be read, or is one for other images.
    """
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = embedded.profile.xcolor_space.strip()
        needed = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "Lab": "LAB"}.get(space)
        if needed is None or (needed != mode and (needed, mode) != ("RGB", "L")):
            raise ProfileError(f"its colour profile is one for {space} images")
        srgb = ImageCms.createProfile("sRGB")
        return needed, ImageCms.buildTransform(embedded, srgb, needed, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        if isinstance(error, ProfileError):
            raise
        raise ProfileError("its colour profile cannot be read") from error


def deep_to_srgb(pixels: np.ndarray, profile: bytes, *, grey: bool) -> np.ndarray:
    """Convert (H, W, 3), uint16, to sRGB, within one level of 255 of LittleCMS.

    Args:
        pixels: RGB; it is changed.
        profile: The embedded profile.
        grey: The file holds grey levels.

    Raises:
        ProfileError: As for :func:`transform_to_srgb`.
    """
    convert = _deep_conversion(profile, grey)
    for top in range(0, len(pixels), _ROWS):
        pixels[top : top + _ROWS] = convert(pixels[top : top + _ROWS])
    return pixels


@lru_cache(maxsize=4)
def _deep_conversion(profile: bytes, grey: bool) -> DeepConversion:
    """The formula of a profile where it agrees with LittleCMS, else a table made with it."""
    mode, transform = transform_to_srgb(profile, "L" if grey else "RGB")
    if mode == "L":
        levels = np.arange(256, dtype=np.uint8)[None]
    else:
        axis = np.linspace(0, 255, 18).astype(np.uint8)  # another grid than that of the table
        levels = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(18, -1, 3)
    wanted = _apply(transform, levels, mode)
    try:
        shaper = Shaper(profile, grey=mode == "L")
        deep = levels.astype(np.uint16) * 257
        found = shaper(deep if mode == "RGB" else np.repeat(deep[..., None], 3, axis=2))
        if np.abs(found / 257 - wanted).max() <= _MAX_DIFFERENCE:
            return shaper
    except NotAShaperError:
        pass
    if mode == "L":
        table = np.stack(
            [np.interp(np.arange(65536) / 257, np.arange(256), wanted[0, :, c]) for c in range(3)],
            axis=1,
        )
        rounded = np.round(table * 257).astype(np.uint16)
        return lambda pixels: rounded[pixels[..., 0]]
    return _Table(transform)


def _apply(transform: Any, levels: np.ndarray, mode: str) -> np.ndarray:
    image = Image.fromarray(levels, mode if mode == "L" else None)
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return np.array(converted)


class _Table:
    """Trilinear interpolation in a table of 8-bit colours."""

    def __init__(self, transform: Any):
        axis = np.arange(0, 256, _STEP, dtype=np.uint8)
        nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
        table = _apply(transform, nodes.reshape(len(axis), -1, 3), "RGB").reshape(nodes.shape)
        # (1, 3, R, G, B): grid_sample's x is the last axis
        self._table = torch.from_numpy(table).float().permute(3, 0, 1, 2)[None] / 255

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        places = torch.from_numpy(pixels.astype(np.float32)).flip(-1)[None, None] / 32767.5 - 1
        levels = F.grid_sample(self._table, places, align_corners=True)[0, :, 0]
        return (levels.permute(1, 2, 0) * 65535).round().numpy().astype(np.uint16)
