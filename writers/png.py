"""PNG images, marked as sRGB."""

import struct
import zlib

import cv2
import numpy as np

from .encoded import Encoded, encode_with_opencv

# Level 1 with the `up` filter wrote 1080p RGBA in 28 to 67 ms, Pillow's default in 186 to 441 ms,
# at 1.1 times the bytes (one core; a cut-out and a full frame).
_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
]
#: Where a PNG's first chunk, the header, ends.
_AFTER_HEADER = 8 + 25


def encode(image: np.ndarray) -> Encoded:
    """Encode an image (H, W, 1, 3 or 4), uint8 or uint16."""
    encoded = encode_with_opencv(".png", image, _OPTIONS)
    return [encoded[:_AFTER_HEADER], _SRGB_CHUNK, encoded[_AFTER_HEADER:]]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_SRGB_CHUNK = _chunk(b"sRGB", b"\0")  # intent: perceptual
