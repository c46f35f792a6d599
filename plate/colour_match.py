"""Colour matching: gain and offset that bring the plate to the exposure of the frame."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np

from .carry import Averages

#: Longer side, in pixels, at which colours are compared.
_WORKING_SIZE = 320
#: Levels near black and white, in [0, 1], where cameras clip and a gain says nothing.
_DARKEST, _BRIGHTEST = 0.02, 0.98
#: Largest logarithm of a gain that is searched, and the width of a bin.
_MAX_LOG_GAIN, _LOG_GAIN_BIN = 1.6, 0.01
#: Residuals, in [0, 1], from which a pixel has no weight, from the first iteration to the last.
_MAX_RESIDUALS = (0.12, 0.08, 0.05, 0.04, 0.03, 0.03)
#: Variance of a plate's levels, in [0, 1], below which the means alone give the gain.
_PRIOR_VARIANCE = 1e-4
#: Smallest ratio of the fitted gain and the ratio of the means, and of its inverse.
_MIN_GAIN_RATIO = 0.7
#: Share of the pixels that have to agree with a fit.
_MIN_AGREEMENT = 0.1
#: Weight of a new frame in the smoothed correction.
_SMOOTHING = 0.25
#: Change of a level, in [0, 1], from which a correction follows at once: a cut, or a lamp.
_MAX_SMOOTHED_CHANGE = 0.03


@dataclass(frozen=True)
class ColourFit:
    """Brings a plate's colours to those of a frame: ``gain * plate + offset``.

    Attributes:
        gain: (C,), for each channel.
        offset: (C,), likewise, for levels in [0, 1].
    """

    gain: np.ndarray
    offset: np.ndarray

    def residual(self, src: np.ndarray, bgr: np.ndarray) -> np.ndarray:
        """Residuals (P, C) of pixels of a frame and its plate, likewise (P, C)."""
        return np.asarray(src - (self.gain * bgr + self.offset))


def fit_colours(src: np.ndarray, bgr: np.ndarray) -> ColourFit | None:
    """Fit gain and offset of each channel robustly, so that the subject has no weight.

    The mode of the pixels' gains is the start. Iteratively reweighted least squares follow, with
    Tukey's biweight of the largest residual of a pixel's channels, and ever smaller limits.

    Args:
        src: (P, C), pixels of the frame in [0, 1].
        bgr: (P, C), the same of the plate.

    Returns:
        None where too few pixels agree.
    """
    usable = ((bgr > _DARKEST) & (bgr < _BRIGHTEST) & (src > _DARKEST) & (src < _BRIGHTEST)).all(1)
    if usable.sum() < 50:
        return None
    x, y = bgr[usable].astype(np.float64), src[usable].astype(np.float64)
    gain = np.array([_mode_of_gains(*channel) for channel in zip(x.T, y.T, strict=True)])
    offset = np.zeros_like(gain)
    for limit in _MAX_RESIDUALS:
        weight = biweight(y - (gain * x + offset), limit)
        if weight.mean() < _MIN_AGREEMENT:
            return None
        total = weight.sum()
        mean_x, mean_y = weight @ x / total, weight @ y / total
        dx, dy = x - mean_x, y - mean_y
        # A plate of one colour does not separate gain from offset: there the gain wins. Nor may an
        # offset replace most of the gain, as it would for a frame of one colour.
        spread, ratio = weight @ (dx * dx) / total, mean_y / mean_x
        gain = (weight @ (dx * dy) / total + _PRIOR_VARIANCE * ratio) / (spread + _PRIOR_VARIANCE)
        gain = gain.clip(ratio * _MIN_GAIN_RATIO, ratio / _MIN_GAIN_RATIO)
        offset = mean_y - gain * mean_x
    return ColourFit(gain, offset)


def _mode_of_gains(x: np.ndarray, y: np.ndarray) -> float:
    """The mode of the ratios y / x; bright pixels count more, as noise changes theirs less."""
    steps = int(_MAX_LOG_GAIN / _LOG_GAIN_BIN)
    place = np.rint(np.log(y / x) / _LOG_GAIN_BIN).clip(-steps, steps).astype(int) + steps
    count = np.bincount(place, weights=x, minlength=2 * steps + 1)
    density = cv2.GaussianBlur(count[None], (0, 0), 3, borderType=cv2.BORDER_CONSTANT)
    return float(np.exp((int(density.argmax()) - steps) * _LOG_GAIN_BIN))


def biweight(residual: np.ndarray, limit: float) -> np.ndarray:
    """Weights (P,) in [0, 1] of residuals (P, C): 1 for 0, and 0 from ``limit`` in any channel."""
    largest = np.abs(residual).max(axis=1)
    return np.asarray((1 - (largest / limit) ** 2).clip(0) ** 2)


def thumbnail(image: np.ndarray, longest: int) -> np.ndarray:
    """An image (H, W, 3), uint8 or uint16, as float32 in [0, 1], shrunk to a longer side."""
    scale = min(1.0, longest / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small / np.float32(np.iinfo(image.dtype).max), np.float32)


class PlateMatcher:
    """Matches a plate to the frames of a clip: gain and offset, smoothed over time.

    Args:
        smooth: Smooth over time; otherwise each frame is matched by itself.
        places: Those of the frames in the clip, in order; by default they count up from 0.

    Attributes:
        matched: Frames whose colours were fitted.
        failed: Frames where that was not possible; they take the last correction.
        widest: Largest change of a level of one half, in [0, 1].
    """

    def __init__(self, *, smooth: bool = True, places: Iterable[int] | None = None) -> None:
        self._smooth = smooth
        self.matched = 0
        self.failed = 0
        self.widest = 0.0
        self._places = count() if places is None else iter(places)
        self._corrections: Averages[np.ndarray] = Averages()
        self._plate: tuple[np.ndarray, np.ndarray] | None = None

    def solve(
        self, src: np.ndarray, bgr: np.ndarray, homography: np.ndarray | None
    ) -> np.ndarray | None:
        """Find the correction of a plate for the next frame.

        Args:
            src: (H, W, 3), RGB, uint8 or uint16: the frame.
            bgr: (H, W, 3), likewise: its plate.
            homography: 3x3, maps pixels of the plate to pixels of the frame; None for none.

        Returns:
            (2, 3): gain and offset of each channel, for levels in [0, 1]; None where nothing could
            be fitted in any frame so far.
        """
        if self._plate is None or self._plate[0] is not bgr:
            self._plate = bgr, thumbnail(bgr, _WORKING_SIZE)
        frame, plate = thumbnail(src, _WORKING_SIZE), self._plate[1]
        inside = np.ones(frame.shape[:2], bool)
        if homography is not None:
            small = scaled(homography, src.shape[:2], frame.shape[:2])
            size = frame.shape[1::-1]
            plate = cv2.warpPerspective(plate, small, size)
            inside = cv2.warpPerspective(inside.astype(np.float32), small, size) > 0.999
        fit = fit_colours(frame[inside], plate[inside])
        self._corrections.step(next(self._places))
        if fit is None:
            self.failed += 1
            return self._corrections.current
        self.matched += 1
        found, running = np.stack([fit.gain, fit.offset]), self._corrections.running
        for begun, previous in running.items():
            running[begun] = self._following(found, previous)
        current = self._corrections.current
        assert current is not None
        self.widest = max(self.widest, float(np.abs([0.5, 1] @ current - 0.5).max()))
        return current

    def _following(self, correction: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
        """A correction, smoothed with the one of the frame before."""
        greys = np.array([[0.2, 1.0], [0.8, 1.0]])
        if self._smooth and previous is not None:
            change = correction - previous
            if np.abs(greys @ change).max() < _MAX_SMOOTHED_CHANGE:
                return np.asarray(previous + _SMOOTHING * change)
        return correction


def scaled(homography: np.ndarray, size: tuple[int, int], to: tuple[int, int]) -> np.ndarray:
    """A homography between images of ``size`` (height, width), for copies resized ``to``."""
    y, x = to[0] / size[0], to[1] / size[1]
    shrink = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
    return np.asarray(shrink @ homography @ np.linalg.inv(shrink))
