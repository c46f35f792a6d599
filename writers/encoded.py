"""Encodes one image with OpenCV."""

import cv2
import numpy as np

from .base import WriteError

#: The content of a file as consecutive parts.
Encoded = list[bytes | memoryview]


def encode_with_opencv(extension: str, image: np.ndarray, options: list[int]) -> memoryview:
    """Encode an image (H, W, 1, 3 or 4), grey, RGB or RGBA.

    Raises:
        WriteError: OpenCV cannot encode it, usually because it is too large for the format.
    """
    channels = image.shape[2]
    if channels > 1:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA)
    done, encoded = cv2.imencode(extension, np.ascontiguousarray(image), options)
    if not done:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise WriteError(f"{extension[1:]} cannot hold a frame of {size}")
    return memoryview(encoded.tobytes())
