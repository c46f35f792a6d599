"""Random colours, fractal noise and colour ramps: what textures are made of."""

import cv2
import numpy as np

from .arrays import Array, Rng


def colour(rng: Rng) -> Array:
    """A colour (3,): mostly muted, sometimes vivid, white or black."""
    value = rng.random() ** 0.8
    spread = rng.choice([0.03, 0.12, 0.3, 0.8], p=[0.25, 0.35, 0.25, 0.15])
    return (value + spread * (rng.random(3) - 0.5)).clip(0, 1).astype(np.float32)


def palette(rng: Rng, near: Array | None = None) -> Array:
    """Two to five colours (N, 3), similar to each other about half of the time.

    Args:
        rng: Source of randomness.
        near: A colour (3,) that all of them stay close to, or None.
    """
    count = int(rng.integers(2, 6))
    if near is None:
        colours = np.stack([colour(rng) for _ in range(count)])
        if rng.random() < 0.5:
            colours = colours[:1] + rng.uniform(0.05, 0.4) * (colours - colours[:1])
    else:
        offset = rng.normal(0, 0.08, 3) + rng.choice([-0.06, 0.06])
        colours = near + offset + rng.normal(0, rng.uniform(0.01, 0.1), (count, 3))
    return colours.clip(0, 1).astype(np.float32)


def noise(rng: Rng, height: int, width: int, *, cells: float, decay: float = 0.5) -> Array:
    """Fractal noise: the sum of octaves of smoothed random grids.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        cells: Cells of the coarsest grid along the longer side.
        decay: Amplitude of an octave relative to the previous one; 0 leaves only the coarsest.

    Returns:
        (H, W) in [0, 1].
    """
    total = np.zeros((height, width), np.float32)
    amplitude, longest = 1.0, max(height, width)
    while cells < longest / 1.5 and amplitude > 0.04:
        rows, columns = (max(2, round(cells * side / longest) + 1) for side in (height, width))
        grid = rng.random((rows, columns), dtype=np.float32)
        total += amplitude * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        amplitude, cells = amplitude * decay, cells * 2
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def ramp(field: Array, colours: Array) -> Array:
    """Map a field (H, W) in [0, 1] to colours (H, W, 3) by interpolating in ``colours`` (N, 3)."""
    stops = np.linspace(0, 1023, len(colours))
    table = np.stack([np.interp(np.arange(1024), stops, c) for c in colours.T], axis=1)
    return table.astype(np.float32)[(field * 1023).astype(np.int32)]


def coordinates(rng: Rng, height: int, width: int) -> tuple[Array, Array]:
    """Two perpendicular coordinates in pixels, each (H, W), rotated by a random angle."""
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    y, x = np.mgrid[:height, :width].astype(np.float32)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x
