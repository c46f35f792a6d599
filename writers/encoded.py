"""Encoding one image with OpenCV."""

import cv2
import numpy as np

from .base import WriteError

#: The content of a file, in parts.
Encoded = list[bytes | memoryview]


def encode_with_opencv(extension: str, image: np.ndarray, options: list[int]) -> memoryview:
    """Encode an image (H, W, 1, 3 or 4), grey, RGB or RGBA.

    Raises:
        WriteError: OpenCV cannot encode it.
    """
    channels = image.shape[2]
    if channels > 1:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA)
    done, encoded = cv2.imencode(extension, np.ascontiguousarray(image), options)
    if not done:
        raise WriteError(f"a frame of {image.shape[1]}x{image.shape[0]} cannot be encoded")
    return memoryview(encoded.tobytes())
