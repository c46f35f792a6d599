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
#: Rows that are converted together, so that they fit into a core's cache.
_ROWS_AT_ONCE = 16
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
        self._matrix = np.zeros((4, 5), np.float32)  # to Y, Cb, Cr and alpha at 10 bits
        self._matrix[:3, :3] = _MATRIX * _RANGES[:, None] / 65535
        self._matrix[:3, 4] = _BLACKS
        self._matrix[3, 3] = 1023 / 65535

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, 3 or 4), uint16."""
        frame = av.VideoFrame(image.shape[1], image.shape[0], self._form)
        planes = [plane_of(plane, np.uint16)[:, : image.shape[1]] for plane in frame.planes]
        for top in range(0, image.shape[0], _ROWS_AT_ONCE):
            rows = slice(top, top + _ROWS_AT_ONCE)
            for plane, levels in zip(planes, self._converted(image[rows]), strict=True):
                plane[rows] = levels
        return frame

    def _converted(self, image: np.ndarray) -> list[np.ndarray]:
        """The planes of some rows."""
        if self._form.startswith("gbr"):
            red, green, blue, *alpha = cv2.split(image)
            return [green, blue, red, *alpha]
        channels = image.shape[2]
        matrix = self._matrix[:channels, [*range(channels), 4]]
        return [np.rint(x) for x in cv2.split(cv2.transform(image.astype(np.float32), matrix))]


def plane_of(plane: VideoPlane, kind: type = np.uint8) -> np.ndarray:
    """The memory of a plane as levels (rows, columns), whose rows may be padded."""
    rows: np.ndarray = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
    return rows


def fill_plane(plane: VideoPlane, levels: np.ndarray, kind: type = np.uint8) -> None:
    """Write levels (rows, columns) as ``kind`` into a plane, whose rows may be padded."""
    plane_of(plane, kind)[:, : levels.shape[1]] = levels
