"""Frames of furry animals with their true colours, and plates that are right or wrong."""

from dataclasses import dataclass

import cv2
import numpy as np

from . import shadows
from .animals import draw_animal
from .arrays import Array, to_uint8
from .canvas import Canvas
from .plates import Clip, PlateFault, darker, middle, warmer
from .scenes import scene

#: A scene is this many times as large as a frame, so that a moved camera still sees it.
_SCENE_SCALE = 1.3
#: Standard deviation of the camera's noise, in [0, 1].
_NOISE_SIGMA = 1.5 / 255
_SEED = 77


@dataclass(frozen=True)
class Furry:
    """A frame with its plate and the truth.

    Attributes:
        src, bgr: (H, W, 3), uint8.
        pha: (H, W), the true alpha, float32 in [0, 1].
        fgr: (H, W, 3), the true foreground, likewise; undefined where ``pha`` is 0.
    """

    src: Array
    bgr: Array
    pha: Array
    fgr: Array


def draw_furry(index: int, height: int, width: int) -> tuple[Furry, Furry]:
    """One animal, with a right plate, and with a wrong one.

    The wrong plate is shifted by 2 to 9 pixels, turned by up to half a degree, and has another
    exposure and white balance; and the animal of the frame casts a shadow.

    Args:
        index: Position in the set of frames.
        height: Rows in pixels.
        width: Columns in pixels.
    """
    rng = np.random.default_rng([_SEED, index])
    tall, wide = round(_SCENE_SCALE * height), round(_SCENE_SCALE * width)
    background = cv2.GaussianBlur(scene(rng, tall, wide), (0, 0), 0.7)
    canvas = Canvas(height, width)
    draw_animal(rng, canvas, None, least=0.15)
    pha = canvas.alpha.clip(0, 1)
    covered, behind = pha[..., None], middle(background, height, width)
    fgr = np.where(covered > 1e-3, canvas.colour / np.maximum(covered, 1e-3), 0).clip(0, 1)

    def noise() -> Array:
        return _NOISE_SIGMA * rng.standard_normal((height, width, 3), dtype=np.float32)

    def shot(behind: Array, fault: PlateFault) -> Furry:
        src = to_uint8(canvas.colour + (1 - covered) * behind + noise())
        plate = fault.plate(Clip(src[None], pha[None], background, plate_noise))
        return Furry(src, plate, pha.astype(np.float32), fgr.astype(np.float32))

    plate_noise = noise()
    right = shot(behind, PlateFault())
    behind = behind * shadows.shadow(rng, canvas.alpha)[..., None]
    return right, shot(behind, _fault(rng))


def _fault(rng: np.random.Generator) -> PlateFault:
    dark, warm = darker(rng.uniform(-0.1, 0.15)), warmer(rng.uniform(-300, 600))
    return PlateFault(
        shift=rng.uniform(2, 9), turn=rng.uniform(-0.5, 0.5), light=lambda x: dark(warm(x))
    )
