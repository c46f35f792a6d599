"""A layered canvas with exact coverage: supersampled shapes, composited with "over"."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Array, Rng

#: Fractional bits of OpenCV's fixed-point coordinates.
_SHIFT = 4

#: x and y, (N, 2).
Points = Array


class Canvas:
    """A subject under construction, with premultiplied colour.

    Attributes:
        height: Rows.
        width: Columns.
        colour: (H, W, 3), colour times alpha.
        alpha: (H, W) in [0, 1].
    """

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.colour: Array = np.zeros((height, width, 3), np.float32)
        self.alpha: Array = np.zeros((height, width), np.float32)

    @property
    def fineness(self) -> float:
        """How visible the finest detail of a full-size frame is at this canvas size, in (0, 1].

        The network's base sees frames at 1/4 or less, where hair is fainter and noise weaker.
        """
        return min(1.0, max(self.height, self.width) / 1024) ** 0.5

    def paint(self, mask: Array, fill: Array) -> None:
        """Composite a colour (3,) or image (H, W, 3) over the canvas, covering ``mask`` (H, W)."""
        x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
        part = np.s_[y : y + height, x : x + width]
        over = mask[part]
        fill = fill if fill.ndim == 1 else fill[part]
        self.colour[part] += over[..., None] * (fill - self.colour[part])
        self.alpha[part] += over * (1 - self.alpha[part])

    def blank(self, scale: int = 2) -> NDArray[np.uint8]:
        """An empty mask with ``scale`` times the resolution of the canvas."""
        return np.zeros((self.height * scale, self.width * scale), np.uint8)

    def shrink(self, mask: NDArray[np.uint8]) -> Array:
        """A supersampled mask as coverage (H, W) in [0, 1]."""
        small = cv2.resize(mask, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) / 255

    def polygon(self, points: Points) -> Array:
        """Coverage (H, W) of the polygon with corners ``points`` (N, 2), x and y in pixels."""
        mask = self.blank()
        cv2.fillPoly(mask, [_fixed_point(points, 2)], 255, cv2.LINE_AA, _SHIFT)
        return self.shrink(mask)

    def limb(self, joints: Points, radii: Sequence[float]) -> Array:
        """Coverage (H, W) of a limb through ``joints`` (N, 2) with ``radii`` (N) at the joints."""
        mask = self.blank()
        stretch = np.hypot(*np.diff(joints, axis=0).T).max() / (0.3 * max(min(radii), 0.5))
        steps = np.linspace(0, len(joints) - 1, int(stretch.clip(8, 150)) * (len(joints) - 1) + 1)
        whole = np.arange(len(joints))
        xs, ys, rs = (np.interp(steps, whole, v) for v in (joints[:, 0], joints[:, 1], radii))
        for x, y, r in zip(xs, ys, rs, strict=True):
            centre = _fixed_point(np.array([x, y]), 2).tolist()
            radius = max(1, int(r * 2 * (1 << _SHIFT)))
            cv2.circle(mask, centre, radius, 255, -1, cv2.LINE_AA, _SHIFT)
        return self.shrink(mask)

    def strands(self, lines: Points, *, scale: int = 3, width: int = 1) -> Array:
        """Coverage (H, W) of lines ``lines`` (N, P, 2), each ``width / scale`` pixels wide."""
        mask = self.blank(scale)
        cv2.polylines(
            mask, list(_fixed_point(lines, scale)), False, 255, width, cv2.LINE_AA, _SHIFT
        )
        return self.shrink(mask)

    def blur(self, kernel: Array) -> None:
        """Convolve colour and alpha with ``kernel`` (K, K), as defocus and motion do."""
        self.colour = cv2.filter2D(self.colour, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        self.alpha = cv2.filter2D(self.alpha, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def _fixed_point(points: Points, scale: int) -> NDArray[np.int32]:
    """Canvas pixels as OpenCV's fixed-point coordinates at ``scale`` times the resolution."""
    return np.round((points * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)


def smooth(points: Points, rounds: int = 3) -> Points:
    """Round the corners of a closed polygon (N, 2) by cutting them (Chaikin): (N * 2^rounds, 2)."""
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1)
        points = cut.reshape(-1, 2)
    return points


def curls(
    rng: Rng,
    roots: Points,
    directions: Points,
    lengths: Points,
    *,
    fall: float,
    wave: float = 0.12,
) -> Points:
    """Curved strands.

    Args:
        rng: Source of randomness.
        roots: (N, 2), start points in pixels.
        directions: (N, 2), unit vectors of the direction at the root.
        lengths: (N,), in pixels.
        fall: How far they sag, relative to their length.
        wave: Maximum sideways amplitude, relative to their length.

    Returns:
        (N, 12, 2), points along each strand.
    """
    count = len(roots)
    t = np.linspace(0, 1, 12)[None, :, None]
    normals = directions[:, ::-1] * (1, -1)
    bend = rng.normal(0, rng.uniform(0.05, 0.5), (count, 1, 1)) * t**2
    waves = rng.uniform(0, wave) * np.sin(
        t * rng.uniform(3, 16) + rng.normal(0, 1, (count, 1, 1)) + rng.uniform(0, 6)
    )
    path = t * directions[:, None] + (bend + waves * t) * normals[:, None]
    path[..., 1] += fall * t[..., 0] ** 2
    return roots[:, None] + lengths[:, None, None] * path


def ellipse(centre: tuple[float, float], across: float, down: float) -> Points:
    """A closed outline (40, 2) around ``centre`` with half axes ``across`` and ``down``."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.array(centre) + np.stack([across * np.cos(angle), down * np.sin(angle)], axis=1)


class Placement:
    """Maps a subject's own coordinates to the canvas: rotate, mirror, scale, translate."""

    def __init__(self, rng: Rng, origin: Points, scale: float, tilt: float):
        c, s = np.cos(tilt), np.sin(tilt)
        mirror = rng.choice([-1.0, 1.0])
        self.scale = scale
        self._origin = origin
        self._matrix = scale * np.array([[c * mirror, s * mirror], [-s, c]])

    def __call__(self, points: ArrayLike) -> Points:
        """Points (N, 2) in the subject's coordinates as pixels of the canvas."""
        return np.asarray(points) @ self._matrix + self._origin
