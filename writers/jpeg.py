"""JPEG images with full chroma."""

import cv2
import numpy as np

from .encoded import About, Encoded, encode_with_opencv

_OPTIONS = [
    *(cv2.IMWRITE_JPEG_QUALITY, 97),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]


def encode(image: np.ndarray, about: About) -> Encoded:
    """Encode an image (H, W, 1 or 3), uint8."""
    return [encode_with_opencv(".jpg", image, _OPTIONS)]
