"""What subjects are made of: cloth, skin, hair."""

import numpy as np

from .canvas import Canvas
from .textures import Array, Rng, colour, noise, ramp, texture


def fill(rng: Rng, canvas: Canvas, near: Array | None) -> Array:
    """A material (H, W, 3): a surface, plain more often than not, with folds of light and dark."""
    height, width = canvas.height, canvas.width
    if rng.random() < 0.45:
        base = colour(rng) if near is None else near + rng.normal(0, 0.07, 3)
        picture = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    else:
        picture = texture(rng, height, width, near=near)
    folds = noise(rng, height, width, cells=rng.uniform(2, 12), decay=0.5)
    return (picture * (1 + rng.uniform(0, 0.8) * (folds[..., None] - 0.5))).clip(0, 1)


def skin(rng: Rng, canvas: Canvas) -> Array:
    """Skin (H, W, 3): a tone between pale and dark, softly shaded."""
    tone = rng.uniform(0.2, 0.95) * np.array([1.0, rng.uniform(0.68, 0.9), rng.uniform(0.5, 0.8)])
    shade = noise(rng, canvas.height, canvas.width, cells=rng.uniform(3, 10), decay=0.4)
    return (tone * (1.15 - rng.uniform(0.1, 0.7) * shade[..., None])).clip(0, 1).astype(np.float32)


def locks(rng: Rng, canvas: Canvas, near: Array | None) -> Array:
    """Hair (H, W, 3): a colour, mostly dark, in streaks; close to ``near`` now and then."""
    dark = np.array([0.25, 0.16, 0.1]) * rng.uniform(0.1, 2) * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.3:
        dark = colour(rng) if near is None else near + rng.normal(0, 0.08, 3)
    streaks = noise(rng, canvas.height, canvas.width, cells=30, decay=0.8)
    tones = np.stack([dark * 0.5, dark, dark * rng.uniform(1, 1.8) + 0.04]).clip(0, 1)
    return ramp(streaks, tones.astype(np.float32))
