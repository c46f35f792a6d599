"""Laying the plate over the frame to a fraction of a pixel, by comparing the pictures."""

from dataclasses import dataclass

import cv2
import numpy as np

from .match import biweight, fit_colours, scaled, thumbnail

#: Longer sides, in pixels, at which the two are compared, from coarse to fine.
_SIZES = (80, 160, 320, 960)
#: Of these, the ones that are needed where the plate is off by a few pixels.
_FINE = 2
#: Shifts to start from where it is far off, as shares of the longer side.
_NUDGES = (-0.08, -0.04, 0.0, 0.04, 0.08)
_STEPS = 8
#: Corners that move less than this, in pixels at the working size, are at rest.
_AT_REST = 0.01
#: Difference, in [0, 1], at which a pixel agrees by half.
_HALF = 0.025
#: Slope of the plate, in [0, 1] for each pixel, from which a pixel tells where it is.
_LEAST_SLOPE = 0.006
_LEAST_PIXELS, _MOST_PIXELS = 200, 30_000
#: Of these pixels, every so manieth is enough to fit gain and offset.
_SPARSE = 8
#: Residual, in [0, 1], from which a pixel has no say.
_REACH = 0.04


@dataclass(frozen=True)
class _Comparison:
    """A plate's pixels beside what a frame shows in their place.

    Attributes:
        inside: (P,), bool: the pixels that the frame covers.
        gain: Of the frame's exposure over the plate's.
        apart: (Q, 1), difference of those inside, after gain and offset, for levels in [0, 1].
    """

    inside: np.ndarray
    gain: float
    apart: np.ndarray


class _Level:
    """A plate at one size, and what its pixels tell of a shift: those at edges alone.

    Attributes:
        size: (height, width).
        pixels: (P, 2), column and row of the pixels with a say.
    """

    def __init__(self, plate: np.ndarray, longest: int):
        grey = cv2.cvtColor(thumbnail(plate, longest), cv2.COLOR_RGB2GRAY)
        self.size = grey.shape
        height, width = grey.shape
        across = cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32)
        down = cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32)
        slope = np.hypot(across, down)
        around = cv2.blur(slope, (max(3, width // 12),) * 2)  # so that all parts have their say
        rows, columns = np.nonzero((slope > around) & (slope > _LEAST_SLOPE))
        every = slice(None, None, 1 + len(rows) // _MOST_PIXELS)
        rows, columns = rows[every], columns[every]
        self.pixels = np.stack([columns, rows], axis=1)
        self.levels = grey[rows, columns]
        # Coordinates around the middle, so that the unknowns are of like size.
        self.unit = 2 / max(height, width)
        self.middle = np.array([(width - 1) / 2, (height - 1) / 2])
        x, y = ((self.pixels - self.middle) * self.unit).T
        gx, gy = across[rows, columns] / self.unit, down[rows, columns] / self.unit
        turn = gx * x + gy * y
        self.slopes = np.stack(
            [gx * x, gx * y, gx, gy * x, gy * y, gy, -turn * x, -turn * y], axis=1
        ).astype(np.float32)

    def compare(self, frame: np.ndarray, homography: np.ndarray) -> "_Comparison | None":
        """Compare with a frame (height, width); None where too little can be compared."""
        columns, rows = self.pixels.T
        points = homography @ np.stack([columns, rows, np.ones(len(columns))])
        x, y = (points[:2] / points[2]).astype(np.float32)
        height, width = self.size
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        if inside.sum() < _LEAST_PIXELS:
            return None
        shown = cv2.remap(frame, x[inside, None], y[inside, None], cv2.INTER_LINEAR)
        levels = self.levels[inside, None]
        fit = fit_colours(shown[::_SPARSE], levels[::_SPARSE])
        if fit is None:
            return None
        return _Comparison(inside, float(fit.gain[0]), fit.apart(shown, levels).astype(np.float32))


class PlateRefiner:
    """Improves homographies between one plate and frames of its size, and judges them.

    Args:
        plate: (H, W, 3), RGB, uint8 or uint16.
    """

    def __init__(self, plate: np.ndarray):
        self._size = plate.shape[:2]
        self._levels = [_Level(plate, longest) for longest in _SIZES]

    def frame(self, src: np.ndarray) -> list[np.ndarray]:
        """A frame (H, W, 3), uint8 or uint16, as the other methods take it."""
        return [cv2.cvtColor(thumbnail(src, n), cv2.COLOR_RGB2GRAY) for n in _SIZES]

    def agreement(self, frame: list[np.ndarray], homography: np.ndarray) -> float:
        """How well the plate's edges agree with a frame, in [0, 1], whatever the exposure."""
        told = (n for n, level in enumerate(self._levels) if len(level.pixels) >= _LEAST_PIXELS)
        return self._agreement_at(max(told, default=0), frame, homography)

    def _agreement_at(self, n: int, frame: list[np.ndarray], homography: np.ndarray) -> float:
        level = self._levels[n]
        seen = level.compare(frame[n], scaled(homography, self._size, level.size))
        if seen is None:
            return 0.0
        half = _HALF * seen.gain  # in levels of the plate: nothing agrees by being dark
        return float((1 / (1 + (seen.apart / half) ** 2)).mean())

    def refine(
        self, frame: list[np.ndarray], homography: np.ndarray, *, coarse: bool = False
    ) -> np.ndarray:
        """Improve a homography from plate to frame.

        Args:
            frame: As :meth:`frame` gives it.
            homography: 3x3, off by a few pixels.
            coarse: It may be off by a tenth of the frame.
        """
        levels = list(zip(self._levels, frame, strict=True))
        if coarse:
            homography = self._nudged(frame, homography)
        for level, picture in levels if coarse else levels[-_FINE:]:
            small = scaled(homography, self._size, level.size)
            small = _descend(level, picture, small)
            homography = scaled(small, level.size, self._size)
        return homography / homography[2, 2]

    def _nudged(self, frame: list[np.ndarray], homography: np.ndarray) -> np.ndarray:
        """The homography, shifted to where the smallest pictures agree best."""
        moved = []
        for across in _NUDGES:
            for down in _NUDGES:
                shift = np.eye(3)
                shift[:2, 2] = np.array([across, down]) * max(self._size)
                moved.append(shift @ homography)
        return max(moved, key=lambda h: self._agreement_at(0, frame, h))


def _descend(level: _Level, frame: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Gauss-Newton steps on the plate's slopes, in which pixels that are far off have no say.

    Source: Baker and Matthews, "Lucas-Kanade 20 years on" (2004), the inverse compositional
    algorithm, with gain and offset of the levels fitted at each step.
    """
    to_unit = np.array(
        [
            [level.unit, 0, -level.middle[0] * level.unit],
            [0, level.unit, -level.middle[1] * level.unit],
            [0, 0, 1],
        ]
    )
    from_unit = np.linalg.inv(to_unit)
    for _ in range(_STEPS):
        seen = level.compare(frame, homography)
        if seen is None:
            break
        slopes = seen.gain * level.slopes[seen.inside]
        weighted = (slopes * biweight(seen.apart, _REACH)[:, None]).T
        normal = (weighted @ slopes).astype(np.float64)
        normal[np.diag_indices(8)] *= 1 + 1e-4
        normal[np.diag_indices(8)] += 1e-9
        step = np.linalg.solve(normal, (weighted @ seen.apart)[:, 0])
        warp = np.eye(3) + np.append(step, 0).reshape(3, 3)
        homography = homography @ from_unit @ np.linalg.inv(warp) @ to_unit
        homography /= homography[2, 2]
        if np.abs(step).max() < _AT_REST * level.unit:
            break
    return homography
