"""Aligns whole images by their shades, at a small size: what counts is the area that fits."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .colour_match import fit_colours, scaled

#: Longer side, in pixels, and the standard deviation of the blur there: noise is a tenth of a level
#: then, and a bare wall still has shades.
_SIZE, _BLUR = 160, 1.5
#: Pixels along the border that are not compared, that are looked up together, and of which one is
#: taken where a few are enough; and what marks pixels outside.
_BORDER, _ROW, _SPARSE, _OUTSIDE = 2, 16, 5, -1.0
#: Differences, in levels, at which a pixel counts by a quarter, one after the other. They are small
#: from the start, so that somebody who moves otherwise does not pull.
_LIMITS = (1.0, 0.5)
_WIDE_LIMITS = (8.0, 2.0, *_LIMITS)
_MAX_STEPS, _CONVERGED = 6, 0.01
#: How far a homography may be from the start, as standard deviations of zoom and turn, of stretch
#: and shear, of the shift, and of perspective, around the centre in units of half of the longer
#: side. A flexible one would fit a bare wall and the one who walks before it.
_ZOOM, _SHEAR, _SHIFT, _PERSPECTIVE = 0.015, 0.003, 0.2, 0.003
#: The same of gain and offset, the latter in levels.
_GAIN, _OFFSET = 0.01, 3.0
#: Neighbours are alike; so many pixels count as one.
_ALIKE = 20.0
#: Share of the image that has to be covered, what a share costs that is not, and a share that fits
#: anyhow.
_MIN_COVERED, _UNCOVERED_COST, _LEAST = 0.2, 0.3, 0.02
#: Change of the exposure from which it is fitted anew.
_MIN_GAIN_CHANGE = 0.03


def shades_of(grey: np.ndarray) -> np.ndarray:
    """A small copy (h, w) of a grey image in [0, 1], in levels of 255."""
    scale = _SIZE / max(grey.shape)
    size = max(8, round(grey.shape[1] * scale)), max(8, round(grey.shape[0] * scale))
    # blurred before, as fine stripes would become coarse ones
    soft = cv2.GaussianBlur(255 * grey, (0, 0), _BLUR / scale)
    return cv2.resize(soft, size, interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Fit:
    """How an image lies in another one.

    Attributes:
        homography: (3, 3), maps pixels of one to pixels of the other.
        gain: Exposure of the other, relative to the one.
        score: Logarithm of the share of the area that fits, less what uncovered parts cost.
    """

    homography: np.ndarray
    gain: float
    score: float


@dataclass(frozen=True)
class _Pixels:
    """Pixels (P,) of a small copy.

    Attributes:
        points: (3, P), homogeneous.
        levels: (P,), in levels.
        slopes: (10, P): how they change with a homography, the gain and the offset.
    """

    points: np.ndarray
    levels: np.ndarray
    slopes: np.ndarray

    def some(self, every: int) -> "_Pixels":
        parts = (self.points, self.levels, self.slopes)
        return _Pixels(*(np.ascontiguousarray(part[..., ::every]) for part in parts))


class Shades:
    """An image in which others are placed.

    Args:
        shades: From :func:`shades_of`.
        size: (height, width) of the image; homographies are for pixels of images of this size.
    """

    def __init__(self, shades: np.ndarray, size: tuple[int, int]):
        self._size, self._small = size, shades.shape
        height, width = shades.shape
        y, x = np.mgrid[_BORDER : height - _BORDER, _BORDER : width - _BORDER]
        whole = y.size // (_ROW * _SPARSE) * _ROW * _SPARSE
        y, x = (part.ravel()[:whole] for part in (y, x))
        points = np.stack([x, y, np.ones(len(x))])
        unit = 2 / max(height, width)
        self._to_unit = np.array(
            [[unit, 0, -(width - 1) / 2 * unit], [0, unit, -(height - 1) / 2 * unit], [0, 0, 1]]
        )
        self._from_unit, self._unit = np.linalg.inv(self._to_unit), unit
        u, v = (self._to_unit @ points)[:2]
        gx = cv2.Scharr(shades, cv2.CV_32F, 1, 0, scale=1 / 32)[y, x] / unit
        gy = cv2.Scharr(shades, cv2.CV_32F, 0, 1, scale=1 / 32)[y, x] / unit
        turn, levels = gx * u + gy * v, shades[y, x]
        by_homography = (gx * u, gx * v, gx, gy * u, gy * v, gy, -turn * u, -turn * v)
        slopes = np.stack([*by_homography, levels, np.ones(len(x))])
        self._all = _Pixels(points.astype(np.float32), levels, slopes.astype(np.float32))
        self._some = self._all.some(_SPARSE)

    def fit(
        self,
        shades: np.ndarray,
        starts: Sequence[np.ndarray],
        gain: float,
        *,
        wide: bool = False,
        rough: bool = False,
    ) -> list[Fit]:
        """Align the image with another one, from several guesses; one fit for each.

        Args:
            shades: Of the other image.
            starts: (3, 3) each, maps pixels of the image to pixels of the other one.
            gain: Guess of the exposure of the other image.
            wide: The guesses are off by more than a pixel of the small copies.
            rough: A few pixels are enough.
        """
        small = [scaled(start, self._size, self._small) for start in starts]
        gain = self._gain(shades, small[0], gain)
        pixels = self._some if rough else self._all
        limits = _WIDE_LIMITS if wide else _LIMITS
        found = [self._descend(pixels, shades, start, gain, limits) for start in small]
        return [
            Fit(
                scaled(matrix, self._small, self._size),
                its_gain,
                self._score(pixels, shades, matrix, its_gain),
            )
            for matrix, its_gain in found
        ]

    def score(
        self, shades: np.ndarray, homography: np.ndarray, gain: float, *, rough: bool = False
    ) -> float:
        """As in :class:`Fit`, for a homography (3, 3) that is known."""
        matrix = scaled(homography, self._size, self._small)
        return self._score(self._some if rough else self._all, shades, matrix, gain)

    def _gain(self, shades: np.ndarray, matrix: np.ndarray, guess: float) -> float:
        shown, levels = _shown(self._some, shades, matrix), self._some.levels
        inside = shown >= 0
        if inside.mean() < _MIN_COVERED:
            return guess
        fit = fit_colours(shown[inside, None] / 255, levels[inside, None] / 255)
        if fit is None or abs(fit.gain[0] / guess - 1) < _MIN_GAIN_CHANGE:
            return guess
        return float(fit.gain[0])

    def _score(self, pixels: _Pixels, shades: np.ndarray, matrix: np.ndarray, gain: float) -> float:
        shown = _shown(pixels, shades, matrix)
        inside = shown >= 0
        covered = float(inside.mean())
        if covered < _MIN_COVERED:
            return float(np.log(_LEAST))
        apart = (shown - np.float32(gain) * pixels.levels)[inside]
        fits = 1 / (1 + ((apart - np.median(apart)) / _LIMITS[-1]) ** 2)
        return float(np.log(fits.mean() + _LEAST)) - _UNCOVERED_COST * (1 - covered)

    def _descend(
        self,
        pixels: _Pixels,
        shades: np.ndarray,
        start: np.ndarray,
        gain: float,
        limits: Sequence[float],
    ) -> tuple[np.ndarray, float]:
        """Gauss-Newton steps, by inverse composition (as :func:`plate.registration.descend`)."""
        matrix, light = start, np.array([gain, 0.0])
        first, precision = light.copy(), _precision()
        alike = _ALIKE * len(pixels.levels) / len(self._all.levels)
        for number, limit in enumerate(limits):
            for _ in range(_MAX_STEPS):
                shown = _shown(pixels, shades, matrix)
                inside = shown >= 0
                if inside.mean() < _MIN_COVERED:
                    return start, gain
                apart = shown - np.float32(light[0]) * pixels.levels
                if number == 0:
                    light[1] = first[1] = np.median(apart[inside])
                apart -= np.float32(light[1])
                weight = inside / (1 + (apart / np.float32(limit)) ** 2) ** 2
                weighted = pixels.slopes * (weight / np.float32(alike * limit**2))
                normal = (weighted @ pixels.slopes.T).astype(np.float64) + precision
                gone = self._to_unit @ np.linalg.inv(matrix) @ start @ self._from_unit
                gone = np.append((gone / gone[2, 2] - np.eye(3)).ravel()[:8], light - first)
                step = np.linalg.solve(normal, weighted @ apart - precision @ gone)
                warp = np.eye(3) + np.append(step[:8], 0).reshape(3, 3)
                matrix = matrix @ self._from_unit @ np.linalg.inv(warp) @ self._to_unit
                matrix, light = matrix / matrix[2, 2], light + step[8:]
                if np.abs(step[:8]).max() < _CONVERGED * self._unit:
                    break
        return matrix, float(light[0])


def _shown(pixels: _Pixels, shades: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """What another image shows at pixels (P,), in levels; below 0 where it does not."""
    found = matrix.astype(np.float32) @ pixels.points
    x, y = found[:2] / found[2]
    height, width = shades.shape
    u, v = x.reshape(-1, _ROW), y.reshape(-1, _ROW)
    shown = np.asarray(cv2.remap(shades, u, v, cv2.INTER_LINEAR)).ravel()
    shown[(x < 0) | (y < 0) | (x > width - 1) | (y > height - 1) | (found[2] <= 0)] = _OUTSIDE
    return shown


def _precision() -> np.ndarray:
    """Inverse covariance (10, 10) of a homography's first eight entries, gain and offset."""
    precision = np.zeros((10, 10))
    for (one, other), sign, spread in (
        ((0, 4), 1, _ZOOM),
        ((0, 4), -1, _SHEAR),
        ((1, 3), -1, _ZOOM),
        ((1, 3), 1, _SHEAR),
    ):
        way = np.zeros(10)
        way[one], way[other] = np.sqrt(0.5), sign * np.sqrt(0.5)
        precision += np.outer(way, way) / spread**2
    for entry, spread in ((2, _SHIFT), (5, _SHIFT), (6, _PERSPECTIVE), (7, _PERSPECTIVE)):
        precision[entry, entry] = 1 / spread**2
    precision[8, 8], precision[9, 9] = 1 / _GAIN**2, 1 / _OFFSET**2
    return precision
