"""Drawn clips of a moving subject, and plates that are wrong by a known amount.

A plate shows the scene of the clip from the same camera, after it was shifted, rotated, or set
to another exposure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from .arrays import Array, Rng, to_uint8
from .canvas import Canvas
from .plate_defects import paint_over
from .scenes import scene
from .subjects import draw_subject

#: No training run uses this seed.
SEED = 2_000_000_033
#: Standard deviation of the camera's noise, in [0, 1], and of its blur, in pixels.
_NOISE_SIGMA, _BLUR_SIGMA = 1.5 / 255, 0.7
#: A scene is this many times as large as a frame, so that a moved camera still sees it.
_SCENE_SCALE = 1.3
#: Weights of linear red, green and blue in luminance. Source: ITU-R BT.709.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Clip:
    """A clip with its ground truth.

    Attributes:
        frames: (T, H, W, 3), uint8.
        pha: (T, H, W), the true alpha, float32 in [0, 1].
        background: The scene without the subject, float32 in [0, 1], larger than a frame.
        noise: (H, W, 3), the noise of an image of the empty scene.
    """

    frames: Array
    pha: Array
    background: Array
    noise: Array


@dataclass(frozen=True)
class PlateFault:
    """How a plate differs from the scene behind the subject.

    Attributes:
        shift: Camera shift in pixels.
        turn: Camera rotation in degrees.
        light: Applied to the plate, from [0, 1] to [0, 1].
        blur: Standard deviation in pixels.
        spots: Number of spots that are painted over, mostly near the subject of the last frame.
    """

    shift: float = 0
    turn: float = 0
    light: Callable[[Array], Array] = lambda image: image
    blur: float = 0
    spots: int = 0

    def plate(self, clip: Clip) -> Array:
        """The plate (H, W, 3), uint8."""
        height, width = clip.pha.shape[1:]
        size = clip.background.shape[1], clip.background.shape[0]
        background = cv2.warpAffine(
            clip.background,
            self._motion(size)[:2],
            size,
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        plate = self.light(middle(background, height, width).clip(0, 1))
        if self.blur:
            plate = cv2.GaussianBlur(plate, (0, 0), self.blur)
        return self._painted(to_uint8(plate + clip.noise), clip)

    def _painted(self, plate: Array, clip: Clip) -> Array:
        rng = np.random.default_rng(SEED)
        last = {"src": clip.frames[-1], "pha": to_uint8(clip.pha[-1])[..., None]}
        sample = {name: torch.from_numpy(x).permute(2, 0, 1) for name, x in last.items()}
        for _ in range(self.spots):
            bgr = torch.from_numpy(plate).permute(2, 0, 1)
            plate = np.asarray(paint_over(rng, {**sample, "bgr": bgr}).permute(1, 2, 0))
        return np.ascontiguousarray(plate)

    def covered(self, height: int, width: int) -> Array:
        """Which pixels of the frame the plate shows: (H, W), bool."""
        inside = np.ones((height, width), np.float32)
        back = np.linalg.inv(self._motion((width, height)))
        return cv2.warpPerspective(inside, back, (width, height)) > 0.999

    def _motion(self, size: tuple[int, int]) -> Array:
        """Homography (3, 3) of the camera motion, for images of ``size`` (width, height)."""
        centre = (size[0] - 1) / 2, (size[1] - 1) / 2
        matrix = cv2.getRotationMatrix2D(centre, self.turn, 1)
        matrix[:, 2] = matrix[:, 2] + np.array([0.8, 0.6]) * self.shift
        return np.vstack([matrix, [0, 0, 1]])


def darker(share: float) -> Callable[[Array], Array]:
    """A function that darkens an image by ``share`` of every level."""
    return lambda image: image * (1 - share)


def warmer(kelvin: float) -> Callable[[Array], Array]:
    """A function that applies a 6500 K white balance to light of 6500 - ``kelvin`` K.

    The luminance of grey does not change.
    """
    gain = _daylight(6500 - kelvin) / _daylight(6500)
    gain /= gain @ _LUMINANCE
    return lambda image: _encoded(_linear(image) * gain).astype(np.float32)


def _daylight(kelvin: float) -> Array:
    """Linear sRGB (3,) of daylight at ``kelvin``, 4000 to 7000.

    Source: CIE 15, the daylight locus.
    """
    x = -4.6070e9 / kelvin**3 + 2.9678e6 / kelvin**2 + 99.11 / kelvin + 0.244063
    y = -3 * x**2 + 2.87 * x - 0.275
    to_rgb = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.204, 1.057]]
    )
    return np.asarray(to_rgb @ [x / y, 1, (1 - x - y) / y])


def _linear(image: Array) -> Array:
    """sRGB in [0, 1] as linear sRGB. Source: IEC 61966-2-1."""
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def _encoded(light: Array) -> Array:
    """Linear sRGB (clipped to [0, 1]) as sRGB in [0, 1]."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


#: Faults by the name of their row in the table.
PLATE_FAULTS: dict[str, PlateFault] = {
    "right": PlateFault(),
    "2 px off": PlateFault(shift=2),
    "8 px off": PlateFault(shift=8),
    "30 px off": PlateFault(shift=30),
    "turned by 1 degree": PlateFault(turn=1),
    "turned by 3 degrees": PlateFault(turn=3),
    "10 % darker": PlateFault(light=darker(0.1)),
    "20 % darker": PlateFault(light=darker(0.2)),
    "40 % darker": PlateFault(light=darker(0.4)),
    "800 K warmer": PlateFault(light=warmer(800)),
    "blurred": PlateFault(blur=2),
    "painted over in three spots": PlateFault(spots=3),
    "all at once": PlateFault(8, 1, lambda image: darker(0.2)(warmer(800)(image)), 2),
}


def make_clip(index: int, height: int, width: int, *, frames: int) -> Clip:
    """Draw clip ``index``: a subject that moves across a scene.

    Args:
        index: Position in the set of clips.
        height: Rows of a frame.
        width: Columns of a frame.
        frames: Number of frames.
    """
    rng = np.random.default_rng([SEED, index])
    tall, wide = round(height * _SCENE_SCALE), round(width * _SCENE_SCALE)
    background = cv2.GaussianBlur(scene(rng, tall, wide), (0, 0), _BLUR_SIGMA)
    canvas = Canvas(height, width)
    draw_subject(rng, canvas, None)
    behind = middle(background, height, width)
    images, alphas = [], []
    for x in np.linspace(-0.25, 0.25, frames) * width:
        move = np.array([[1, 0, x], [0, 1, 0.02 * width * np.sin(x)]])
        colour, pha = (
            cv2.warpAffine(p, move, (width, height)) for p in (canvas.colour, canvas.alpha)
        )
        image = colour + (1 - pha[..., None]) * behind
        images.append(to_uint8(image + _noise(rng, image)))
        alphas.append(pha.clip(0, 1))
    return Clip(np.stack(images), np.stack(alphas), background, _noise(rng, behind))


def _noise(rng: Rng, image: Array) -> Array:
    return _NOISE_SIGMA * rng.standard_normal(image.shape, dtype=np.float32)


def middle(image: Array, height: int, width: int) -> Array:
    """The middle (height, width) of a larger image."""
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
