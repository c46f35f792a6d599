"""Drawn clips whose plates are good, or wrong in a known way. A pure function of (seed, index)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from . import degrade
from .canvas import Canvas
from .subjects import draw_subject
from .textures import Array, Rng, scene

Fault = Literal["good", "scene", "camera", "exposure", "subject"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

#: Frames of a clip, and (height, width) of their pictures.
FRAMES, SIZE = 5, (216, 384)
#: A place is drawn this many times as large as a frame, so that a camera can turn to the rest.
_ROOM = 1.25
#: Levels by which a fault, or a subject, has to change the plate, and in what share of it.
_LEVELS, _GHOST_LEVELS, _SHARE = 10, 30, 0.02


@dataclass(frozen=True)
class Shot:
    """A short clip with a plate.

    Attributes:
        fault: What is wrong with the plate.
        frames: (T, H, W, 3), uint8.
        plate: (H, W, 3), uint8.
    """

    fault: Fault
    frames: Array
    plate: Array


def make_shots(seed: int, index: int) -> Iterator[Shot]:
    """One clip with a plate of each class, in the order of ``FAULTS``.

    A clip is drawn again where a fault would leave no trace, as when the camera pans over a plain
    wall: each has to change 2 % of the plate's pixels by 10 levels or more; a subject by 30, where
    most frames show the empty place.

    Args:
        seed: Names the set: not negative.
        index: Position in the set: not negative.
    """
    for attempt in range(100):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, attempt])))
        shots = _try(rng)
        if shots is not None:
            yield from shots
            return
    raise AssertionError("a hundred places in a row without a trace of a fault")


def _try(rng: Rng) -> list[Shot] | None:
    place, other = _place(rng), place_frame(rng)
    here = _frame_of(place, np.eye(3))
    subject = _subject(rng)
    if subject is None:
        return None
    reach = rng.uniform(0, 0.03) if rng.random() < 0.3 else rng.uniform(0.15, 0.6)
    colours, alphas = walk(rng, *subject, reach, FRAMES)
    ghost = _ghost(rng, colours, alphas)
    plates: dict[Fault, Array] = {
        "good": here,
        "scene": other,
        "camera": _frame_of(place, _move(rng)),
        "exposure": _exposed(rng, here),
        "subject": here * (1 - ghost[1][..., None]) + ghost[0],
    }
    for fault, plate in plates.items():
        levels = _GHOST_LEVELS if fault == "subject" else _LEVELS
        apart = np.abs(plate - here).max(axis=2) * 255 >= levels
        if fault == "subject":  # where the clip shows the empty place most of the time
            apart &= np.median(alphas, axis=0) < 0.1
        if fault != "good" and apart.mean() < _SHARE:
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
            fault, frames, _levels(degrade.record(rng, _nearly(rng, plates[fault]), strength=wear))
        )
        for fault in FAULTS
    ]


def place_frame(rng: Rng) -> Array:
    """What a camera sees of an empty place: (H, W, 3)."""
    return _frame_of(_place(rng), np.eye(3))


def _place(rng: Rng) -> Array:
    """An empty place (H, W, 3), ``_ROOM`` times as large as a frame."""
    height, width = (round(_ROOM * side) for side in SIZE)
    return scene(rng, height, width)


def _frame_of(place: Array, move: Array) -> Array:
    """What a camera sees of a place: its middle, after ``move`` (3, 3) in pixels of the frame."""
    height, width = SIZE
    middle = np.array(
        [[1, 0, -(_ROOM - 1) / 2 * width], [0, 1, -(_ROOM - 1) / 2 * height], [0, 0, 1]]
    )
    return cv2.warpPerspective(
        place,
        move @ middle,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def _move(rng: Rng) -> Array:
    """A camera that was bumped or hand-held: 0.5 to 6 % of the width, and up to 3 degrees."""
    height, width = SIZE
    angle, way = rng.uniform(0, 2 * np.pi), width * np.exp(rng.uniform(*np.log([0.005, 0.06])))
    centre = (width / 2, height / 2)
    turn = cv2.getRotationMatrix2D(centre, rng.normal(0, 1.0), 1 + rng.normal(0, 0.01))
    turn[:, 2] += np.array([way * np.cos(angle), way * np.sin(angle)])
    tilt = rng.normal(0, 1e-5, 2)
    return np.vstack([turn, [*tilt, 1 - tilt @ centre]])


def _exposed(rng: Rng, picture: Array) -> Array:
    """10 to 40 % darker or as much brighter, or 800 to 2500 K warmer or cooler, or both."""
    gain = np.ones(3)
    kind = rng.integers(3)
    if kind != 1:
        gain *= rng.uniform(0.6, 0.9) ** rng.choice([-1, 1])
    if kind != 0:  # from 5500 K, red to blue changes by about 13 % on 800 K
        gain *= np.exp(rng.uniform(0.06, 0.2) * rng.choice([-1, 1]) * np.array([1, 0.1, -1]))
    return (picture * gain).clip(0, 1).astype(np.float32)


def _subject(rng: Rng) -> tuple[Array, Array] | None:
    """Colour times alpha (H, W, 3) and alpha (H, W) of a subject; None for too small or large."""
    canvas = Canvas(*SIZE)
    draw_subject(rng, canvas, None)
    alpha = canvas.alpha.clip(0, 1)
    return (canvas.colour.clip(0, 1), alpha) if 0.02 < alpha.mean() < 0.5 else None


def walk(rng: Rng, colour: Array, alpha: Array, reach: float, length: int) -> tuple[Array, Array]:
    """A subject that crosses ``reach`` of the frame's width in ``length`` frames, and sways.

    Returns:
        Colour times alpha (T, H, W, 3) and alpha (T, H, W).
    """
    height, width = SIZE
    along = np.linspace(-0.5, 0.5, length) * rng.choice([-1, 1])
    xs = reach * width * (along + rng.normal(0, 0.25 / length, length))
    ys, turns = rng.normal(0, 0.01, length) * height, rng.normal(0, 2, length)
    if length > FRAMES:  # these follow each other closely
        ys, turns = (np.convolve(x, np.ones(9) / 9, "same") for x in (ys, turns))
    parts = []
    for x, y, turn in zip(xs, ys, turns, strict=True):
        matrix = cv2.getRotationMatrix2D((width / 2, height), turn, 1)
        matrix[:, 2] += np.array([x, y])
        parts.append([cv2.warpAffine(part, matrix, (width, height)) for part in (colour, alpha)])
    return np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])


def _ghost(rng: Rng, colours: Array, alphas: Array) -> tuple[Array, Array]:
    """Who stands in the plate: the subject as in one of the frames, or somebody else."""
    if rng.random() < 0.5:
        number = int(rng.integers(FRAMES))
        return colours[number], alphas[number]
    canvas = Canvas(*SIZE)
    draw_subject(rng, canvas, None)
    return canvas.colour.clip(0, 1), canvas.alpha.clip(0, 1)


def _nearly(rng: Rng, plate: Array) -> Array:
    """What even good plates have: a gain off by a hundredth or two, a fifth of a pixel of shift."""
    shift = np.array([[1, 0, rng.normal(0, 0.08)], [0, 1, rng.normal(0, 0.08)]])
    moved = cv2.warpAffine(plate, shift, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
    return moved * (1 + rng.normal(0, 0.01) + rng.normal(0, 0.004, 3)).astype(np.float32)


def shoot(
    rng: Rng, place: Array, colour: Array, alpha: Array, *, wear: float, depth: float
) -> Array:
    """One frame (H, W, 3), uint8: the subject throws a soft shadow of this depth."""
    height, width = SIZE
    shift = np.array([[1, 0, 0.04 * width], [0, 1, 0.03 * height]])
    cast = cv2.GaussianBlur(cv2.warpAffine(alpha, shift, (width, height)), (0, 0), 0.015 * width)
    behind = place * (1 - depth * cast)[..., None]
    picture = colour + (1 - alpha[..., None]) * behind
    return _levels(degrade.record(rng, picture.astype(np.float32), strength=wear))


def _levels(picture: Array) -> Array:
    return np.round(255 * picture.clip(0, 1)).astype(np.uint8)
