"""One frame as the content of a file: what every image format is told, and OpenCV's encoders."""

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from .base import WriteError

#: The content of a file as consecutive parts.
Encoded = list[bytes | memoryview]


@dataclass(frozen=True)
class About:
    """What a file says about its frame.

    Attributes:
        number: Number of the frame's file.
        frame_rate: Frames per second; None if unknown.
        premultiplied: Colours are multiplied by alpha.
        compression: Name of the compression, in formats with a choice.
    """

    number: int = 0
    frame_rate: Fraction | None = None
    premultiplied: bool = False
    compression: str | None = None


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
