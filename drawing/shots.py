"""Drawn clips with good plates and with plates of a known fault, a function of (seed, index)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from . import camera
from .arrays import Array, Rng, to_uint8
from .canvas import Canvas
from .moving import FRAMES, SIZE, empty_scene, empty_view, shoot, view, walk
from .subjects import draw_subject

Fault = Literal["good", "scene", "camera", "exposure", "subject"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

#: Minimum change of the plate by a fault and by a subject, in levels of 255, and the share of
#: pixels that must change by that much.
_MIN_LEVELS, _MIN_GHOST_LEVELS, _MIN_SHARE = 10, 30, 0.02


@dataclass(frozen=True)
class Shot:
    """A short clip with a plate.

    Attributes:
        fault: The fault of the plate.
        frames: (T, H, W, 3), uint8.
        plate: (H, W, 3), uint8.
    """

    fault: Fault
    frames: Array
    plate: Array


def make_shots(seed: int, index: int) -> Iterator[Shot]:
    """One clip with a plate of each class, in the order of ``FAULTS``.

    A clip is redrawn if a fault leaves no trace, such as a camera motion before a plain wall. Each
    fault must change 2 % of the plate's pixels by at least 10 levels; a subject in the plate must
    change them by 30, where most frames show the empty scene.

    Args:
        seed: Identifies the set; not negative.
        index: Position in the set; not negative.
    """
    for attempt in range(100):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, attempt])))
        shots = _draw_shots(rng)
        if shots is not None:
            yield from shots
            return
    raise AssertionError("100 scenes in a row where a fault leaves no trace")


def _draw_shots(rng: Rng) -> list[Shot] | None:
    """The clip with all its plates; None if a fault leaves no trace."""
    background, other = empty_scene(rng), empty_view(rng)
    here = view(background, np.eye(3))
    subject = _subject(rng)
    if subject is None:
        return None
    reach = rng.uniform(0, 0.03) if rng.random() < 0.3 else rng.uniform(0.15, 0.6)
    colours, alphas = walk(rng, *subject, reach, FRAMES)
    ghost = _ghost(rng, colours, alphas)
    plates: dict[Fault, Array] = {
        "good": here,
        "scene": other,
        "camera": view(background, _camera_motion(rng)),
        "exposure": _exposed(rng, here),
        "subject": here * (1 - ghost[1][..., None]) + ghost[0],
    }
    for fault, plate in plates.items():
        levels = _MIN_GHOST_LEVELS if fault == "subject" else _MIN_LEVELS
        changed = np.abs(plate - here).max(axis=2) * 255 >= levels
        if fault == "subject":  # where most frames show the empty scene
            changed &= np.median(alphas, axis=0) < 0.1
        if fault != "good" and changed.mean() < _MIN_SHARE:
            return None
    wear, depth = rng.uniform(0, 0.6), rng.uniform(0, 0.5) * (rng.random() < 0.6)
    frames = np.stack(
        [
            shoot(rng, here, c, a, wear=wear, depth=depth)
            for c, a in zip(colours, alphas, strict=True)
        ]
    )
    return [
        Shot(
            fault,
            frames,
            to_uint8(camera.record(rng, _accurate(rng, plates[fault]), strength=wear)),
        )
        for fault in FAULTS
    ]


def _camera_motion(rng: Rng) -> Array:
    """A homography (3, 3) of a bumped camera: 0.5 to 6 % of the width, up to about 3 degrees."""
    height, width = SIZE
    angle, distance = rng.uniform(0, 2 * np.pi), width * np.exp(rng.uniform(*np.log([0.005, 0.06])))
    centre = (width / 2, height / 2)
    turn = cv2.getRotationMatrix2D(centre, rng.normal(0, 1.0), 1 + rng.normal(0, 0.01))
    turn[:, 2] += np.array([distance * np.cos(angle), distance * np.sin(angle)])
    tilt = rng.normal(0, 1e-5, 2)
    return np.vstack([turn, [*tilt, 1 - tilt @ centre]])


def _exposed(rng: Rng, image: Array) -> Array:
    """10 to 40 % darker or correspondingly brighter, 800 to 2500 K warmer or cooler, or both."""
    gain = np.ones(3)
    kind = rng.integers(3)
    if kind != 1:
        gain *= rng.uniform(0.6, 0.9) ** rng.choice([-1, 1])
    if kind != 0:  # 800 K from 5500 K changes red relative to blue by about 13 %
        gain *= np.exp(rng.uniform(0.06, 0.2) * rng.choice([-1, 1]) * np.array([1, 0.1, -1]))
    return (image * gain).clip(0, 1).astype(np.float32)


def _subject(rng: Rng) -> tuple[Array, Array] | None:
    """Colour times alpha (H, W, 3) and alpha (H, W); None if it is too small or too large."""
    canvas = Canvas(*SIZE)
    draw_subject(rng, canvas, None)
    alpha = canvas.alpha.clip(0, 1)
    return (canvas.colour.clip(0, 1), alpha) if 0.02 < alpha.mean() < 0.5 else None


def _ghost(rng: Rng, colours: Array, alphas: Array) -> tuple[Array, Array]:
    """The subject in the plate: the clip's own as in one of the frames, or another one."""
    if rng.random() < 0.5:
        number = int(rng.integers(FRAMES))
        return colours[number], alphas[number]
    canvas = Canvas(*SIZE)
    draw_subject(rng, canvas, None)
    return canvas.colour.clip(0, 1), canvas.alpha.clip(0, 1)


def _accurate(rng: Rng, plate: Array) -> Array:
    """The plate with the errors of good ones: 1 to 2 % of gain, about 0.2 pixels of shift."""
    shift = np.array([[1, 0, rng.normal(0, 0.08)], [0, 1, rng.normal(0, 0.08)]])
    moved = cv2.warpAffine(plate, shift, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
    return moved * (1 + rng.normal(0, 0.01) + rng.normal(0, 0.004, 3)).astype(np.float32)
