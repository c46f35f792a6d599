"""Converts RGB to frames with every colour at every pixel."""

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane

_RED, _BLUE = 0.2126, 0.0722  # BT.709's share of them in luma
_GREEN = 1 - _RED - _BLUE
#: Y, Cb and Cr in [0, 1] and [-0.5, 0.5] from R, G and B in [0, 1]; see ITU-R BT.709-6, 3.
_MATRIX = np.array(
    [
        [_RED, _GREEN, _BLUE],
        [-_RED / (2 - 2 * _BLUE), -_GREEN / (2 - 2 * _BLUE), 0.5],
        [0.5, -_GREEN / (2 - 2 * _RED), -_BLUE / (2 - 2 * _RED)],
    ]
)
#: Range and black of Y, Cb and Cr at 10 bits, limited range.
_RANGES, _BLACKS = np.array([876, 896, 896]), np.array([64, 512, 512])
_ORDER = {
    "argb": [3, 0, 1, 2],
    "bgra": [2, 1, 0, 3],
    "bgr0": [2, 1, 0, 0],
    "rgb24": [0, 1, 2],
    "rgb48le": [0, 1, 2],
    "rgba": [0, 1, 2, 3],
    "rgba64le": [0, 1, 2, 3],
}


class ToPacked:
    """Converts to 8 or 16 bits, one pixel after the other.

    Args:
        size: (height, width) of the frames.
        pixel_format: A key of ``_ORDER``.
    """

    def __init__(self, size: tuple[int, int], pixel_format: str):
        self._form, self._order = pixel_format, _ORDER[pixel_format]

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, 3 or 4), uint8 or uint16."""
        frame = av.VideoFrame(image.shape[1], image.shape[0], self._form)
        packed = image[..., self._order].reshape(image.shape[0], -1)
        fill_plane(frame.planes[0], packed, image.dtype.type)
        return frame


class ToPlanes:
    """Converts to more than 8 bits, one plane after the other.

    Args:
        size: (height, width) of the frames.
        pixel_format: ``yuv444p10le`` or ``yuva444p10le`` (BT.709, limited range; alpha is of full
            range), ``gbrp16le`` or ``gbrap16le``.
    """

    def __init__(self, size: tuple[int, int], pixel_format: str):
        self._form = pixel_format
        scaled = _MATRIX * _RANGES[:, None] / 65535
        self._matrix = np.column_stack([scaled, _BLACKS]).astype(np.float32)

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, 3 or 4), uint16."""
        frame = av.VideoFrame(image.shape[1], image.shape[0], self._form)
        alpha = [image[..., 3]] if image.shape[2] == 4 else []
        if self._form.startswith("gbr"):
            planes = [image[..., channel] for channel in (1, 2, 0)]
        else:
            floats = np.ascontiguousarray(image[..., :3], np.float32)
            planes = list(np.rint(cv2.transform(floats, self._matrix)).transpose(2, 0, 1))
            alpha = [np.rint(x * np.float32(1023 / 65535)) for x in alpha]
        for plane, levels in zip(frame.planes, [*planes, *alpha], strict=True):
            fill_plane(plane, levels, np.uint16)
        return frame


def fill_plane(plane: VideoPlane, levels: np.ndarray, kind: type = np.uint8) -> None:
    """Write levels (rows, columns) as ``kind`` into a plane, whose rows may be padded."""
    rows: np.ndarray = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
    rows[:, : levels.shape[1]] = levels
