"""What a wrong plate costs, and what each way to mend it brings back: a table of errors of alpha.

Clips are drawn as the training samples are, from a seed that no training uses: a subject moves
before a scene. The plate is the scene as the same camera would see it after it was moved, turned,
or exposed otherwise; the frames go through the same loader as those of a real clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from dataset import FrameSource, MemorySource
from model import Predictor, load_network
from pipeline import DeviceFeed, PairLoader, repaired_plate

from .canvas import Canvas
from .metrics import mad
from .spoil import paint_over
from .subjects import draw_subject
from .textures import Array, Rng, scene

SEED = 2_000_000_033
#: Standard deviation of the camera's noise and of its softness, in [0, 1] and in pixels.
_NOISE, _SOFTNESS = 1.5 / 255, 0.7
#: The scene goes on outside of the frame, so that a moved camera sees something there.
_MARGIN = 1.3


@dataclass(frozen=True)
class Shot:
    """A clip with its truth.

    Attributes:
        frames: (T, H, W, 3), uint8.
        pha: (T, H, W), the true alpha, float32 in [0, 1].
        place: The scene without the subject, float32 in [0, 1], larger than the frame on all sides.
        noise: (H, W, 3), the noise of a picture of the empty scene.
    """

    frames: Array
    pha: Array
    place: Array
    noise: Array


@dataclass(frozen=True)
class Fault:
    """How a plate differs from the scene behind the subject.

    Attributes:
        shift: Of the camera, in pixels.
        turn: Of the camera, in degrees.
        light: Applied to the picture, in [0, 1].
        blur: Standard deviation in pixels.
        spots: How many are painted over, where the subject is in the last frame mostly.
    """

    shift: float = 0
    turn: float = 0
    light: Callable[[Array], Array] = lambda picture: picture
    blur: float = 0
    spots: int = 0

    def plate(self, shot: Shot) -> Array:
        """The plate (H, W, 3), uint8."""
        height, width = shot.pha.shape[1:]
        size = shot.place.shape[1], shot.place.shape[0]
        place = cv2.warpAffine(
            shot.place, self._motion(size)[:2], size, flags=cv2.INTER_CUBIC, borderMode=_REFLECT
        )
        plate = self.light(middle(place, height, width).clip(0, 1))
        if self.blur:
            plate = cv2.GaussianBlur(plate, (0, 0), self.blur)
        return self._painted(levels(plate + shot.noise), shot)

    def _painted(self, plate: Array, shot: Shot) -> Array:
        rng = np.random.default_rng(SEED)
        last = {"src": shot.frames[-1], "pha": levels(shot.pha[-1])[..., None]}
        sample = {name: torch.from_numpy(x).permute(2, 0, 1) for name, x in last.items()}
        for _ in range(self.spots):
            bgr = torch.from_numpy(plate).permute(2, 0, 1)
            plate = np.asarray(paint_over(rng, {**sample, "bgr": bgr}).permute(1, 2, 0))
        return np.ascontiguousarray(plate)

    def covered(self, height: int, width: int) -> Array:
        """Where in the frame (H, W), bool, the plate has something to say."""
        inside = np.ones((height, width), np.float32)
        back = np.linalg.inv(self._motion((width, height)))
        return cv2.warpPerspective(inside, back, (width, height)) > 0.999

    def _motion(self, size: tuple[int, int]) -> Array:
        """3x3, from the picture before the camera moved to the one after; (width, height)."""
        centre = (size[0] - 1) / 2, (size[1] - 1) / 2
        matrix = cv2.getRotationMatrix2D(centre, self.turn, 1)
        matrix[:, 2] = matrix[:, 2] + np.array([0.8, 0.6]) * self.shift
        return np.vstack([matrix, [0, 0, 1]])


_REFLECT = cv2.BORDER_REFLECT_101


def darker(share: float) -> Callable[[Array], Array]:
    """Takes a share of every level away."""
    return lambda picture: picture * (1 - share)


def warmer(kelvin: float) -> Callable[[Array], Array]:
    """A camera set for daylight of 6500 K, in light of so much less, and of the same luminance."""
    gain = _daylight(6500 - kelvin) / _daylight(6500)
    gain /= gain @ _LUMINANCE
    return lambda picture: _encoded(_linear(picture) * gain).astype(np.float32)


_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def _daylight(kelvin: float) -> Array:
    """Linear sRGB (3,) of daylight. Source: CIE 15, the daylight locus from 4000 to 7000 K."""
    x = -4.6070e9 / kelvin**3 + 2.9678e6 / kelvin**2 + 99.11 / kelvin + 0.244063
    y = -3 * x**2 + 2.87 * x - 0.275
    to_rgb = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.204, 1.057]]
    )
    return np.asarray(to_rgb @ [x / y, 1, (1 - x - y) / y])


def _linear(picture: Array) -> Array:
    return np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)


def _encoded(light: Array) -> Array:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


FAULTS: dict[str, Fault] = {
    "right": Fault(),
    "2 px off": Fault(shift=2),
    "8 px off": Fault(shift=8),
    "30 px off": Fault(shift=30),
    "turned by 1 degree": Fault(turn=1),
    "turned by 3 degrees": Fault(turn=3),
    "10 % darker": Fault(light=darker(0.1)),
    "20 % darker": Fault(light=darker(0.2)),
    "40 % darker": Fault(light=darker(0.4)),
    "800 K warmer": Fault(light=warmer(800)),
    "blurred": Fault(blur=2),
    "painted over in three spots": Fault(spots=3),
    "all at once": Fault(8, 1, lambda picture: darker(0.2)(warmer(800)(picture)), 2),
}
#: Ways to mend, as keywords of the loader and of the mended plate, by the flags that choose them.
MENDINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "`--match-plate`": {"match": True},
    "`--preprocess-alignment`": {"align": "frame"},
    "`--preprocess-alignment static`": {"align": "static"},
    "both": {"align": "frame", "match": True},
    "`--mend-plate`": {"mend": True},
}
#: Frames that are read in one go, which aligning and matching learn from; mending sees all.
_READ = 3


def make_shot(index: int, height: int, width: int, *, frames: int) -> Shot:
    """Draw clip ``index``: a subject that moves across a scene."""
    rng = np.random.default_rng([SEED, index])
    tall, wide = round(height * _MARGIN), round(width * _MARGIN)
    place = cv2.GaussianBlur(scene(rng, tall, wide), (0, 0), _SOFTNESS)
    canvas = Canvas(height, width)
    draw_subject(rng, canvas, None)
    behind = middle(place, height, width)
    pictures, alphas = [], []
    for x in np.linspace(-0.25, 0.25, frames) * width:
        move = np.array([[1, 0, x], [0, 1, 0.02 * width * np.sin(x)]])
        colour, pha = (
            cv2.warpAffine(p, move, (width, height)) for p in (canvas.colour, canvas.alpha)
        )
        picture = colour + (1 - pha[..., None]) * behind
        pictures.append(levels(picture + _noise(rng, picture)))
        alphas.append(pha.clip(0, 1))
    return Shot(np.stack(pictures), np.stack(alphas), place, _noise(rng, behind))


def _noise(rng: Rng, picture: Array) -> Array:
    return _NOISE * rng.standard_normal(picture.shape, dtype=np.float32)


def middle(picture: Array, height: int, width: int) -> Array:
    """The middle of a larger picture."""
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def levels(picture: Array) -> Array:
    """[0, 1] as uint8."""
    return np.rint(255 * picture.clip(0, 1)).astype(np.uint8)


def last_alpha(matter: Predictor, shot: Shot, plate: Array, mending: dict[str, Any]) -> Array:
    """Alpha (H, W) of the last frame, as found with a plate and a way to mend it."""
    feed = DeviceFeed(matter.device)
    ways = dict(mending)
    bgr: FrameSource = MemorySource(plate[None], "plate", still=True)
    if ways.pop("mend", False):
        bgr = repaired_plate(MemorySource(shot.frames, "clip"), bgr, matter, warn=_hush, **ways)
    read = np.linspace(0, len(shot.frames) - 1, _READ).round().astype(int)
    with PairLoader(MemorySource(shot.frames[read], "clip"), bgr, warn=_hush, **ways) as loader:
        *_, last = loader
    frames = feed(last)
    return np.asarray(matter(frames.src, frames.bgr).pha[0, 0].cpu().numpy())


def _hush(message: str) -> None:
    """Takes a warning, and does nothing with it."""


def measure(
    *, clips: int, frames: int, size: tuple[int, int], device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """MAD x1000 inside of what the plate covers, by fault and by way to mend.

    It is that of the last frame, which has the whole clip behind it; the mean over all clips.

    Args:
        clips: How many to draw.
        frames: In each of them.
        size: (height, width) in pixels.
        device: Where to run the network.
    """
    matter = Predictor(load_network(None), torch.device(device), warn=_hush)
    errors: dict[tuple[str, str], list[float]] = {}
    for index in tqdm(range(clips), "clips", disable=None):
        shot = make_shot(index, *size, frames=frames)
        for fault_name, fault in FAULTS.items():
            plate, covered = fault.plate(shot), fault.covered(*size)
            for name, mending in MENDINGS.items():
                found = last_alpha(matter, shot, plate, mending)
                error = mad(found[covered], shot.pha[-1][covered])
                errors.setdefault((fault_name, name), []).append(error)
    return {
        fault: {name: float(np.mean(errors[fault, name])) for name in MENDINGS} for fault in FAULTS
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as Markdown."""
    lines = [f"| the plate is | {' | '.join(MENDINGS)} |", "| --- |" + " --- |" * len(MENDINGS)]
    for fault, row in figures.items():
        cells = " | ".join(f"{row[name]:.1f}" for name in MENDINGS)
        lines.append(f"| {fault} | {cells} |")
    return "\n".join(lines)
