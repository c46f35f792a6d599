"""Profiles that are a formula: a curve for each channel, and a matrix.

See ICC.1:2022, 8.3 and 10.6, 10.18, 10.31; it is what most RGB profiles of cameras, screens and
working spaces are.
"""

import struct

import numpy as np

#: From XYZ (D50) to linear sRGB: the primaries of IEC 61966-2-1, adapted with Bradford's matrix.
_XYZ_TO_SRGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
#: Nodes of the table of sRGB's curve; between two lie at most 1.6 of 65536 levels.
_NODES = 2**19


class NotAShaperError(ValueError):
    """A profile that is more than curves and a matrix, or a damaged one."""


class Shaper:
    """Converts to sRGB by the formula of a profile.

    Args:
        profile: The profile.
        grey: It is one for grey levels, and has one curve and no matrix.

    Raises:
        NotAShaperError: It has a table that comes before curves and matrix, or lacks these.
    """

    def __init__(self, profile: bytes, *, grey: bool):
        try:
            self._read(profile, grey)
        except (struct.error, IndexError, KeyError) as error:
            raise NotAShaperError from error
        linear = np.arange(_NODES) / (_NODES - 1)
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        self._encoded = np.round(encoded * 65535).astype(np.uint16)

    def _read(self, profile: bytes, grey: bool) -> None:
        (count,) = struct.unpack_from(">I", profile, 128)
        entries = [
            struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(min(count, 99))
        ]
        tags = {name: profile[start : start + size] for name, start, size in entries}
        if b"A2B0" in tags or profile[20:24] != b"XYZ ":
            raise NotAShaperError
        if grey:
            self._curves = [_curve(tags[b"kTRC"])]
            self._matrix = None
            return
        self._curves = [_curve(tags[name + b"TRC"]) for name in (b"r", b"g", b"b")]
        columns = [struct.unpack_from(">3i", tags[name + b"XYZ"], 8) for name in (b"r", b"g", b"b")]
        self._matrix = (_XYZ_TO_SRGB @ (np.array(columns).T / 65536)).astype(np.float32)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Convert (H, W, 3), uint16, to the same in sRGB."""
        if self._matrix is None:
            return self._encode(self._curves[0][pixels])
        linear = np.stack([self._curves[c][pixels[..., c]] for c in range(3)], axis=-1)
        return self._encode(linear @ self._matrix.T)

    def _encode(self, linear: np.ndarray) -> np.ndarray:
        return self._encoded[(linear.clip(0, 1) * (_NODES - 1) + 0.5).astype(np.int32)]


def _curve(tag: bytes) -> np.ndarray:
    """A ``curv`` or ``para`` tag as 65536 linear levels, float32."""
    x = np.arange(65536) / 65535
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            y = x
        elif count == 1:
            y = x ** (struct.unpack_from(">H", tag, 12)[0] / 256)
        else:
            levels = np.array(struct.unpack_from(f">{count}H", tag, 12)) / 65535
            y = np.interp(x, np.linspace(0, 1, count), levels)
    elif tag[:4] == b"para":
        y = _parametric(tag, x)
    else:
        raise NotAShaperError
    return np.nan_to_num(y).astype(np.float32)


def _parametric(tag: bytes, x: np.ndarray) -> np.ndarray:
    """ICC.1:2022, table 68: (a x + b)^g + e from d on, below it c x + f."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    given = [v / 65536 for v in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    g, a, b, c, d, e, f = given[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind > 0:
        a, b = given[1:3]
    if kind in (1, 2):
        d = -b / a if a else 0.0
        e = f = given[3] if kind == 2 else 0.0
    if kind > 2:
        c, d = given[3:5]
    if kind == 4:
        e, f = given[5:7]
    with np.errstate(invalid="ignore"):
        return np.where(x >= d, (a * x + b).clip(0) ** g + e, c * x + f)
