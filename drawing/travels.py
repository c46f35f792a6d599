"""Drawn clips of a subject before a camera that pans, tilts, zooms or is held by hand."""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from .arrays import Array, Rng, to_uint8
from .canvas import Canvas
from .people import draw_person
from .scenes import scene
from .things import draw_thing

#: How a camera moves during a clip.
Motion = Literal["pan", "tilt", "zoom", "hand-held", "hand-held pan"]
MOTIONS: tuple[Motion, ...] = get_args(Motion)
#: The same, or not at all.
AnyMotion = Motion | Literal["still"]
Kind = Literal["person", "object"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Focal length as a multiple of the width: a field of view of 53 degrees.
_FOCAL = 1.0
#: A scene reaches this many frames in each direction, and is drawn this much finer than a frame.
_REACH, _FINENESS = 2.0, 1.25
#: Standard deviation of the camera's noise, in [0, 1], and of its blur, in pixels of the scene.
_NOISE_SIGMA, _BLUR_SIGMA = 1.5 / 255, 0.7
#: Each place is free in this share of the frames that show it, but for so few of the places.
_MIN_FREE, _MAX_HIDDEN = 0.1, 0.002


@dataclass(frozen=True)
class Travel:
    """A clip with its ground truth.

    Attributes:
        frames: (T, H, W, 3), uint8.
        plates: (T, H, W, 3), uint8: what the camera would show without the subject.
        pha: (T, H, W), uint8.
        homographies: (T, 3, 3), maps pixels of the first frame to those of each frame.
    """

    frames: Array
    plates: Array
    pha: Array
    homographies: Array


def make_travel(
    seed: int,
    index: int,
    motion: AnyMotion,
    kind: Kind,
    *,
    size: tuple[int, int],
    frames: int,
    parallax: float = 0.0,
    drift: float = 0.0,
) -> Travel:
    """Draw a clip; each place of the scene is free in a tenth of the frames that show it.

    Args:
        seed: Identifies the set; not negative.
        index: Position in the set; not negative.
        motion: What the camera does.
        kind: The subject.
        size: (height, width) in pixels.
        frames: Number of frames T.
        parallax: How far near things move against far ones, as a share of the width.
        drift: By how much the exposure rises until the last frame, as a share of the levels.
    """
    for attempt in range(100):
        rng = np.random.default_rng([seed, index, attempt])
        views = _views(rng, motion, size, frames)
        subject = _subject(rng, kind, size, frames)
        if subject is not None and _is_free_at_times(views, subject[1]):
            return _film(rng, views, subject, size, parallax, drift)
    raise AssertionError("100 subjects in a row that hide the scene")


def _views(rng: Rng, motion: AnyMotion, size: tuple[int, int], frames: int) -> Array:
    """Homographies (T, 3, 3) from pixels of a camera at rest to those of each frame."""
    t = np.linspace(-0.5, 0.5, frames)
    yaw, pitch, roll, zoom = np.zeros((4, frames))
    angle = np.arctan(0.4 / _FOCAL) * rng.uniform(0.6, 1) * rng.choice([-1, 1])
    if "pan" in motion:
        yaw += angle * t
    if motion == "tilt":
        pitch += angle * 0.6 * t
    if motion == "zoom":
        zoom += np.log(rng.uniform(1.2, 1.5)) * (t + 0.5) * rng.choice([-1, 1])
    if "hand-held" in motion:
        for axis, reach in ((yaw, 0.012), (pitch, 0.012), (roll, 0.008)):
            axis += _sway(rng, frames, reach)
        zoom += _sway(rng, frames, 0.003)
    views = []
    for n in range(frames):
        turn = _turn(yaw[n], 1) @ _turn(pitch[n], 0) @ _turn(roll[n], 2)
        views.append(_lens(size, np.exp(zoom[n])) @ turn @ np.linalg.inv(_lens(size, 1)))
    return np.stack([view / view[2, 2] for view in views])


def _sway(rng: Rng, frames: int, reach: float) -> Array:
    """A hand's sway (T,): a few slow waves and a little tremor, in radians."""
    t = np.arange(frames) / 30
    waves = [
        rng.normal(0, reach / speed**0.7) * np.sin(2 * np.pi * speed * t + rng.uniform(0, 6.3))
        for speed in rng.uniform((0.2, 0.6, 2, 5), (0.6, 2, 5, 9))
    ]
    return np.asarray(np.sum(waves, axis=0))


def _turn(angle: float, axis: int) -> Array:
    vector = np.zeros(3)
    vector[axis] = angle
    return np.asarray(cv2.Rodrigues(vector)[0])


def _lens(size: tuple[int, int], zoom: float) -> Array:
    height, width = size
    focal = _FOCAL * width * zoom
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def _subject(
    rng: Rng, kind: Kind, size: tuple[int, int], frames: int
) -> tuple[Array, Array] | None:
    """Colour times alpha (T, H, W, 3) and alpha (T, H, W); None if it is too small or too large."""
    canvas = Canvas(*size)
    (draw_person if kind == "person" else draw_thing)(rng, canvas, None)
    alpha, (height, width) = canvas.alpha.clip(0, 1), size
    if not 0.03 < alpha.mean() < 0.35:
        return None
    middle = (alpha.sum(axis=0) * np.arange(width)).sum() / alpha.sum()
    reach = rng.uniform(0.5, 0.8) * width * rng.choice([-1, 1])
    xs = (width - 1) / 2 - middle + np.linspace(-0.5, 0.5, frames) * reach
    xs += 2 * width * _sway(rng, frames, 0.01)
    ys, turns = height * _sway(rng, frames, 0.02), np.degrees(_sway(rng, frames, 0.04))
    colours, alphas = [], []
    for x, y, turn in zip(xs, ys, turns, strict=True):
        matrix = cv2.getRotationMatrix2D((float(middle), height), turn, 1)
        matrix[:, 2] += np.array([x, y])
        colours.append(cv2.warpAffine(canvas.colour, matrix, (width, height)))
        alphas.append(cv2.warpAffine(alpha, matrix, (width, height)).clip(0, 1))
    return np.stack(colours), np.stack(alphas)


def _is_free_at_times(views: Array, alphas: Array) -> bool:
    """Whether each place is free in a tenth of the frames that show it, nearly everywhere."""
    small, (height, width) = 8, alphas.shape[1:]
    shape = (int(_REACH * width / small), int(_REACH * height / small))
    shift = np.array([[1, 0, -0.25 * _REACH * width], [0, 1, -0.25 * _REACH * height], [0, 0, 1]])
    shrink = np.diag([small, small, 1]).astype(float)
    seen, free = np.zeros((2, *shape[::-1]), np.float32)
    for view, alpha in zip(views, alphas, strict=True):
        for total, image in (
            (seen, np.ones_like(alpha)),
            (free, (alpha < 0.02).astype(np.float32)),
        ):
            total += cv2.warpPerspective(
                image, view @ shift @ shrink, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            )
    hidden = (free < _MIN_FREE * seen) & (seen > 0)
    return bool(hidden.sum() <= _MAX_HIDDEN * (seen > 0).sum())


def _film(
    rng: Rng,
    views: Array,
    subject: tuple[Array, Array],
    size: tuple[int, int],
    parallax: float,
    drift: float,
) -> Travel:
    height, width = size
    tall, wide = (round(_REACH * _FINENESS * side) for side in size)
    far = cv2.GaussianBlur(scene(rng, tall, wide), (0, 0), _BLUR_SIGMA)
    near = Canvas(tall, wide)
    if parallax:
        for _ in range(4):
            draw_thing(rng, near, None)
    near_alpha = near.alpha.clip(0, 1)
    middle = np.array(  # from pixels of a camera at rest to those of the scene
        [
            [_FINENESS, 0, (wide - 1) / 2 - _FINENESS * (width - 1) / 2],
            [0, _FINENESS, (tall - 1) / 2 - _FINENESS * (height - 1) / 2],
            [0, 0, 1],
        ]
    )
    travel = parallax * width * _FINENESS * np.linspace(-0.5, 0.5, len(views))
    images: list[Array] = []
    plates: list[Array] = []
    for n, (view, colour, alpha) in enumerate(zip(views, *subject, strict=True)):
        to_frame = view @ np.linalg.inv(middle)
        plate = _shown(far, to_frame, size)
        if parallax:
            moved = to_frame @ np.array([[1, 0, travel[n]], [0, 1, 0], [0, 0, 1]])
            over = _shown(near_alpha, moved, size)[..., None]
            plate = plate * (1 - over) + _shown(near.colour, moved, size)
        light = 1 + drift * n / max(1, len(views) - 1)
        for kept, image in ((images, colour + (1 - alpha[..., None]) * plate), (plates, plate)):
            noise = _NOISE_SIGMA * rng.standard_normal(image.shape, dtype=np.float32)
            kept.append(to_uint8(light * image + noise))
    first = np.linalg.inv(views[0])
    return Travel(
        np.stack(images),
        np.stack(plates),
        to_uint8(subject[1]),
        np.stack([v @ first for v in views]),
    )


def _shown(image: Array, to_frame: Array, size: tuple[int, int]) -> Array:
    """What a frame (height, width) shows of a scene."""
    return cv2.warpPerspective(
        image, to_frame, size[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    ).clip(0, 1)
