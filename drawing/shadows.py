"""Shadows and reflections of a subject on the scene behind it."""

import cv2
import numpy as np

from .arrays import Array, Rng
from .fields import noise


def shadow(rng: Rng, alpha: Array) -> Array:
    """The light (H, W) in (0, 1] that a subject's shadows leave on the scene behind it.

    Args:
        rng: Source of randomness.
        alpha: (H, W) in [0, 1], the subject's coverage.
    """
    height, width = alpha.shape
    longest = max(height, width)
    light = np.ones_like(alpha)
    for _ in range(int(rng.integers(1, 3))):
        kind = rng.random()
        if kind < 0.2:  # on the ground under the subject
            light *= 1 - rng.uniform(0.1, 0.7) * _footprint(rng, alpha)
            continue
        if kind < 0.65:  # cast on a wall or, sheared and flattened, on the ground
            move = rng.normal(0, 0.12 * longest, 2)
            shear, squeeze = rng.normal(0, 0.4), rng.choice([1.0, rng.uniform(-0.6, 0.8)])
            matrix = np.array([[1, shear, move[0]], [0, squeeze, move[1] + (1 - squeeze) * height]])
            matrix[0, 2] -= shear * height
            cast = cv2.warpAffine(alpha, matrix, (width, height))
        elif kind < 0.82:  # contact shadow around the subject
            cast = cv2.GaussianBlur(alpha, (0, 0), longest * rng.uniform(0.02, 0.08))
        else:  # from something outside the frame
            cast = (3 * noise(rng, height, width, cells=2, decay=0.3) - 1.5).clip(0, 1)
        sigma = longest * np.exp(rng.uniform(np.log(0.005), np.log(0.06)))  # never sharp
        light *= 1 - rng.uniform(0.05, 0.6) * cv2.GaussianBlur(cast, (0, 0), sigma)
    return light


def near_shadow(rng: Rng, alpha: Array) -> Array:
    """The light (H, W, 3) in (0, 1] under and close behind a subject; ``alpha`` is (H, W)."""
    height, width = alpha.shape
    longest = max(height, width)
    depth = np.exp(rng.uniform(np.log(0.03), np.log(0.75)))
    if rng.random() < 0.5:
        cast = _footprint(rng, alpha)
    else:
        right, down = rng.normal(0, 0.03 * longest, 2)
        cast = cv2.warpAffine(alpha, np.array([[1, 0, right], [0, 1, down]]), (width, height))
        cast = cv2.GaussianBlur(cast, (0, 0), longest * np.exp(rng.uniform(*np.log([0.004, 0.03]))))
    tint = 1 + rng.normal(0, 0.12, 3)  # skylight remains
    return np.power((1 - depth * cast)[..., None], tint).astype(np.float32)


def _footprint(rng: Rng, alpha: Array) -> Array:
    """The soft, flat shadow (H, W) in [0, 1] of a subject that stands on the ground."""
    height, width = alpha.shape
    rows = np.flatnonzero((alpha > 0.5).any(axis=1))
    if not len(rows):
        return np.zeros_like(alpha)
    foot, flat = rows[-1] + rng.uniform(-0.01, 0.02) * height, rng.uniform(0.03, 0.25)
    shear, shift = rng.normal(0, 0.3, 2) * (1, 0.1 * width)
    matrix = np.array([[1, shear, shift - shear * foot], [0, flat, (1 - flat) * foot]])
    cast = cv2.warpAffine(alpha, matrix, (width, height))
    sigma = max(height, width) * np.exp(rng.uniform(np.log(0.004), np.log(0.03)))
    return cv2.GaussianBlur(cast, (0, 0), sigma, sigmaY=sigma / 2)


def reflection(rng: Rng, colour: Array, alpha: Array) -> tuple[Array, Array]:
    """A faint, upside-down copy of a subject, as on a polished floor.

    Args:
        rng: Source of randomness.
        colour: (H, W, 3), the subject's colour times alpha.
        alpha: (H, W) in [0, 1].

    Returns:
        Colour times alpha (H, W, 3), and alpha (H, W), of the reflection.
    """
    axis = rng.uniform(0.5, 1.0) * 2 * alpha.shape[0]
    matrix = np.array([[1, 0, 0], [0, -1, axis]], np.float64)
    size = alpha.shape[::-1]
    faint, sigma = rng.uniform(0.05, 0.3), max(alpha.shape) * rng.uniform(0.002, 0.02)
    mirrored = [cv2.warpAffine(part, matrix, size) for part in (colour, alpha)]
    colour, alpha = (faint * cv2.GaussianBlur(part, (0, 0), sigma) for part in mirrored)
    return colour, alpha
