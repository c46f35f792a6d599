"""A moving subject as a phone or a camera films it: a soft lens, wind, and H.264 at a low rate.

What the encoder leaves at an outline depends on the frames before: the subject moves, and the scene
behind it is copied from frame to frame, late and in blocks.
"""

import cv2
import numpy as np

from . import camera
from .arrays import Array, Rng, to_uint8
from .canvas import Canvas
from .capture import Sample

#: Frames that are encoded; the last one is kept.
_FRAMES = 4


def film(rng: Rng, background: Array, canvas: Canvas, *, light: Array | None = None) -> Sample:
    """The last frame of a short clip of the subject, and a plate from the same camera.

    The plate is a frame of a clip of the empty scene, the mean of several, or an image without
    compression.

    Args:
        rng: Source of randomness.
        background: (H, W, 3), the scene.
        canvas: The subject.
        light: (H, W, 3) in [0, 1], multiplies the background of the frame.
    """
    sigma = rng.uniform(0.35, 1.1)
    subject, scene = (_rough(rng, image) for image in (canvas.colour, background))
    colour, alpha, behind = (_soft(image, sigma) for image in (subject, canvas.alpha, scene))
    alpha = alpha.clip(0, 1)
    sharpness = rng.uniform(0, 0.8) * (rng.random() < 0.5)
    grain = float(np.exp(rng.uniform(np.log(0.3), np.log(4)))) / 255
    wind = float(np.exp(rng.uniform(np.log(0.3), np.log(3)))) * (rng.random() < 0.5)
    lit = behind if light is None else behind * light

    def developed(image: Array) -> Array:
        noise = grain * rng.standard_normal(image.shape, dtype=np.float32)
        image = image + sharpness * (image - _soft(image, 1.0)) + noise
        return to_uint8(image.clip(0, 1))

    def blown(image: Array) -> Array:
        return camera.sway(rng, image, pixels=wind) if wind else image

    speed = rng.normal(0, 4, 2) * (rng.random() < 0.8)
    frames = []
    for number in range(_FRAMES):
        x, y = (number - _FRAMES + 1) * speed
        moved = [_shifted(part, x, y) for part in (colour, alpha)]
        frames.append(developed(moved[0] + (1 - moved[1][..., None]) * blown(lit)))
    options = {"preset": str(rng.choice(["veryfast", "fast", "medium"])), "bframes": "0"}
    src = camera.encoded(frames, {**options, "crf": f"{rng.uniform(18, 33):.1f}"})[-1]

    if rng.random() < 0.4:  # exposure and framing differ by next to nothing
        behind = camera.expose(rng, behind, strength=rng.uniform(0, 0.3))
        behind = camera.reframe(rng, behind, pixels=rng.uniform(0, 0.4))
    kind = rng.random()
    empty = [developed(blown(behind)) for _ in range(_FRAMES if kind < 0.75 else 1)]
    if kind < 0.75:
        empty = camera.encoded(empty, {**options, "crf": f"{rng.uniform(18, 33):.1f}"})
    plate = np.mean(empty, axis=0) if kind < 0.35 else empty[-1]

    covered = alpha[..., None]
    fgr = np.where(covered > 1e-3, colour / np.maximum(covered, 1e-3), 0).clip(0, 1)
    return Sample(
        src=src.astype(np.float32) / 255,
        bgr=plate.astype(np.float32) / 255,
        pha=alpha.astype(np.float32),
        fgr=fgr.astype(np.float32),
        clean=False,
    )


def _rough(rng: Rng, image: Array) -> Array:
    """The image with the grain of cloth, bark or asphalt on its surfaces, in most cases."""
    if rng.random() < 0.25:
        return image
    white = rng.standard_normal(image.shape[:2], dtype=np.float32)
    grain: Array = cv2.GaussianBlur(white, (0, 0), rng.uniform(0.5, 1.6))
    depth = float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
    light: Array = (1 + depth * grain / grain.std()).clip(0, 2)
    return image * light[..., None]


def _soft(image: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


def _shifted(image: Array, x: float, y: float) -> Array:
    move = np.array([[1, 0, x], [0, 1, y]])
    return np.asarray(cv2.warpAffine(image, move, image.shape[1::-1]))
