"""Registration: refines a homography to a fraction of a pixel, by comparing the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from .colour_match import biweight, fit_colours, scaled

#: Longer sides, in pixels, at which a run compares plate and frame, from coarse to fine.
_SIZES = (320, 960)
#: Farthest shift of the coarse search, as a share of the longer side.
_MAX_COARSE_SHIFT = 0.1
#: Turns that the coarse search tries, in degrees.
_TURNS = (0.0, *(sign * turn for turn in range(1, 6) for sign in (1.0, -1.0)))
#: Shifts, in pixels of each size, that are tried around the result of the coarse search.
_FINE_SHIFTS = (0.0, -0.5, 0.5, -1.0, 1.0)
_MAX_STEPS = 8
#: Largest move of a corner, in pixels at the working size, after which the steps have converged: at
#: the last size, and at those before.
_CONVERGED, _NEARLY_CONVERGED = 0.01, 0.05
#: Difference, in [0, 1], at which a pixel agrees by half.
_HALF_AGREEMENT = 0.025
#: Slope of the plate, in [0, 1] per pixel, from which a pixel is an edge, and from which it counts
#: where there are no edges.
_MIN_SLOPE, _MIN_DENSE_SLOPE = 0.006, 0.001
_MIN_PIXELS = 200
#: Edge pixels that are compared, at the last size and at those before.
_MAX_PIXELS, _MAX_COARSE_PIXELS = 12_000, 6_000
#: Fewer pixels are enough to compare shifts.
_MIN_PIXELS_TO_SHIFT = 40
#: Pixels to fit gain and offset to.
_FITTED_PIXELS = 2_000
#: Weight of the start, against the sum of squared slopes (thousands in scenes with many edges):
#: what no edge determines stays as it was.
_START_WEIGHT = 1.0
#: Residual, in [0, 1], from which a pixel has no weight.
_MAX_RESIDUAL = 0.04


@dataclass(frozen=True)
class _Comparison:
    """Pixels of a plate beside those of a frame in their place.

    Attributes:
        inside: (P,), bool: the pixels that the frame covers.
        gain: Exposure of the frame relative to the plate's.
        residual: (Q, 1), of those inside, after gain and offset, for levels in [0, 1].
    """

    inside: np.ndarray
    gain: float
    residual: np.ndarray


class Level:
    """A plate at one size: its edges, and how they change with the homography.

    Args:
        grey: (height, width), the plate in [0, 1].
        most: Pixels to compare.
        dense: Compare all pixels with a slope, for scenes without edges.

    Attributes:
        grey: (height, width), the plate in [0, 1].
        size: (height, width).
        pixels: (P, 2), column and row of the edge pixels.
    """

    def __init__(self, grey: np.ndarray, most: int, *, dense: bool = False):
        self.grey = grey
        self.size = grey.shape
        height, width = grey.shape
        across, down = slopes(grey)
        slope = np.hypot(across, down)
        around = cv2.blur(slope, (max(3, width // 12),) * 2)  # so that edges come from all parts
        is_edge = slope > _MIN_DENSE_SLOPE if dense else (slope > around) & (slope > _MIN_SLOPE)
        rows, columns = np.nonzero(is_edge)
        every = slice(None, None, 1 + len(rows) // most)
        rows, columns = rows[every], columns[every]
        self.pixels = np.stack([columns, rows], axis=1)
        self.levels = grey[rows, columns]
        # Coordinates around the centre, so that the unknowns have similar sizes.
        self.unit = 2 / max(height, width)
        self.middle = np.array([(width - 1) / 2, (height - 1) / 2])
        x, y = ((self.pixels - self.middle) * self.unit).T
        gx, gy = across[rows, columns] / self.unit, down[rows, columns] / self.unit
        turn = gx * x + gy * y
        self.slopes = np.stack(
            [gx * x, gx * y, gx, gy * x, gy * y, gy, -turn * x, -turn * y], axis=1
        ).astype(np.float32)

    def compare(
        self, frame: np.ndarray, homography: np.ndarray, least: int = _MIN_PIXELS
    ) -> "_Comparison | None":
        """Compare with a frame (height, width); None with fewer than ``least`` pixels."""
        columns, rows = self.pixels.T
        points = homography @ np.stack([columns, rows, np.ones(len(columns))])
        x, y = (points[:2] / points[2]).astype(np.float32)
        height, width = self.size
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        if inside.sum() < least:
            return None
        shown = cv2.remap(frame, x[inside, None], y[inside, None], cv2.INTER_LINEAR)
        levels = self.levels[inside, None]
        every = 1 + len(shown) // _FITTED_PIXELS
        fit = fit_colours(shown[::every], levels[::every])
        if fit is None:
            return None
        return _Comparison(
            inside, float(fit.gain[0]), fit.residual(shown, levels).astype(np.float32)
        )


class Registration:
    """Refines homographies from one plate to frames of its size, and measures how they agree.

    Args:
        plate: (H, W, 3), RGB, uint8 or uint16.
        sizes: Longer sides, in pixels, at which the two are compared, from coarse to fine.
    """

    def __init__(self, plate: np.ndarray, sizes: Sequence[int] = _SIZES):
        self._size = plate.shape[:2]
        self._sizes = sizes
        limits = [_MAX_COARSE_PIXELS] * (len(sizes) - 1) + [_MAX_PIXELS]
        self._levels = [Level(*pair) for pair in zip(self.frame(plate), limits, strict=True)]

    def frame(self, src: np.ndarray) -> list[np.ndarray]:
        """A frame (H, W, 3), uint8 or uint16, in the form of the other methods."""
        return grey_copies(src, self._sizes)

    def agreement(self, frame: list[np.ndarray], homography: np.ndarray) -> float:
        """How well the plate's edges agree with a frame, in [0, 1], at any exposure."""
        usable = (n for n, level in enumerate(self._levels) if len(level.pixels) >= _MIN_PIXELS)
        return self._agreement_at(max(usable, default=0), frame, homography)

    def _agreement_at(
        self, n: int, frame: list[np.ndarray], homography: np.ndarray, least: int = _MIN_PIXELS
    ) -> float:
        level = self._levels[n]
        seen = level.compare(frame[n], scaled(homography, self._size, level.size), least)
        if seen is None:
            return 0.0
        half = (
            _HALF_AGREEMENT * seen.gain
        )  # in levels of the plate: a dark frame does not agree more
        return float((1 / (1 + (seen.residual / half) ** 2)).mean())

    def refine(
        self,
        frame: list[np.ndarray],
        homography: np.ndarray,
        *,
        coarse: bool = False,
    ) -> np.ndarray:
        """Refine a homography from plate to frame.

        Args:
            frame: From :meth:`frame`.
            homography: 3x3, off by a few pixels.
            coarse: It may be off by a tenth of the frame and a turn of five degrees.
        """
        moved = refined = self._coarse_search(frame, homography) if coarse else homography
        for n, (level, image) in enumerate(zip(self._levels, frame, strict=True)):
            converged = _CONVERGED if n + 1 == len(frame) else _NEARLY_CONVERGED
            small = descend(level, image, scaled(refined, self._size, level.size), converged)
            refined = scaled(small, level.size, self._size)
        refined /= refined[2, 2]
        return max(moved, refined, key=lambda h: self.agreement(frame, h)) if coarse else refined

    def _coarse_search(self, frame: list[np.ndarray], homography: np.ndarray) -> np.ndarray:
        """The homography, turned and shifted so that edges coincide with edges of their direction.

        For each turn, one correlation tries all shifts by whole pixels of the first size. The best
        one is refined on the images, and dropped if they agree less than before.
        """
        level, image = self._levels[0], frame[0]
        small = scaled(homography, self._size, level.size)
        reach = round(_MAX_COARSE_SHIFT * max(level.size))
        padded = [side + reach for side in level.size]
        sought = np.fft.fft2(_directions(image), s=padded)
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
        for n in range(len(self._levels)):
            step = max(self._size) / max(self._levels[n].size)
            nearby = [
                _shift(step * x, step * y) @ found for x, y in product(_FINE_SHIFTS, _FINE_SHIFTS)
            ]
            found = max(nearby, key=lambda h: self._agreement_at(n, frame, h, _MIN_PIXELS_TO_SHIFT))
        return max(homography, found, key=lambda h: self.agreement(frame, h))


