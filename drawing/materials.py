"""What subjects are made of: cloth, skin, hair, fur."""

import cv2
import numpy as np

from .arrays import Array, Rng
from .canvas import Canvas, curls
from .fields import colour, noise, ramp
from .textures import texture


def fill(rng: Rng, canvas: Canvas, near: Array | None) -> Array:
    """A material (H, W, 3): a surface, plain in 45 % of cases, with light and dark folds."""
    height, width = canvas.height, canvas.width
    if rng.random() < 0.45:
        base = colour(rng) if near is None else near + rng.normal(0, 0.07, 3)
        image = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    else:
        image = texture(rng, height, width, near=near)
    folds = noise(rng, height, width, cells=rng.uniform(2, 12), decay=0.5)
    return (image * (1 + rng.uniform(0, 0.8) * (folds[..., None] - 0.5))).clip(0, 1)


def skin(rng: Rng, canvas: Canvas) -> Array:
    """Skin (H, W, 3): a tone from pale to dark with soft shading."""
    tone = rng.uniform(0.2, 0.95) * np.array([1.0, rng.uniform(0.68, 0.9), rng.uniform(0.5, 0.8)])
    shade = noise(rng, canvas.height, canvas.width, cells=rng.uniform(3, 10), decay=0.4)
    return (tone * (1.15 - rng.uniform(0.1, 0.7) * shade[..., None])).clip(0, 1).astype(np.float32)


def hair_colours(rng: Rng, canvas: Canvas, near: Array | None) -> Array:
    """Hair (H, W, 3): one colour, mostly dark, in streaks; sometimes close to ``near``."""
    dark = np.array([0.25, 0.16, 0.1]) * rng.uniform(0.1, 2) * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.3:
        dark = colour(rng) if near is None else near + rng.normal(0, 0.08, 3)
    streaks = noise(rng, canvas.height, canvas.width, cells=30, decay=0.8)
    tones = np.stack([dark * 0.5, dark, dark * rng.uniform(1, 1.8) + 0.04]).clip(0, 1)
    return ramp(streaks, tones.astype(np.float32))


def fur(rng: Rng, canvas: Canvas, mask: Array, material: Array, length: float) -> None:
    """Paint a body ``mask`` (H, W) with hairs of ``length`` pixels along its outline."""
    canvas.paint(mask, material)
    outlines, _ = cv2.findContours(
        (mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    for outline in outlines:
        points = outline[:, 0].astype(np.float64) + 0.5
        if len(points) < 12:
            continue
        tangents = np.roll(points, -3, axis=0) - np.roll(points, 3, axis=0)
        normals = tangents[:, ::-1] * (-1, 1)
        pick = rng.integers(0, len(points), min(6000, len(points) * int(rng.integers(2, 6))))
        away = normals[pick] + rng.normal(0, 3, (len(pick), 2)) + rng.normal(0, 2, 2)
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.1)
        lengths = length * rng.gamma(4, 0.25, len(pick))
        roots = points[pick] - 0.3 * length * away
        lines = curls(rng, roots, away, lengths, fall=rng.uniform(-0.2, 0.5))
        canvas.paint(canvas.strands(lines, scale=int(rng.integers(2, 4))), material)
