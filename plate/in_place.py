"""Tells images of the same view, between which no camera moved."""

from collections.abc import Sequence

import cv2
import numpy as np

from .registration import slopes

#: The frame's tiles, down and across; those along the border are compared: a subject moves before
#: the others.
TILES = (4, 6)
#: Structure that a tile needs in the direction in which it has least: the smaller eigenvalue of the
#: covariance of its slopes, in squared levels per squared pixel of an image of half the size.
_MIN_STRUCTURE = 0.03
#: Correlation of its slopes, in that direction and in all, from which it shows the same thing, and
#: the distance, in pixels of half the size, below which that is in its place.
_MIN_CORRELATION, _MAX_DISTANCE = 0.85, 0.1
#: Tiles that have to be in their place, their least share of those with structure, and how far, in
#: tiles, the farthest are apart: a logo or a time code stays, whatever moves behind it.
_MIN_TILES, _MIN_SHARE, _MIN_APART = 2, 0.1, 2
#: Gain of the exposure that is tried, and differences, in levels, that count fully.
_MIN_GAIN, _MAX_GAIN, _MAX_DIFFERENCE = 0.2, 5.0, 20.0
#: Keeps quotients finite, in squared levels per squared pixel.
_TINY = 1e-6


def group_views(images: Sequence[np.ndarray]) -> list[int]:
    """Tell images of the same view from others, in any light: a number for each image.

    Once a camera has moved, no part with structure in both directions is where it was. So a few
    such parts in place tell that it stood still, however much a subject hides or moves beside them.
    The opposite cannot be told: everything may be hidden, or plain. Images with different numbers
    may show the same view.

    Args:
        images: (H, W, 3) each, RGB, uint8, a few hundred pixels wide.
    """
    borders: list[_Border] = []
    numbers: list[int] = []
    for image in images:
        new = _Border(image)
        same = (n for n, old in zip(numbers, borders, strict=True) if new.lies_in_place(old))
        numbers.append(next(same, len(numbers)))
        borders.append(new)
    return numbers


class _Border:
    """An image at half its size, with the structure of its tiles.

    Args:
        image: (H, W, 3), RGB, uint8.
    """

    def __init__(self, image: np.ndarray):
        size = image.shape[1] // 2, image.shape[0] // 2
        self.grey = soft_grey(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        self.mean = _tile_means(self.grey)
        x, y = slopes(self.grey)  # less those of smooth shading, which are alike everywhere
        self.x, self.y = x - self._spread(_tile_means(x)), y - self._spread(_tile_means(y))
        self.xx, self.yy = _tile_means(self.x**2), _tile_means(self.y**2)
        self.xy = _tile_means(self.x * self.y)
        self.determinant = (self.xx * self.yy - self.xy**2).clip(_TINY**2)
        half = (self.xx + self.yy) / 2
        smaller = half - np.sqrt((half**2 - self.determinant).clip(0))
        self.telling = border() & (smaller > _MIN_STRUCTURE)
        least = np.arctan2(2 * self.xy, self.xx - self.yy) / 2 + np.pi / 2
        self.right, self.down = np.cos(least), np.sin(least)

    def lies_in_place(self, other: "_Border") -> bool:
        """Whether parts of it are where they are in another image.

        Source: Lucas and Kanade, "An iterative image registration technique with an application to
        stereo vision" (1981); one step for each tile, after gain and offset.
        """
        xx, yy = _tile_means(self.x * other.x), _tile_means(self.y * other.y)
        both = _tile_means(self.x * other.y) + _tile_means(self.y * other.x)
        power = self._along(self.xx, 2 * self.xy, self.yy)
        power = power * self._along(other.xx, 2 * other.xy, other.yy)
        # in the direction of least structure: the edge of a black bar stays, whatever moves in it
        least = self._along(xx, both, yy) / np.sqrt(power + _TINY)
        whole = (xx + yy) / np.sqrt((self.xx + self.yy) * (other.xx + other.yy) + _TINY)
        gain = ((xx + yy) / (other.xx + other.yy + _TINY)).clip(_MIN_GAIN, _MAX_GAIN)
        gains, offsets = (self._spread(v) for v in (gain, self.mean - gain * other.mean))
        apart = (self.grey - gains * other.grey - offsets).clip(-_MAX_DIFFERENCE, _MAX_DIFFERENCE)
        x, y = _tile_means(self.x * apart), _tile_means(self.y * apart)
        step = np.hypot(self.yy * x - self.xy * y, self.xx * y - self.xy * x) / self.determinant
        alike = np.minimum(least, whole) > _MIN_CORRELATION
        in_place = self.telling & alike & (step < _MAX_DISTANCE)
        if in_place.sum() < max(_MIN_TILES, _MIN_SHARE * self.telling.sum()):
            return False
        return bool(max(np.ptp(places) for places in np.nonzero(in_place)) >= _MIN_APART)

    def _along(self, xx: np.ndarray, xy: np.ndarray, yy: np.ndarray) -> np.ndarray:
        """A product of slopes along the direction in which each tile has least structure."""
        return np.asarray(self.right**2 * xx + self.right * self.down * xy + self.down**2 * yy)

    def _spread(self, tiles: np.ndarray) -> np.ndarray:
        """A value for each tile (rows, columns) as one for each pixel (H, W)."""
        return cv2.resize(tiles, self.grey.shape[::-1], interpolation=cv2.INTER_NEAREST)


def border() -> np.ndarray:
    """The tiles along the border of a frame (rows, columns), bool."""
    tiles = np.ones(TILES, bool)
    tiles[1:-1, 1:-1] = False
    return tiles


def soft_grey(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3), uint8, as grey (H, W) in levels, float32, without most of the noise."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), 0.8)


def _tile_means(field: np.ndarray) -> np.ndarray:
    return cv2.resize(field, TILES[::-1], interpolation=cv2.INTER_AREA)
