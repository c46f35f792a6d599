"""One training sample: a frame, its plate, and the truth. A pure function of (seed, index)."""

from dataclasses import dataclass

import cv2
import numpy as np

from . import degrade
from .canvas import Canvas
from .subjects import (
    draw_animal,
    draw_cord,
    draw_glossy_thing,
    draw_lead,
    draw_pied_animal,
    draw_subject,
    draw_thing,
)
from .textures import Array, Rng, scene, texture

#: The share of samples that show a plain thing before a plain wall.
PLAIN = 0.12
#: The share of other samples whose plate is the scene but for a little noise.
CLEAN = 0.3
#: The share of shaded samples that show animals, mostly, on pale ground.
GROUND = 0.4
#: The share of shaded samples that show subjects and glossy things in dark places.
DARK = 0.15
#: The share of subjects alike to what is behind them that stand in the dark.
DIM = 0.2


@dataclass(frozen=True)
class Sample:
    """A frame with its plate and the truth, float32 in [0, 1].

    Attributes:
        src: (H, W, 3), the frame.
        bgr: (H, W, 3), the plate.
        pha: (H, W), the true alpha.
        fgr: (H, W, 3), the true foreground; meaningless where ``pha`` is 0.
        clean: No drift, no shift, no shadow: the plate is the scene but for a little noise.
    """

    src: Array
    bgr: Array
    pha: Array
    fgr: Array
    clean: bool