def grey_copies(image: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Copies of an image (H, W, 3), uint8 or uint16, as grey in [0, 1], by their longer sides.

    Args:
        image: The image.
        sizes: Longer sides in pixels, ascending.
    """
    white = np.float32(np.iinfo(image.dtype).max)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    copies: list[np.ndarray] = []
    for longest in reversed(sizes):
        scale = min(1.0, longest / max(image.shape[:2]))
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        if not copies:
            grey = grey / white
        copies.append(grey)
    return copies[::-1]


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def _turn(degrees: float, middle: np.ndarray) -> np.ndarray:
    x, y = middle
    return np.vstack([cv2.getRotationMatrix2D((float(x), float(y)), degrees, 1), [0.0, 0.0, 1.0]])


def slopes(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (H, W) of an image (H, W), float32, per pixel, to the right and down."""
    across = cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32)
    return across, cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32)


def _directions(grey: np.ndarray) -> np.ndarray:
    """Directions of an image's slopes as complex numbers, near 0 where it is flat."""
    across, down = slopes(grey)
    slope = across + 1j * down
    return np.asarray(slope / (np.abs(slope) + 2 * _MIN_SLOPE))


def descend(
    level: Level,
    frame: np.ndarray,
    homography: np.ndarray,
    converged: float,
    stiffness: float = 1.0,
) -> np.ndarray:
    """Gauss-Newton steps on the plate's slopes, in which outliers have no weight.

    Source: Baker and Matthews, "Lucas-Kanade 20 years on" (2004), the inverse compositional
    algorithm, with gain and offset fitted at each step, and a penalty on moves that the edges do
    not determine.
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
    for _ in range(_MAX_STEPS):
        seen = level.compare(frame, homography)
        if seen is None:
            break
        slopes = seen.gain * level.slopes[seen.inside]
        weighted = (slopes * biweight(seen.residual, _MAX_RESIDUAL)[:, None]).T
        normal = (weighted @ slopes).astype(np.float64)
        stiff = stiffness * _START_WEIGHT * seen.gain**2
        normal[np.diag_indices(8)] *= 1 + 1e-4
        normal[np.diag_indices(8)] += stiff + 1e-9
        gone = to_unit @ np.linalg.inv(homography) @ start @ from_unit
        gone = (gone / gone[2, 2] - np.eye(3)).ravel()[:8]
        step = np.linalg.solve(normal, (weighted @ seen.residual)[:, 0] - stiff * gone)
        warp = np.eye(3) + np.append(step, 0).reshape(3, 3)
        homography = homography @ from_unit @ np.linalg.inv(warp) @ to_unit
        homography /= homography[2, 2]
        if np.abs(step).max() < converged * level.unit:
            break
    return homography
