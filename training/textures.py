"""Procedural surfaces and scenes: everything a camera may see, drawn from a random generator.

Pictures are float32 RGB in [0, 1] of shape (H, W, 3); fields are float32 in [0, 1] of shape (H, W).
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rng = np.random.Generator


def colour(rng: Rng) -> Array:
    """A colour (3,): mostly muted, as the world is, now and then vivid, white or black."""
    value = rng.random() ** 0.8
    spread = rng.choice([0.03, 0.12, 0.3, 0.8], p=[0.25, 0.35, 0.25, 0.15])
    return (value + spread * (rng.random(3) - 0.5)).clip(0, 1).astype(np.float32)


def palette(rng: Rng, near: Array | None = None) -> Array:
    """Two to five colours (N, 3), close to each other about half of the time.

    Args:
        rng: Source of randomness.
        near: A colour (3,) from which none of them strays far.
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
    """Fractal noise: octaves of smoothed random grids.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        cells: Cells of the coarsest grid along the longer side.
        decay: Amplitude of an octave relative to the one before; 0 leaves only the coarsest.

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
    """Colour a field (H, W) in [0, 1] by interpolating through ``colours`` (N, 3): (H, W, 3)."""
    stops = np.linspace(0, 1023, len(colours))
    table = np.stack([np.interp(np.arange(1024), stops, c) for c in colours.T], axis=1)
    return table.astype(np.float32)[(field * 1023).astype(np.int32)]


def coordinates(rng: Rng, height: int, width: int) -> tuple[Array, Array]:
    """Two perpendicular coordinates in pixels, each (H, W), turned by a random angle."""
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    y, x = np.mgrid[:height, :width].astype(np.float32)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x


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
    picture = ramp(table[row.astype(np.int32) % 64, column.astype(np.int32) % 64], colours[1:])
    joint = rng.uniform(0.03, 0.3)
    mortar = (across / tall - row < joint) | (shifted - column < joint * tall / wide)
    picture[mortar] = colours[0]
    return picture


def _clutter(rng: Rng, height: int, width: int, colours: Array) -> Array:
    """Leaves, pebbles, odds and ends: many small ellipses and triangles over each other."""
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
    """Shrubs and trees: sunlit and dark leaves, with gaps to what is bright behind them."""
    green = colours[0] * rng.uniform((0.5, 0.9, 0.2), (1.0, 1.2, 0.7))
    tones = np.stack([0.1 * green, 0.4 * green, green, 1.4 * green + 0.1]).clip(0, 1)
    cells = np.exp(rng.uniform(np.log(15), np.log(80)))
    leaves = noise(rng, height, width, cells=cells, decay=rng.uniform(0.8, 1.1))
    crowns = noise(rng, height, width, cells=rng.uniform(3, 10), decay=0.5)
    picture = ramp((0.5 + 2 * (0.7 * leaves + 0.3 * crowns - 0.5)).clip(0, 1), tones)
    if rng.random() < 0.4:
        picture[leaves + 0.5 * crowns > rng.uniform(0.9, 1.2)] = colours[1] * 0.5 + 0.5
    return picture


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
        near: A colour (3,) from which the surface's colours don't stray far.
    """
    kinds = list(_KINDS)
    kind = kinds[int(rng.choice(len(kinds), p=list(_KINDS.values())))]
    picture = kind(rng, height, width, palette(rng, near))
    if rng.random() < 0.5:  # light falls unevenly
        light = noise(rng, height, width, cells=rng.uniform(1, 4), decay=0.3)
        picture *= (1 + rng.uniform(0.1, 0.7) * (light - 0.6))[..., None]
    return picture.clip(0, 1)


def scene(rng: Rng, height: int, width: int) -> Array:
    """A place (H, W, 3): surfaces meeting along lines, things standing about, light and depth."""
    picture = texture(rng, height, width)
    for _ in range(int(rng.choice(4, p=[0.25, 0.3, 0.25, 0.2]))):
        mask = _region(rng, height, width)
        picture += mask[..., None] * (texture(rng, height, width) - picture)
    if rng.random() < 0.35:
        _scatter(rng, picture)
    if rng.random() < 0.4:
        along, _ = coordinates(rng, height, width)
        light = along / (np.abs(along).max() + 1)
        picture *= (1 + rng.uniform(-0.5, 0.5) * light)[..., None]
    if rng.random() < 0.4:  # out of focus
        sigma = max(height, width) * np.exp(rng.uniform(np.log(0.002), np.log(0.03)))
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    return picture.clip(0, 1)


def _region(rng: Rng, height: int, width: int) -> Array:
    """The part of a scene that one surface covers: a half plane, a box or a polygon."""
    mask: Array = np.zeros((height, width), np.uint8)
    corners: list[Any]
    kind = rng.random()
    if kind < 0.4:  # ground, wall, sky
        horizon, slope = rng.uniform(0.2, 0.8), rng.normal(0, 0.15)
        ends = [(0, height * (horizon - slope)), (width, height * (horizon + slope))]
        corners = [*ends, (width, height), (0, height)]
    elif kind < 0.7:  # doors, windows, boards
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = width * rng.uniform(0.05, 0.4), height * rng.uniform(0.05, 0.6)
        corners = [(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)]
    else:
        centre = rng.uniform((0, 0), (width, height))
        corners = list(centre + rng.normal(0, max(height, width) / 3, (4, 2)))
    cv2.fillPoly(mask, [np.array(corners).astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.5 and kind < 0.7 and width == height:
        mask = np.ascontiguousarray(mask.T)
    return mask.astype(np.float32) / 255


def _scatter(rng: Rng, picture: Array) -> None:
    """Draw a few plain things and wires into ``picture`` (H, W, 3), in place."""
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(1, 12))):
        x, y = rng.uniform((0, 0), (width, height)).astype(int).tolist()
        size = max(height, width) * rng.uniform(0.01, 0.12)
        shade = colour(rng).tolist()
        kind = rng.random()
        if kind < 0.4:
            box = ((x, y), (size, size * rng.uniform(0.3, 3)), rng.uniform(0, 180))
            cv2.ellipse(picture, box, shade, -1)
        elif kind < 0.7:
            corner = (int(x + size), int(y + size * rng.uniform(0.3, 3)))
            cv2.rectangle(picture, (x, y), corner, shade, -1)
        else:
            end = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            cv2.line(picture, (x, y), end, shade, int(1 + size / 16))
