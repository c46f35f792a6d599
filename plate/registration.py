"""Laying the plate over the frame to a fraction of a pixel, by comparing the pictures."""

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from .colour_match import biweight, fit_colours, scaled, thumbnail

#: Longer sides, in pixels, at which the two are compared, from coarse to fine.
_SIZES = (320, 960)
#: How far it may be off, as a share of the longer side, where it is sought from afar.
_FAR = 0.1
#: The turns that are tried there, in degrees.
_TURNS = (0.0, *(sign * turn for turn in range(1, 6) for sign in (1.0, -1.0)))
#: What is found there, at the first size, is improved by so many pixels of each.
_NEAR = (0.0, -0.5, 0.5, -1.0, 1.0)
_STEPS = 8
#: Corners that move less than this, in pixels at the working size, are at rest.
_AT_REST = 0.01
#: Difference, in [0, 1], at which a pixel agrees by half.
_HALF = 0.025
#: Slope of the plate, in [0, 1] for each pixel, from which a pixel tells where it is.
_LEAST_SLOPE = 0.006
_LEAST_PIXELS, _MOST_PIXELS = 200, 30_000
#: So few suffice to tell shifts apart.
_LEAST_TO_SHIFT = 40
#: About so many of these pixels are enough to fit gain and offset.
_ENOUGH = 2_000
#: Resistance to leaving where a search starts, against the sum of squared slopes (which scenes with
#: many edges have in the thousands): what no edge tells of is left as it is.
_STIFF = 1.0
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
        grey: (height, width), the plate in [0, 1].
        size: (height, width).
        pixels: (P, 2), column and row of the pixels with a say.
    """

    def __init__(self, plate: np.ndarray, longest: int):
        self.grey = grey = cv2.cvtColor(thumbnail(plate, longest), cv2.COLOR_RGB2GRAY)
        self.size = grey.shape
        height, width = grey.shape
        across, down = _slopes(grey)
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

    def compare(
        self, frame: np.ndarray, homography: np.ndarray, least: int = _LEAST_PIXELS
    ) -> "_Comparison | None":
        """Compare with a frame (height, width); None with fewer pixels than ``least``."""
        columns, rows = self.pixels.T
        points = homography @ np.stack([columns, rows, np.ones(len(columns))])
        x, y = (points[:2] / points[2]).astype(np.float32)
        height, width = self.size
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        if inside.sum() < least:
            return None
        shown = cv2.remap(frame, x[inside, None], y[inside, None], cv2.INTER_LINEAR)
        levels = self.levels[inside, None]
        every = 1 + len(shown) // _ENOUGH
        fit = fit_colours(shown[::every], levels[::every])
        if fit is None:
            return None
        return _Comparison(inside, float(fit.gain[0]), fit.apart(shown, levels).astype(np.float32))


class Registration:
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

    def _agreement_at(
        self, n: int, frame: list[np.ndarray], homography: np.ndarray, least: int = _LEAST_PIXELS
    ) -> float:
        level = self._levels[n]
        seen = level.compare(frame[n], scaled(homography, self._size, level.size), least)
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
            coarse: It may be off by a tenth of the frame, and by a turn of five degrees.
        """
        moved = refined = self._moved(frame, homography) if coarse else homography
        for level, picture in zip(self._levels, frame, strict=True):
            small = _descend(level, picture, scaled(refined, self._size, level.size))
            refined = scaled(small, level.size, self._size)
        refined /= refined[2, 2]
        return max(moved, refined, key=lambda h: self.agreement(frame, h)) if coarse else refined

    def _moved(self, frame: list[np.ndarray], homography: np.ndarray) -> np.ndarray:
        """The homography, turned and shifted to where edges lie on edges of the same direction.

        For each turn, all shifts by whole pixels of the first size are tried at once, by
        correlation; the best is improved by comparing the pictures, which also decide whether it is
        better than the homography as it is.
        """
        level, picture = self._levels[0], frame[0]
        small = scaled(homography, self._size, level.size)
        reach = round(_FAR * max(level.size))
        padded = [side + reach for side in level.size]
        sought = np.fft.fft2(_directions(picture), s=padded)
        most, found = 0.0, small
        for turn in _TURNS:
            turned = _turn(turn, level.middle) @ small
            laid = cv2.warpPerspective(
                level.grey, turned, level.size[::-1], borderMode=cv2.BORDER_REPLICATE
            )
            alike = np.fft.ifft2(np.fft.fft2(_directions(laid), s=padded).conj() * sought).real
            near = np.roll(alike, (reach, reach), axis=(0, 1))[: 2 * reach + 1, : 2 * reach + 1]
            if near.max() > most:
                down, across = np.unravel_index(near.argmax(), near.shape)
                most, found = near.max(), _shift(across - reach, down - reach) @ turned
        found = scaled(found, level.size, self._size)
        for n in range(len(_SIZES)):
            step = max(self._size) / max(self._levels[n].size)
            nearby = [_shift(step * x, step * y) @ found for x, y in product(_NEAR, _NEAR)]
            found = max(nearby, key=lambda h: self._agreement_at(n, frame, h, _LEAST_TO_SHIFT))
        return max(homography, found, key=lambda h: self.agreement(frame, h))


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def _turn(degrees: float, middle: np.ndarray) -> np.ndarray:
    x, y = middle
    return np.vstack([cv2.getRotationMatrix2D((float(x), float(y)), degrees, 1), [0.0, 0.0, 1.0]])


def _slopes(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture's change from pixel to pixel, to the right and down."""
    across = cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32)
    return across, cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32)


def _directions(grey: np.ndarray) -> np.ndarray:
    """The directions of a picture's slopes as complex numbers, near 0 where it is plain."""
    across, down = _slopes(grey)
    slope = across + 1j * down
    return np.asarray(slope / (np.abs(slope) + 2 * _LEAST_SLOPE))


def _descend(level: _Level, frame: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Gauss-Newton steps on the plate's slopes, in which pixels that are far off have no say.

    Source: Baker and Matthews, "Lucas-Kanade 20 years on" (2004), the inverse compositional
    algorithm, with gain and offset of the levels fitted at each step, and the sum of squares kept
    from running off where the edges leave it free.
    """
    to_unit = np.array(
        [
            [level.unit, 0, -level.middle[0] * level.unit],
            [0, level.unit, -level.middle[1] * level.unit],
            [0, 0, 1],
        ]
    )
    from_unit = np.linalg.inv(to_unit)
    start = homography
    for _ in range(_STEPS):
        seen = level.compare(frame, homography)
        if seen is None:
            break
        slopes = seen.gain * level.slopes[seen.inside]
        weighted = (slopes * biweight(seen.apart, _REACH)[:, None]).T
        normal = (weighted @ slopes).astype(np.float64)
        stiff = _STIFF * seen.gain**2
        normal[np.diag_indices(8)] *= 1 + 1e-4
        normal[np.diag_indices(8)] += stiff + 1e-9
        gone = to_unit @ np.linalg.inv(homography) @ start @ from_unit
        gone = (gone / gone[2, 2] - np.eye(3)).ravel()[:8]
        step = np.linalg.solve(normal, (weighted @ seen.apart)[:, 0] - stiff * gone)
        warp = np.eye(3) + np.append(step, 0).reshape(3, 3)
        homography = homography @ from_unit @ np.linalg.inv(warp) @ to_unit
        homography /= homography[2, 2]
        if np.abs(step).max() < _AT_REST * level.unit:
            break
    return homography
