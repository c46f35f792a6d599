"""PNG images, marked as sRGB."""

import struct
import zlib

import cv2
import numpy as np

from .encoded import About, Encoded, encode_with_opencv

# Level 1 with the `up` filter encodes 1080p RGBA in 28 to 67 ms on one core; Pillow's defaults take
# 186 to 441 ms for files 10 % smaller.
_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
]
#: Bytes of the signature and of the first chunk, the header.
_HEADER_BYTES = 8 + 25


def encode(image: np.ndarray, about: About) -> Encoded:
    """Encode an image (H, W, 1, 3 or 4), uint8 or uint16."""
    encoded = encode_with_opencv(".png", image, _OPTIONS)
    return [encoded[:_HEADER_BYTES], _SRGB_CHUNK, encoded[_HEADER_BYTES:]]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_SRGB_CHUNK = _chunk(b"sRGB", b"\0")  # intent: perceptual
