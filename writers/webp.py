"""WebP images, compressed without loss."""

import io

import numpy as np
from PIL import Image

from .base import WriteError
from .encoded import About, Encoded


def encode(image: np.ndarray, about: About) -> Encoded:
    """Encode an image (H, W, 1, 3 or 4), uint8."""
    content = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    try:
        # `method` 0 takes 40 ms for 1080p RGBA on one core, and 1 six times that.
        picture.save(content, "webp", lossless=True, method=0, quality=0, exact=True)
    except (OSError, ValueError) as error:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise WriteError(f"webp cannot hold a frame of {size}") from error
    return [content.getbuffer()]


def is_whole(content: bytes) -> bool:
    """Whether the content of a file is a whole image."""
    try:
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as picture:
            picture.load()
    except Exception:  # Pillow's plug-ins raise errors of many types
        return False
    return True
