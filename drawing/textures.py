"""Procedural surfaces, from plain walls to foliage and text."""

from collections.abc import Callable

import cv2
import numpy as np

from .arrays import Array, Rng
from .fields import coordinates, noise, palette, ramp


def _flat(rng: Rng, height: int, width: int, colours: Array) -> Array:
    return np.broadcast_to(colours[0], (height, width, 3)).copy()


def _gradient(rng: Rng, height: int, width: int, colours: Array) -> Array:
    along, across = coordinates(rng, height, width)
    if rng.random() < 0.4:  # radial
        along = np.hypot(along - rng.uniform(0, width), across - rng.uniform(0, height))
    low, high = float(along.min()), float(along.max())
    return ramp((along - low) / max(high - low, 1e-6), colours[:3])


def _fractal(rng: Rng, height: int, width: int, colours: Array) -> Array:
    cells = np.exp(rng.uniform(np.log(2), np.log(60)))
    return ramp(noise(rng, height, width, cells=cells, decay=rng.uniform(0.3, 0.9)), colours)


def _grain(rng: Rng, height: int, width: int, colours: Array) -> Array:
    field: Array = rng.random((height, width), dtype=np.float32)
    field = cv2.GaussianBlur(field, (0, 0), rng.uniform(0.5, 2))
    return ramp((0.5 + 2 * (field - 0.5)).clip(0, 1), colours)


def _stripes(rng: Rng, height: int, width: int, colours: Array) -> Array:
    along, across = coordinates(rng, height, width)
    longest = max(height, width)
    period = np.exp(rng.uniform(np.log(3), np.log(longest / 3)))
    if rng.random() < 0.5:
        along = along + period * 2 * noise(rng, height, width, cells=3, decay=0.4)
    field = 0.5 + 0.5 * np.sin(along * (2 * np.pi / period))
    if rng.random() < 0.4:  # plaid
        field = 0.5 * field + 0.25 + 0.25 * np.sin(across * (2 * np.pi / period))
    sharpness = rng.choice([1.0, 3.0, 12.0])
    return ramp((0.5 + sharpness * (field - 0.5)).clip(0, 1), colours)


def _bricks(rng: Rng, height: int, width: int, colours: Array) -> Array:
    along, across = coordinates(rng, height, width)
    tall = np.exp(rng.uniform(np.log(4), np.log(max(height, width) / 4)))
    wide = tall * rng.uniform(1, 3)
    row = np.floor(across / tall)
    shifted = along / wide + 0.5 * rng.integers(0, 2) * (row % 2)
    column = np.floor(shifted)
    table = rng.random((64, 64), dtype=np.float32)
    image = ramp(table[row.astype(np.int32) % 64, column.astype(np.int32) % 64], colours[1:])
    joint = rng.uniform(0.03, 0.3)
    mortar = (across / tall - row < joint) | (shifted - column < joint * tall / wide)
    image[mortar] = colours[0]
    return image


def _clutter(rng: Rng, height: int, width: int, colours: Array) -> Array:
    """Leaves or pebbles: many small, overlapping ellipses."""
    canvas = (255 * ramp(noise(rng, height, width, cells=6), colours)).astype(np.uint8)
    longest = max(height, width)
    size = longest * np.exp(rng.uniform(np.log(0.01), np.log(0.08)))
    count = int(min(500, 1.5 * height * width / size**2))
    centres = rng.uniform((0, 0), (width, height), (count, 2))
    sizes = size * rng.uniform(0.4, 1.6, (count, 2)) * (1, rng.uniform(0.2, 1))
    shades = ramp(rng.random((count, 1), dtype=np.float32), colours)[:, 0]
    shades = 255 * (shades * rng.uniform(0.6, 1.3, (count, 1))).clip(0, 1)
    angles = rng.uniform(0, 360, count)
    for centre, axes, angle, shade in zip(centres, sizes, angles, shades, strict=True):
        box = (centre.tolist(), (2 * axes).tolist(), float(angle))
        cv2.ellipse(canvas, box, shade.tolist(), -1)
    return canvas.astype(np.float32) / 255


def _foliage(rng: Rng, height: int, width: int, colours: Array) -> Array:
    """Shrubs and trees: lit and dark leaves, with gaps to a bright background."""
    green = colours[0] * rng.uniform((0.5, 0.9, 0.2), (1.0, 1.2, 0.7))
    tones = np.stack([0.1 * green, 0.4 * green, green, 1.4 * green + 0.1]).clip(0, 1)
    cells = np.exp(rng.uniform(np.log(15), np.log(80)))
    leaves = noise(rng, height, width, cells=cells, decay=rng.uniform(0.8, 1.1))
    crowns = noise(rng, height, width, cells=rng.uniform(3, 10), decay=0.5)
    image = ramp((0.5 + 2 * (0.7 * leaves + 0.3 * crowns - 0.5)).clip(0, 1), tones)
    if rng.random() < 0.4:
        image[leaves + 0.5 * crowns > rng.uniform(0.9, 1.2)] = colours[1] * 0.5 + 0.5
    return image


def _polygons(rng: Rng, height: int, width: int, colours: Array) -> Array:
    canvas = (255 * _gradient(rng, height, width, colours)).astype(np.uint8)
    for _ in range(int(rng.integers(4, 25))):
        centre = rng.uniform((0, 0), (width, height))
        corners = centre + rng.normal(0, max(height, width) / 8, (int(rng.integers(3, 6)), 2))
        shade = 255 * ramp(rng.random((1, 1)), colours)[0, 0]
        cv2.fillPoly(canvas, [corners.astype(np.int32)], shade.tolist(), cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def _text(rng: Rng, height: int, width: int, colours: Array) -> Array:
    canvas = (255 * _gradient(rng, height, width, colours[:2])).astype(np.uint8)
    scale = rng.uniform(0.3, 2) * max(height, width) / 256
    ink = (255 * colours[-1]).tolist()
    for y in range(0, height + 40, max(8, int(26 * scale))):
        words = "".join(chr(code) for code in rng.integers(33, 123, 40))
        origin = (int(rng.integers(-20, width // 2)), y)
        cv2.putText(
            canvas, words, origin, int(rng.integers(0, 8)), scale, ink, int(1 + 2 * scale),
            cv2.LINE_AA,
        )  # fmt: skip
    return canvas.astype(np.float32) / 255


_KINDS: dict[Callable[[Rng, int, int, Array], Array], float] = {
    _flat: 0.12,
    _gradient: 0.18,
    _fractal: 0.18,
    _foliage: 0.06,
    _grain: 0.06,
    _stripes: 0.10,
    _bricks: 0.09,
    _clutter: 0.11,
    _polygons: 0.06,
    _text: 0.04,
}


def texture(rng: Rng, height: int, width: int, *, near: Array | None = None) -> Array:
    """One surface (H, W, 3) of a random kind.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        near: A colour (3,) that the surface's colours stay close to, or None.
    """
    kinds = list(_KINDS)
    kind = kinds[int(rng.choice(len(kinds), p=list(_KINDS.values())))]
    image = kind(rng, height, width, palette(rng, near))
    if rng.random() < 0.5:  # uneven light
        light = noise(rng, height, width, cells=rng.uniform(1, 4), decay=0.3)
        image *= (1 + rng.uniform(0.1, 0.7) * (light - 0.6))[..., None]
    return image.clip(0, 1)
