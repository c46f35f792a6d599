"""A frame and its plate as a camera records them on two occasions."""

from dataclasses import dataclass

import cv2
import numpy as np

from . import camera, shadows
from .arrays import Array, Rng
from .canvas import Canvas
from .things import draw_thing


@dataclass(frozen=True)
class Sample:
    """A frame with its plate and the ground truth, float32 in [0, 1].

    Attributes:
        src: (H, W, 3), the frame.
        bgr: (H, W, 3), the plate.
        pha: (H, W), the true alpha.
        fgr: (H, W, 3), the true foreground; undefined where ``pha`` is 0.
        clean: The plate matches the scene behind the subject except for slight noise: no drift, no
            shift, no shadow.
    """

    src: Array
    bgr: Array
    pha: Array
    fgr: Array
    clean: bool


def photograph(
    rng: Rng, background: Array, canvas: Canvas, *, clean: bool, light: Array | None = None
) -> Sample:
    """Record a frame of the subject before a background, and its plate.

    Args:
        rng: Source of randomness.
        background: (H, W, 3), the scene.
        canvas: The subject.
        clean: Whether the plate matches the background; see :class:`Sample`.
        light: (H, W, 3) in [0, 1], multiplies the background of the frame; unused if ``clean``.
    """
    pha = canvas.alpha.clip(0, 1)
    covered = pha[..., None]
    fgr = np.where(covered > 1e-3, canvas.colour / np.maximum(covered, 1e-3), 0).clip(0, 1)
    behind, plate = background, background
    if not clean:
        behind, plate = _drift(rng, background, canvas)
        if light is not None:
            behind = behind * light
    src = fgr * covered + behind * (1 - covered)
    wear = rng.uniform(0, 0.5 if clean else 1) * (rng.random() < 0.9) * canvas.fineness
    if not clean and rng.random() < 0.6:
        strength = rng.uniform(0.2, 1.6)
        plate = camera.expose(rng, plate, strength=strength)
    return Sample(
        src=camera.record(rng, src, strength=wear),
        bgr=camera.record(rng, plate, strength=wear),
        pha=pha.astype(np.float32),
        fgr=fgr.astype(np.float32),
        clean=clean,
    )


def _drift(rng: Rng, background: Array, canvas: Canvas) -> tuple[Array, Array]:
    """The scene behind the subject, and the scene of the plate, with differences between them."""
    behind, plate = background, background
    longest = max(background.shape[:2])
    if rng.random() < 0.65:
        pixels = longest * np.exp(rng.uniform(np.log(0.0005), np.log(0.009)))
        plate = camera.reframe(rng, plate, pixels=pixels)
    if rng.random() < 0.15:
        plate = camera.sway(rng, plate, pixels=longest * rng.uniform(0.002, 0.012))
    if rng.random() < 0.5:
        behind = behind * shadows.shadow(rng, canvas.alpha)[..., None]
    if rng.random() < 0.06:
        colour, alpha = shadows.reflection(rng, canvas.colour, canvas.alpha)
        behind = behind * (1 - alpha[..., None]) + colour
    if rng.random() < 0.04:  # an object of the plate was removed before the clip
        left = Canvas(*background.shape[:2])
        draw_thing(rng, left, None)
        spot = left.alpha.clip(0, 1)
        if spot.mean() < 0.03:
            plate = plate * (1 - spot[..., None]) + left.colour
    if rng.random() < 0.3:  # a softer or sharper plate
        sigma = longest * rng.uniform(0.0005, 0.004)
        soft = [cv2.GaussianBlur(part, (0, 0), sigma) for part in (behind, plate)]
        behind, plate = (behind, soft[1]) if rng.random() < 0.5 else (soft[0], plate)
    return behind, plate
