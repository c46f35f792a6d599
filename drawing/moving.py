"""Frames of a subject that moves through a drawn scene."""

from collections.abc import Iterator

import cv2
import numpy as np

from . import camera
from .arrays import Array, Rng, to_uint8
from .canvas import Canvas
from .scenes import scene
from .subjects import draw_subject

#: Length of a clip with a plate fault, and the (height, width) of all frames.
FRAMES, SIZE = 5, (216, 384)
#: A scene is this many times as large as a frame, so that a moved camera still sees it.
_SCENE_SCALE = 1.25


def empty_scene(rng: Rng) -> Array:
    """An empty scene (H, W, 3), ``_SCENE_SCALE`` times as large as a frame."""
    height, width = (round(_SCENE_SCALE * side) for side in SIZE)
    return scene(rng, height, width)


def view(background: Array, move: Array) -> Array:
    """The frame (H, W, 3) that shows the middle of ``background`` after a camera motion.

    Args:
        background: From :func:`empty_scene`.
        move: (3, 3), homography in pixels of the frame.
    """
    height, width = SIZE
    middle = np.array(
        [
            [1, 0, -(_SCENE_SCALE - 1) / 2 * width],
            [0, 1, -(_SCENE_SCALE - 1) / 2 * height],
            [0, 0, 1],
        ]
    )
    return cv2.warpPerspective(
        background,
        move @ middle,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def empty_view(rng: Rng) -> Array:
    """A frame (H, W, 3) of an empty scene."""
    return view(empty_scene(rng), np.eye(3))


def walk(rng: Rng, colour: Array, alpha: Array, reach: float, length: int) -> tuple[Array, Array]:
    """Move a subject across ``reach`` of the frame's width in ``length`` frames, swaying.

    Args:
        rng: Source of randomness.
        colour: (H, W, 3), colour times alpha.
        alpha: (H, W) in [0, 1].
        reach: Distance as a share of the width.
        length: Number of frames T.

    Returns:
        Colour times alpha (T, H, W, 3), and alpha (T, H, W).
    """
    height, width = SIZE
    along = np.linspace(-0.5, 0.5, length) * rng.choice([-1, 1])
    xs = reach * width * (along + rng.normal(0, 0.25 / length, length))
    ys, turns = rng.normal(0, 0.01, length) * height, rng.normal(0, 2, length)
    if length > FRAMES:  # smooth motion in a long clip
        ys, turns = (np.convolve(x, np.ones(9) / 9, "same") for x in (ys, turns))
    parts = []
    for x, y, turn in zip(xs, ys, turns, strict=True):
        matrix = cv2.getRotationMatrix2D((width / 2, height), turn, 1)
        matrix[:, 2] += np.array([x, y])
        parts.append([cv2.warpAffine(part, matrix, (width, height)) for part in (colour, alpha)])
    return np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])


def shoot(
    rng: Rng, background: Array, colour: Array, alpha: Array, *, wear: float, depth: float
) -> Array:
    """One frame (H, W, 3), uint8, in which the subject casts a soft shadow.

    Args:
        rng: Source of randomness.
        background: (H, W, 3) in [0, 1].
        colour: (H, W, 3), the subject's colour times alpha.
        alpha: (H, W) in [0, 1].
        wear: Strength of noise and compression, as in :func:`drawing.camera.record`.
        depth: Share of light that the shadow takes away, in [0, 1].
    """
    height, width = SIZE
    shift = np.array([[1, 0, 0.04 * width], [0, 1, 0.03 * height]])
    cast = cv2.GaussianBlur(cv2.warpAffine(alpha, shift, (width, height)), (0, 0), 0.015 * width)
    behind = background * (1 - depth * cast)[..., None]
    image = colour + (1 - alpha[..., None]) * behind
    return to_uint8(camera.record(rng, image.astype(np.float32), strength=wear))


#: Seed and length of :func:`moving_clip`.
_MOVING_SEED, _MOVING_FRAMES = 2_000_000_063, 24


def moving_clip(index: int, kind: str) -> Iterator[tuple[Array, Array, Array]]:
    """A clip of one subject before one plate.

    Args:
        index: Position in the set of clips.
        kind: ``stays``, ``walks``, or ``hand-held``, where frame and plate shake together.

    Yields:
        Of each frame: the frame (H, W, 3), its plate (H, W, 3) and its alpha (H, W), uint8.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_MOVING_SEED, index])))
    background = empty_view(rng)
    subject = Canvas(*SIZE)
    draw_subject(rng, subject, None)
    reach = {"stays": 0.02, "walks": 0.4, "hand-held": 0.02}[kind]
    colours, alphas = walk(
        rng, subject.colour.clip(0, 1), subject.alpha.clip(0, 1), reach, _MOVING_FRAMES
    )
    plate = to_uint8(background)
    for frame, (colour, alpha) in enumerate(zip(colours, alphas, strict=True)):
        src = shoot(rng, background, colour, alpha, wear=0.5, depth=0.2)
        pha, bgr = to_uint8(alpha), plate
        if kind == "hand-held":
            shift = np.round(3 * np.sin([frame * 0.9, frame * 1.3])).astype(int)
            src, bgr, pha = (np.roll(x, shift, axis=(0, 1)) for x in (src, bgr, pha))
        yield src, bgr, pha