def make_sample(
    seed: int,
    index: int,
    height: int,
    width: int,
    *,
    plain: float = PLAIN,
    clean: float = CLEAN,
    alike: float = 0,
    shaded: float = 0,
    ground: float = GROUND,
) -> Sample:
    """Make sample ``index`` of the endless set that ``seed`` names.

    Args:
        seed: Names the set: not negative.
        index: Position in the set: not negative.
        height: Rows in pixels.
        width: Columns in pixels.
        plain: The share of samples that show a plain thing before a plain wall.
        clean: The share of other samples that are clean; see :class:`Sample`.
        alike: The share of subjects with parts in the colours of what is behind them there.
        shaded: The share of subjects with a further shadow close by, unless the sample is clean;
            some of these are dark throughout.
        ground: The share of shaded samples that show animals, mostly, on pale ground.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
    kind = rng.random()
    honest = bool(rng.random() < clean)
    extra = np.random.default_rng([seed, index, 4])  # else it would change the other draws
    dimmed = extra if extra.random() < shaded else None
    if kind < plain:
        return _plain_sample(rng, height, width, dimmed)
    if dimmed is not None:
        where = dimmed.random()
        if where < ground:
            return _ground_sample(dimmed, height, width)
        if where > 1 - DARK:
            return _dark_sample(dimmed, height, width)
    place = scene(rng, height, width)
    if rng.random() < 0.08:  # in the bright sun
        place = 1 - rng.uniform(0.15, 0.6) * (1 - place)
    if rng.random() < 0.15:  # what looks like a subject belongs to the place: it is in both
        statue = Canvas(height, width)
        draw_subject(rng, statue, None)
        place = place * (1 - statue.alpha[..., None]) + statue.colour
    chance = np.random.default_rng([seed, index, 2])  # 1 and 3 crop and cut elsewhere
    similar = chance.random() < alike
    if similar and chance.random() < DIM:
        place = place * chance.uniform(0.05, 0.4)
    canvas = Canvas(height, width)
    if kind > plain + 0.06:  # else nobody is there
        _populate(rng, canvas, place)
        if similar:
            _liken(chance, canvas, place)
    light = None if dimmed is None else degrade.near_shadow(dimmed, canvas.alpha)
    return _photograph(rng, place, canvas, clean=honest, light=light)


def _populate(rng: Rng, canvas: Canvas, place: Array) -> None:
    for _ in range(int(rng.choice([1, 2, 3], p=[0.72, 0.2, 0.08]))):
        near = None
        if rng.random() < 0.25:  # colours close to what is behind
            y, x = rng.integers(canvas.height), rng.integers(canvas.width)
            near = place[y // 4 : y // 4 * 3 + 2, x // 4 : x // 4 * 3 + 2].mean(axis=(0, 1))
        draw_subject(rng, canvas, near)
    if rng.random() < 0.2:
        draw_cord(rng, canvas)
    if rng.random() < 0.06:  # camouflage: the stuff of another corner of the place
        shift = rng.integers(1, canvas.height), rng.integers(1, canvas.width)
        stuff = np.roll(place, shift, axis=(0, 1)) * rng.uniform(0.7, 1.3)
        canvas.colour = stuff.clip(0, 1) * canvas.alpha[..., None]
    _blur(rng, canvas)


def _blur(rng: Rng, canvas: Canvas) -> None:
    """Move the subject while the shutter is open, take it out of focus, or neither."""
    longest = max(canvas.height, canvas.width)
    blur = rng.random()
    if blur < 0.12:
        canvas.blur(degrade.motion_kernel(rng, longest * rng.uniform(0.005, 0.06)))
    elif blur < 0.4:  # out of focus
        sigma = rng.uniform(0.3, 0.004 * longest + 0.5)
        kernel = cv2.getGaussianKernel(2 * int(3 * sigma) + 1, sigma).astype(np.float32)
        canvas.blur(kernel @ kernel.T)


def _liken(rng: Rng, canvas: Canvas, place: Array) -> None:
    """Give parts of the subject the colours of what is behind them, as skin has before bricks.

    Every other time in another light: a white leg in its own shade looks like shaded ground.
    """
    height, width = canvas.alpha.shape
    coarse = rng.random(rng.integers((3, 4), (9, 12))).astype(np.float32)
    hills = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    spots = ((hills - rng.uniform(0.5, 0.85)) * rng.uniform(3, 20)).clip(0, 1)
    longest = max(height, width)
    behind = cv2.GaussianBlur(place, (0, 0), longest * rng.uniform(0.005, 0.1))
    if rng.random() < 0.5:
        behind = (behind * rng.uniform(0.5, 1.15)).clip(0, 1)
    share = (spots * rng.uniform(0.4, 1))[..., None]
    canvas.colour += share * (canvas.alpha[..., None] * behind - canvas.colour)


def _plain_sample(rng: Rng, height: int, width: int, dimmed: Rng | None) -> Sample:
    """A plain thing before a plain wall, little apart in colour, under an honest camera.

    ``dimmed`` draws any subject instead, about every other time, and a soft shadow on the wall:
    no edge tells the faint one from the thing of another sample, but for its sharpness.
    """
    wall = rng.uniform(0.05, 0.95, 3) if rng.random() < 0.5 else np.repeat(rng.uniform(0, 1), 3)
    apart = rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(7), np.log(60))) / 255
    tint = 1.0 if rng.random() < 0.5 else rng.uniform(0.3, 1, 3)
    place: Array = np.broadcast_to(wall, (height, width, 3)).astype(np.float32)
    if rng.random() < 0.3:
        place = place + rng.uniform(0, 0.2) * (texture(rng, height, width) - 0.5)
        place = place.clip(0, 1).astype(np.float32)
    canvas = Canvas(height, width)
    if dimmed is not None and dimmed.random() < 0.5:
        _populate(dimmed, canvas, place)
    elif rng.random() < 0.85:
        shape = Canvas(height, width)
        draw_thing(rng, shape, None)
        paint = place + apart * tint if rng.random() < 0.5 else wall + apart * tint
        canvas.paint(shape.alpha.clip(0, 1), np.float32(paint).clip(0, 1))
    light = None if dimmed is None else degrade.near_shadow(dimmed, canvas.alpha)
    return _photograph(rng, place, canvas, clean=light is None, light=light)


def _ground_sample(rng: Rng, height: int, width: int) -> Sample:
    """Animals mostly, on pale ground that they shadow faintly, and leads that lie on it."""
    place = 1 - rng.uniform(0.05, 0.35) * (1 - scene(rng, height, width))
    middle = place.mean(axis=(0, 1))
    place = middle + rng.uniform(0.1, 1) * (place - middle)  # some of it as good as plain
    canvas = Canvas(height, width)
    light = np.ones((height, width, 3), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        near = place.mean(axis=(0, 1)) if rng.random() < 0.5 else None
        kind = rng.random()
        if kind < 0.55:
            draw_pied_animal(rng, canvas, middle, least=0.04)
        elif kind < 0.8:
            draw_animal(rng, canvas, near, least=0.03)
        else:
            draw_subject(rng, canvas, near)
        for _ in range(int(rng.integers(1, 3))):  # a soft one, and a dark one at its feet
            light *= degrade.near_shadow(rng, canvas.alpha)
    if rng.random() < 0.6:
        _liken(rng, canvas, place)
    for _ in range(int(rng.integers(0, 3))):
        draw_lead(rng, canvas)
    _blur(rng, canvas)
    return _photograph(rng, place, canvas, clean=False, light=light)


def _dark_sample(rng: Rng, height: int, width: int) -> Sample:
    """Subjects with glossy things in a place that is nearly black."""
    place = rng.uniform(0, 0.05) + rng.uniform(0.03, 0.3) * scene(rng, height, width)
    canvas = Canvas(height, width)
    for _ in range(int(rng.integers(0, 3))):
        draw_subject(rng, canvas, place.mean(axis=(0, 1)) if rng.random() < 0.5 else None)
    for _ in range(int(rng.integers(1, 3))):
        draw_glossy_thing(rng, canvas)
    light = degrade.near_shadow(rng, canvas.alpha) if rng.random() < 0.5 else None
    if rng.random() < 0.5:
        _liken(rng, canvas, place)
    _blur(rng, canvas)
    return _photograph(rng, place, canvas, clean=False, light=light)


def _photograph(
    rng: Rng, place: Array, canvas: Canvas, *, clean: bool, light: Array | None = None
) -> Sample:
    pha = canvas.alpha.clip(0, 1)
    covered = pha[..., None]
    fgr = np.where(covered > 1e-3, canvas.colour / np.maximum(covered, 1e-3), 0).clip(0, 1)
    behind, plate = place, place
    if not clean:
        behind, plate = _differ(rng, place, canvas)
        if light is not None:
            behind = behind * light
    src = fgr * covered + behind * (1 - covered)
    wear = rng.uniform(0, 0.5 if clean else 1) * (rng.random() < 0.9) * canvas.fineness
    if not clean and rng.random() < 0.6:
        strength = rng.uniform(0.2, 1.6)
        plate = degrade.expose(rng, plate, strength=strength)
    return Sample(
        src=degrade.record(rng, src, strength=wear),
        bgr=degrade.record(rng, plate, strength=wear),
        pha=pha.astype(np.float32),
        fgr=fgr.astype(np.float32),
        clean=clean,
    )


def _differ(rng: Rng, place: Array, canvas: Canvas) -> tuple[Array, Array]:
    """The scene behind the subject and the scene of the plate, which no longer agree."""
    behind, plate = place, place
    longest = max(place.shape[:2])
    if rng.random() < 0.65:
        pixels = longest * np.exp(rng.uniform(np.log(0.0005), np.log(0.009)))
        plate = degrade.reframe(rng, plate, pixels=pixels)
    if rng.random() < 0.15:
        plate = degrade.sway(rng, plate, pixels=longest * rng.uniform(0.002, 0.012))
    if rng.random() < 0.5:
        behind = behind * degrade.shadow(rng, canvas.alpha)[..., None]
    if rng.random() < 0.06:
        colour, alpha = degrade.reflection(rng, canvas.colour, canvas.alpha)
        behind = behind * (1 - alpha[..., None]) + colour
    if rng.random() < 0.04:  # something was carried away after the plate was taken
        left = Canvas(*place.shape[:2])
        draw_thing(rng, left, None)
        spot = left.alpha.clip(0, 1)
        if spot.mean() < 0.03:
            plate = plate * (1 - spot[..., None]) + left.colour
    if rng.random() < 0.3:  # a softer or sharper plate
        sigma = longest * rng.uniform(0.0005, 0.004)
        soft = [cv2.GaussianBlur(part, (0, 0), sigma) for part in (behind, plate)]
        behind, plate = (behind, soft[1]) if rng.random() < 0.5 else (soft[0], plate)
    return behind, plate
