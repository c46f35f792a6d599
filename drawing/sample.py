"""Training samples: a frame, its plate, and the truth. A pure function of (seed, index)."""

import cv2
import numpy as np

from . import camera, shadows
from .animals import draw_animal, draw_pied_animal
from .arrays import Array, Rng
from .canvas import Canvas
from .capture import Sample, photograph
from .filmed import film
from .scenes import scene
from .subjects import draw_subject
from .textures import texture
from .things import draw_cord, draw_glossy_thing, draw_lead, draw_thing

#: Share of samples with a plain thing before a plain wall.
PLAIN_SHARE = 0.12
#: Share of the other samples whose plate is the scene with slight noise.
CLEAN_SHARE = 0.3
#: Share of shaded samples that show mostly animals on pale ground.
GROUND_SHARE = 0.4
#: Share of shaded samples with subjects and glossy things in dark scenes.
DARK_SHARE = 0.15
#: Share of camouflaged subjects (``alike``) that stand in a dark scene.
DIM_SHARE = 0.2


def make_sample(
    seed: int,
    index: int,
    height: int,
    width: int,
    *,
    plain: float = PLAIN_SHARE,
    clean: float = CLEAN_SHARE,
    alike: float = 0,
    shaded: float = 0,
    ground: float = GROUND_SHARE,
    filmed: float = 0,
) -> Sample:
    """Draw sample ``index`` of the endless set of ``seed``.

    Args:
        seed: Identifies the set; not negative.
        index: Position in the set; not negative.
        height: Rows in pixels.
        width: Columns in pixels.
        plain: Share of samples with a plain thing before a plain wall.
        clean: Share of the other samples that are clean; see :class:`Sample`.
        alike: Share of subjects with parts in the colours of what is behind those parts.
        shaded: Share of subjects with an additional shadow close by, unless the sample is clean;
            some of these scenes are dark throughout.
        ground: Share of shaded samples that show mostly animals on pale ground.
        filmed: Share of the other samples that are frames of a compressed clip; see
            :mod:`drawing.filmed`. These are not clean.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
    kind = rng.random()
    is_clean = bool(rng.random() < clean)
    extra = np.random.default_rng([seed, index, 4])  # separate, so that ``rng`` draws the same
    shade_rng = extra if extra.random() < shaded else None
    if kind < plain:
        return _plain_sample(rng, height, width, shade_rng)
    if shade_rng is not None:
        where = shade_rng.random()
        if where < ground:
            return _ground_sample(shade_rng, height, width)
        if where > 1 - DARK_SHARE:
            return _dark_sample(shade_rng, height, width)
    background = scene(rng, height, width)
    if rng.random() < 0.08:  # bright sunlight
        background = 1 - rng.uniform(0.15, 0.6) * (1 - background)
    if rng.random() < 0.15:  # a statue: part of the scene and the plate
        statue = Canvas(height, width)
        draw_subject(rng, statue, None)
        background = background * (1 - statue.alpha[..., None]) + statue.colour
    alike_rng = np.random.default_rng([seed, index, 2])  # 1 and 3: crops and windows
    similar = alike_rng.random() < alike
    if similar and alike_rng.random() < DIM_SHARE:
        background = background * alike_rng.uniform(0.05, 0.4)
    canvas = Canvas(height, width)
    if kind > plain + 0.06:  # otherwise the scene stays empty
        _draw_subjects(rng, canvas, background)
        if similar:
            _camouflage(alike_rng, canvas, background)
    light = None if shade_rng is None else shadows.near_shadow(shade_rng, canvas.alpha)
    film_rng = np.random.default_rng([seed, index, 6])
    if film_rng.random() < filmed:
        return film(film_rng, background, canvas, light=light)
    return photograph(rng, background, canvas, clean=is_clean, light=light)


def _draw_subjects(rng: Rng, canvas: Canvas, background: Array) -> None:
    """Draw one to three subjects, sometimes with a cord, camouflage or blur."""
    for _ in range(int(rng.choice([1, 2, 3], p=[0.72, 0.2, 0.08]))):
        near = None
        if rng.random() < 0.25:  # colours close to the scene's
            y, x = rng.integers(canvas.height), rng.integers(canvas.width)
            near = background[y // 4 : y // 4 * 3 + 2, x // 4 : x // 4 * 3 + 2].mean(axis=(0, 1))
        draw_subject(rng, canvas, near)
    if rng.random() < 0.2:
        draw_cord(rng, canvas)
    if rng.random() < 0.06:  # camouflage: the texture of another part of the scene
        shift = rng.integers(1, canvas.height), rng.integers(1, canvas.width)
        stuff = np.roll(background, shift, axis=(0, 1)) * rng.uniform(0.7, 1.3)
        canvas.colour = stuff.clip(0, 1) * canvas.alpha[..., None]
    _blur(rng, canvas)


def _blur(rng: Rng, canvas: Canvas) -> None:
    """Apply motion blur, defocus, or neither to the subject."""
    longest = max(canvas.height, canvas.width)
    blur = rng.random()
    if blur < 0.12:
        canvas.blur(camera.motion_kernel(rng, longest * rng.uniform(0.005, 0.06)))
    elif blur < 0.4:  # out of focus
        sigma = rng.uniform(0.3, 0.004 * longest + 0.5)
        kernel = cv2.getGaussianKernel(2 * int(3 * sigma) + 1, sigma).astype(np.float32)
        canvas.blur(kernel @ kernel.T)


def _camouflage(rng: Rng, canvas: Canvas, background: Array) -> None:
    """Give parts of the subject the colours of what is behind them, as skin before bricks.

    Half of the time the colours are rescaled: a white leg in its own shade looks like ground in
    shadow.
    """
    height, width = canvas.alpha.shape
    coarse = rng.random(rng.integers((3, 4), (9, 12))).astype(np.float32)
    hills = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    spots = ((hills - rng.uniform(0.5, 0.85)) * rng.uniform(3, 20)).clip(0, 1)
    longest = max(height, width)
    behind = cv2.GaussianBlur(background, (0, 0), longest * rng.uniform(0.005, 0.1))
    if rng.random() < 0.5:
        behind = (behind * rng.uniform(0.5, 1.15)).clip(0, 1)
    share = (spots * rng.uniform(0.4, 1))[..., None]
    canvas.colour += share * (canvas.alpha[..., None] * behind - canvas.colour)


def _plain_sample(rng: Rng, height: int, width: int, shade_rng: Rng | None) -> Sample:
    """A plain thing before a plain wall of a similar colour, with a clean plate.

    With ``shade_rng`` there is a soft shadow on the wall, and half of the time any subject instead
    of the plain thing. A faint shadow then differs from a faint thing only by its soft edge.
    """
    wall = rng.uniform(0.05, 0.95, 3) if rng.random() < 0.5 else np.repeat(rng.uniform(0, 1), 3)
    apart = rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(7), np.log(60))) / 255
    tint = 1.0 if rng.random() < 0.5 else rng.uniform(0.3, 1, 3)
    background: Array = np.broadcast_to(wall, (height, width, 3)).astype(np.float32)
    if rng.random() < 0.3:
        background = background + rng.uniform(0, 0.2) * (texture(rng, height, width) - 0.5)
        background = background.clip(0, 1).astype(np.float32)
    canvas = Canvas(height, width)
    if shade_rng is not None and shade_rng.random() < 0.5:
        _draw_subjects(shade_rng, canvas, background)
    elif rng.random() < 0.85:
        shape = Canvas(height, width)
        draw_thing(rng, shape, None)
        paint = background + apart * tint if rng.random() < 0.5 else wall + apart * tint
        canvas.paint(shape.alpha.clip(0, 1), np.float32(paint).clip(0, 1))
    light = None if shade_rng is None else shadows.near_shadow(shade_rng, canvas.alpha)
    return photograph(rng, background, canvas, clean=light is None, light=light)


def _ground_sample(rng: Rng, height: int, width: int) -> Sample:
    """Mostly animals with faint shadows on pale ground, where leads lie."""
    background = 1 - rng.uniform(0.05, 0.35) * (1 - scene(rng, height, width))
    middle = background.mean(axis=(0, 1))
    background = middle + rng.uniform(0.1, 1) * (background - middle)  # some of it nearly plain
    canvas = Canvas(height, width)
    light = np.ones((height, width, 3), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        near = background.mean(axis=(0, 1)) if rng.random() < 0.5 else None
        kind = rng.random()
        if kind < 0.55:
            draw_pied_animal(rng, canvas, middle, least=0.04)
        elif kind < 0.8:
            draw_animal(rng, canvas, near, least=0.03)
        else:
            draw_subject(rng, canvas, near)
        for _ in range(int(rng.integers(1, 3))):  # one or two shadows each
            light *= shadows.near_shadow(rng, canvas.alpha)
    if rng.random() < 0.6:
        _camouflage(rng, canvas, background)
    for _ in range(int(rng.integers(0, 3))):
        draw_lead(rng, canvas)
    _blur(rng, canvas)
    return photograph(rng, background, canvas, clean=False, light=light)


def _dark_sample(rng: Rng, height: int, width: int) -> Sample:
    """Subjects and glossy things in a scene that is nearly black."""
    background = rng.uniform(0, 0.05) + rng.uniform(0.03, 0.3) * scene(rng, height, width)
    canvas = Canvas(height, width)
    for _ in range(int(rng.integers(0, 3))):
        draw_subject(rng, canvas, background.mean(axis=(0, 1)) if rng.random() < 0.5 else None)
    for _ in range(int(rng.integers(1, 3))):
        draw_glossy_thing(rng, canvas)
    light = shadows.near_shadow(rng, canvas.alpha) if rng.random() < 0.5 else None
    if rng.random() < 0.5:
        _camouflage(rng, canvas, background)
    _blur(rng, canvas)
    return photograph(rng, background, canvas, clean=False, light=light)
