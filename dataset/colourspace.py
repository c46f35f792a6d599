"""The colour space of what is read, converted to the levels of sRGB."""

import os
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache

import numpy as np
import torch

from media import UsageError, from_linear

from .coding import Matrix, Range, YuvCoding

#: Values of ``--input-colorspace`` that need no OpenColorIO. ``auto`` is ``linear`` for floats, and
#: else ``srgb``.
BUILT_IN = ("auto", "srgb", "linear")
#: OpenColorIO's own configuration, with the logs of the usual cameras.
_CONFIG = "ocio://studio-config-latest"
_LINEAR = "Linear Rec.709 (sRGB)"
#: What infinite values become: the largest half.
_MOST = 65504.0
#: Rows to convert at a time: what it takes in between should not be as large as the image.
_ROWS = 64

_Convert = Callable[[np.ndarray], np.ndarray]


class ColourSpace:
    """Converts pixels to extended sRGB: the primaries of BT.709, levels with the curve of sRGB.

    Args:
        name: ``auto``, ``srgb``, ``linear``, or a colour space of OpenColorIO.
        matrix, range: What videos are read as before that; see :class:`YuvCoding`.

    Attributes:
        coding: The matrix and the range.

    Raises:
        UsageError: There is no such colour space, or OpenColorIO is not installed.
    """

    def __init__(self, name: str = "auto", *, matrix: Matrix = "auto", range: Range = "auto"):
        self.coding = YuvCoding(matrix, range)
        self._name = name.lower() if name.lower() in BUILT_IN else name
        self._convert = None if self._name in BUILT_IN else _processor(name)

    @property
    def is_named(self) -> bool:
        """Whether the user says what pixels mean, whatever the file says."""
        return self._name != "auto"

    @property
    def takes_light(self) -> bool:
        """Whether it takes floats as linear light, with the primaries that the file names."""
        return self._name in ("auto", "linear")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Convert pixels.

        Args:
            pixels: (H, W, 3), RGB: uint8 or uint16 over the full range, or float32.

        Returns:
            (H, W, 3): integers as they are if they need no conversion, else float32, in which
            levels below 0 and above 1 follow the curve of sRGB, too.
        """
        is_float = pixels.dtype == np.float32
        linear = self._name == "linear" or (self._name == "auto" and is_float)
        if self._convert is None and not linear and not is_float:
            return pixels
        levels = np.empty(pixels.shape, np.float32)
        for top in range(0, len(pixels), _ROWS):
            rows = slice(top, top + _ROWS)
            levels[rows] = self._levels(pixels[rows], linear)
        return levels

    def _levels(self, pixels: np.ndarray, linear: bool) -> np.ndarray:
        """The levels of a few rows."""
        white = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
        floats = pixels.astype(np.float32) / white
        floats = np.nan_to_num(floats, nan=0.0, posinf=_MOST, neginf=-_MOST)
        if self._convert is not None:
            return from_linear(torch.from_numpy(self._convert(floats))).numpy()
        return from_linear(torch.from_numpy(floats)).numpy() if linear else floats


@lru_cache(maxsize=4)
def _processor(name: str) -> _Convert:
    """A function from a colour space of OpenColorIO to linear light."""
    try:
        import PyOpenColorIO as ocio
    except ImportError as error:
        raise UsageError(
            f"--input-colorspace {name}: needs OpenColorIO (pip install opencolorio); without it, "
            f"give one of {', '.join(BUILT_IN)}"
        ) from error
    place = os.environ.get("OCIO") or _CONFIG
    try:
        config = ocio.Config.CreateFromFile(place)
    except (ocio.Exception, ocio.ExceptionMissingFile) as error:
        raise UsageError(f"$OCIO: {place}: not a configuration that can be read") from error
    try:
        processor = ocio.Config.GetProcessorToBuiltinColorSpace(config, name, _LINEAR)
        cpu = processor.getDefaultCPUProcessor()
    except (ocio.Exception, ocio.ExceptionMissingFile) as error:
        near = get_close_matches(name, config.getColorSpaceNames(), 3, 0.3)
        meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UsageError(
            f"--input-colorspace {name}: not in {config.getName() or place}{meant}"
        ) from error

    def convert(pixels: np.ndarray) -> np.ndarray:
        light = np.array(pixels, order="C")
        cpu.applyRGB(light)
        return light

    return convert
