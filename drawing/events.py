"""Drawn clips in which the part of the frame that shows something is small, or comes and goes."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np

from .arrays import Array, Rng, to_uint8
from .canvas import Canvas
from .fields import colour, noise
from .materials import skin
from .people import draw_person
from .scenes import scene

#: No training run uses this seed.
SEED = 2_000_000_099
#: What happens in a clip.
Event = Literal["far", "ball", "enters", "hand", "two", "smoke"]
EVENTS: tuple[Event, ...] = get_args(Event)
#: Standard deviation of the camera's noise, in [0, 1], and of its blur, in pixels.
_NOISE_SIGMA, _BLUR_SIGMA = 1.5 / 255, 0.7
#: Persons that are drawn until one is not cut off by the frame.
_ATTEMPTS = 12


class EventFrame(NamedTuple):
    """A frame (H, W, 3), its plate (H, W, 3) and its alpha (H, W), uint8."""

    src: Array
    bgr: Array
    pha: Array


#: Colour times alpha (H, W, 3), and alpha (H, W).
_Layer = tuple[Array, Array]
#: From the time in [0, 1] to what is before the scene then.
_Stage = Callable[[float], _Layer]


def make_event(
    event: Event, index: int, size: tuple[int, int], *, frames: int
) -> Iterator[EventFrame]:
    """Draw a clip.

    Args:
        event: What happens: a person far away walks; a ball is thrown past a person; a person
            enters at the side; a hand comes in from below; two people walk apart; smoke rises.
        index: Position in the set of clips.
        size: (height, width) of a frame.
        frames: Number of frames.
    """
    rng = np.random.default_rng([SEED, EVENTS.index(event), index])
    background = cv2.GaussianBlur(scene(rng, *size), (0, 0), _BLUR_SIGMA)
    plate = to_uint8(background + _noise(rng, background))
    draw = _STAGES[event](rng, size)
    for time in np.linspace(0, 1, frames):
        shown, pha = draw(float(time))
        image = shown + (1 - pha[..., None]) * background
        yield EventFrame(to_uint8(image + _noise(rng, image)), plate, to_uint8(pha))


def _noise(rng: Rng, image: Array) -> Array:
    return _NOISE_SIGMA * rng.standard_normal(image.shape, dtype=np.float32)


def _person(rng: Rng, size: tuple[int, int]) -> _Layer:
    """A person, cut out closely; where one of a few fits into the frame, with feet and hands."""
    for _ in range(_ATTEMPTS):
        canvas = Canvas(*size)
        draw_person(rng, canvas, None)
        if not (canvas.alpha[[0, -1]].any() or canvas.alpha[:, [0, -1]].any()):
            break
    x, y, width, height = cv2.boundingRect((canvas.alpha > 0).astype(np.uint8))
    part = np.s_[y : y + height, x : x + width]
    return canvas.colour[part], canvas.alpha[part].clip(0, 1)


def _placed(layer: _Layer, size: tuple[int, int], *, tall: float, x: float, foot: float) -> _Layer:
    """A layer that is ``tall`` frames high, with its middle at ``x`` and its foot at ``foot``."""
    scale = tall * size[0] / len(layer[1])
    small = [
        cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for part in layer
    ]
    height, width = small[1].shape
    move = np.array([[1, 0, x * size[1] - width / 2], [0, 1, foot * size[0] - height]])
    shown, alpha = (cv2.warpAffine(part, move, size[::-1]) for part in small)
    return shown, alpha


def _over(front: _Layer, behind: _Layer) -> _Layer:
    rest = 1 - front[1]
    return front[0] + rest[..., None] * behind[0], front[1] + rest * behind[1]


def _far(rng: Rng, size: tuple[int, int]) -> _Stage:
    person = _person(rng, size)
    return lambda t: _placed(person, size, tall=0.12, x=0.3 + 0.4 * t, foot=0.6)


def _ball(rng: Rng, size: tuple[int, int]) -> _Stage:
    person, paint = _person(rng, size), colour(rng)
    radius, shutter = 0.008 * size[1], 0.02

    def draw(t: float) -> _Layer:
        times = np.array([t - shutter, t + shutter])
        path = np.stack(
            [(0.2 + 0.75 * times) * size[1], (0.5 - 1.6 * times * (1 - times)) * size[0]], 1
        )
        canvas = Canvas(*size)
        canvas.paint(canvas.limb(path, [radius, radius]), paint)
        return _over(
            (canvas.colour, canvas.alpha), _placed(person, size, tall=0.5, x=0.15, foot=0.95)
        )

    return draw


def _enters(rng: Rng, size: tuple[int, int]) -> _Stage:
    person = _person(rng, size)
    return lambda t: _placed(person, size, tall=0.6, x=-0.2 + 0.45 * t, foot=1.0)


def _hand(rng: Rng, size: tuple[int, int]) -> _Stage:
    flesh = skin(rng, Canvas(*size))
    x, lean = rng.uniform(0.3, 0.7), rng.uniform(-0.1, 0.1)
    tips = np.array([[-0.03, -0.1], [-0.01, -0.12], [0.01, -0.12], [0.03, -0.1]])
    fingers = tips + rng.uniform(-0.03, 0.03, tips.shape)

    def draw(t: float) -> _Layer:
        canvas, wide = Canvas(*size), np.array(size[::-1])
        wrist = np.array([x + lean * t, 1.05 - 0.4 * t])
        arm = np.array([[x, 1.2], wrist]) * wide
        canvas.paint(canvas.limb(arm, [0.03 * size[1], 0.022 * size[1]]), flesh)
        for finger in fingers:
            line = np.array([wrist, wrist + finger]) * wide
            canvas.paint(canvas.limb(line, [0.01 * size[1], 0.006 * size[1]]), flesh)
        return canvas.colour, canvas.alpha

    return draw


def _two(rng: Rng, size: tuple[int, int]) -> _Stage:
    one, other = _person(rng, size), _person(rng, size)
    return lambda t: _over(
        _placed(one, size, tall=0.45, x=0.4 - 0.25 * t, foot=0.95),
        _placed(other, size, tall=0.4, x=0.6 + 0.25 * t, foot=0.9),
    )


def _smoke(rng: Rng, size: tuple[int, int]) -> _Stage:
    cloud, x = noise(rng, 2 * size[0], size[1], cells=8, decay=0.6), rng.uniform(0.35, 0.65)
    down, across = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]

    def draw(t: float) -> _Layer:
        rises = round(t * size[0] * 0.5)
        width = 0.06 + 0.12 * (1 - down)
        plume = np.exp(-(((across - x) / width) ** 2)) * (down > 0.9 - 0.6 * t)
        field = cloud[rises : rises + size[0]]
        alpha = (0.9 * plume * (2 * field - 0.4).clip(0, 1)).astype(np.float32)
        alpha = cv2.GaussianBlur(alpha, (0, 0), 0.006 * size[1])
        return np.float32(0.75) * np.repeat(alpha[..., None], 3, 2), alpha

    return draw


_STAGES: dict[Event, Callable[[Rng, tuple[int, int]], _Stage]] = {
    "far": _far,
    "ball": _ball,
    "enters": _enters,
    "hand": _hand,
    "two": _two,
    "smoke": _smoke,
}
