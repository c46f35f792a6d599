"""Metrics that compare mattes.

Alphas are arrays (H, W) in [0, 1], clips (T, H, W): ``pha`` is a prediction, ``true`` the truth.
"""

import cv2
import numpy as np

from drawing.arrays import Array


def mad(pha: Array, true: Array) -> float:
    """Mean absolute difference, x1000."""
    return float(1000 * np.abs(_real(pha) - _real(true)).mean())


def mse(pha: Array, true: Array) -> float:
    """Mean squared error, x1000."""
    return float(1000 * np.square(_real(pha) - _real(true)).mean())


def sad(pha: Array, true: Array) -> float:
    """Sum of absolute differences, in thousands of pixels.

    Source: Rhemann et al., "A perceptually motivated online benchmark for image matting" (2009).
    """
    return float(np.abs(_real(pha) - _real(true)).sum() / 1000)


def grad(pha: Array, true: Array, *, sigma: float = 1.4) -> float:
    """Gradient error: the sum over pixels of (|G pha| - |G true|)^2, in thousands.

    |G x| is the magnitude of the gradient of x under first-order Gaussian derivative filters, each
    scaled to a Euclidean norm of 1, as in the benchmark's own figures.

    Source: Rhemann et al. (2009), equation 3, with q = 2 and sigma = 1.4.

    Args:
        pha: (H, W) in [0, 1].
        true: (H, W) in [0, 1].
        sigma: Width of the Gaussian, in pixels.
    """
    return float(
        np.square(_gradient_magnitude(pha, sigma) - _gradient_magnitude(true, sigma)).sum() / 1000
    )


def conn(pha: Array, true: Array, *, step: float = 0.1) -> float:
    """Connectivity error: the sum over pixels of |phi(pha) - phi(true)|, in thousands.

    The level l of a pixel is the last of the thresholds 0, 0.1, ... 1 up to which the pixel belongs
    to the largest 4-connected component where both alphas reach the threshold. With
    d = alpha - l, phi = 1 - d where d >= 0.15, and 1 elsewhere.

    Source: Rhemann et al. (2009), equation 4, with theta = 0.15 and p = 1.

    Args:
        pha: (H, W) in [0, 1].
        true: (H, W) in [0, 1].
        step: Distance between two thresholds.
    """
    pha, true = _real(pha), _real(true)
    level = np.ones_like(true)
    settled = np.zeros(true.shape, bool)
    for count in range(1, round(1 / step) + 1):
        reached = _largest_component(np.minimum(pha, true) >= count * step - 1e-9)
        disconnected = ~reached & ~settled
        level[disconnected] = (count - 1) * step
        settled |= disconnected
    return float(np.abs(_phi(pha, level) - _phi(true, level)).sum() / 1000)


def dtssd(pha: Array, true: Array) -> float:
    """Difference in flicker of two clips (T, H, W), x100.

    The mean over t of the root of the mean over pixels of
    ((pha[t+1] - pha[t]) - (true[t+1] - true[t]))^2.

    Source: Erofeev et al., "Perceptually motivated benchmark for video matting" (2015), per pixel.

    Raises:
        ValueError: There are fewer than two frames.
    """
    if len(pha) < 2:
        raise ValueError(f"a clip of {len(pha)} frames does not change over time")
    change = np.diff(_real(pha), axis=0) - np.diff(_real(true), axis=0)
    return float(100 * np.sqrt(np.square(change).mean(axis=(1, 2))).mean())


def _real(x: Array) -> Array:
    return np.asarray(x, np.float64)


def _gradient_magnitude(x: Array, sigma: float) -> Array:
    # The filter ends where the Gaussian falls below 0.01.
    reach = int(np.ceil(sigma * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * sigma * 0.01))))
    t = np.arange(-reach, reach + 1, dtype=np.float64)
    gauss = np.exp(-(t**2) / (2 * sigma**2))
    derivative = t * gauss
    gauss, derivative = gauss / np.linalg.norm(gauss), derivative / np.linalg.norm(derivative)
    across = cv2.sepFilter2D(_real(x), -1, derivative, gauss, borderType=cv2.BORDER_REPLICATE)
    down = cv2.sepFilter2D(_real(x), -1, gauss, derivative, borderType=cv2.BORDER_REPLICATE)
    return np.hypot(across, down)


def _largest_component(mask: Array) -> Array:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if len(stats) < 2:
        return np.zeros(mask.shape, bool)
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def _phi(alpha: Array, level: Array) -> Array:
    distance = alpha - level
    return 1 - distance * (distance >= 0.15)


def stipple(pha: Array, true: Array | None = None, *, width: int = 10) -> float:
    """Share of the pixels near edges that stand out from those around them, in percent.

    A pixel stands out if its alpha differs by more than 0.2 from the median of its 3x3 pixels. Hair
    does so, too. With the truth, a pixel counts only if it stands out by 0.2 more than it truly
    does.

    Args:
        pha: (H, W) in [0, 1].
        true: (H, W) in [0, 1]; None counts every pixel that stands out.
        width: Distance from an edge, in pixels, up to which pixels are counted. Edges are those of
            the truth, or of ``pha``, at 1/2, after a 5x5 median.

    Returns:
        The share; 0 if there is no edge.
    """
    near = _near_edges(pha if true is None else true, width)
    apart = _apart_from_median(pha)
    dots = np.abs(apart) > 0.2
    if true is not None:
        dots &= np.sign(apart) * (apart - _apart_from_median(true)) > 0.2
    return float(100 * dots[near].mean()) if near.any() else 0.0


def _near_edges(pha: Array, width: int) -> Array:
    inside = cv2.medianBlur((_real(pha) * 255).round().astype(np.uint8), 5) > 127
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    grown, shrunk = (f(inside.astype(np.uint8), disc) for f in (cv2.dilate, cv2.erode))
    return grown > shrunk


def _apart_from_median(pha: Array) -> Array:
    pha = np.asarray(pha, np.float32)
    return pha - cv2.medianBlur(pha, 3)
