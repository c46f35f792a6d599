"""Procedural things: solid shapes, glossy things, cords and leads, veils and smoke."""

import cv2
import numpy as np

from .arrays import Array, Rng
from .camera import motion_kernel
from .canvas import Canvas, Points, ellipse, smooth
from .fields import colour, noise
from .materials import fill, fur


def draw_thing(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """Draw a blob, disc, ring, box, plant, or some sticks and cords.

    Args:
        rng: Source of randomness.
        canvas: Drawn over.
        near: A colour (3,) that its colours stay close to, or None.
    """
    height, width = canvas.height, canvas.width
    size = max(height, width) * np.exp(rng.uniform(np.log(0.04), np.log(0.5)))
    centre = rng.uniform((0, 0), (width, height))
    material = fill(rng, canvas, near)
    kind = rng.random()
    if kind < 0.35:
        bumps = 1 + rng.uniform(0, 0.3) * rng.normal(0, 1, 14)
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        radial = np.stack([np.cos(angle), np.sin(angle)], axis=1) * bumps[:, None]
        mask = canvas.polygon(centre + size * smooth(radial, 3) * (1, rng.uniform(0.4, 1.5)))
        if rng.random() < 0.4:
            fur(rng, canvas, mask, material, size * rng.uniform(0.02, 0.3))
            return
    elif kind < 0.6:  # disc, ellipse, ring
        across, down = size, size * rng.uniform(0.3, 1.5)
        mask = canvas.polygon(centre + ellipse((0, 0), across, down))
        if rng.random() < 0.3:
            hole = rng.uniform(0.3, 0.8)
            mask = mask - canvas.polygon(centre + ellipse((0, 0), hole * across, hole * down))
    elif kind < 0.75:
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (1, rng.uniform(0.3, 2))
        mask = canvas.polygon(centre + size * _turned(rng, corners))
    elif kind < 0.88:  # sticks and cords
        mask = np.zeros((height, width), np.float32)
        for _ in range(int(rng.integers(1, 6))):
            joints = centre + np.cumsum(rng.normal(0, size / 2, (5, 2)), axis=0)
            line = canvas.limb(smooth(joints, 2)[:-6], [rng.uniform(0.3, 0.03 * size + 0.4)] * 14)
            mask = np.maximum(mask, line)
    else:  # a plant
        mask = np.zeros((height, width), np.float32)
        for _ in range(int(rng.integers(5, 30))):
            leaf = ellipse((0, 0), size * 0.15, size * rng.uniform(0.03, 0.1))
            where = centre + rng.normal(0, 0.35 * size, 2)
            mask = np.maximum(mask, canvas.polygon(where + _turned(rng, leaf)))
    canvas.paint(mask, material)


def draw_glossy_thing(rng: Rng, canvas: Canvas) -> None:
    """Draw something nearly black with highlights: a visor, a helmet, leather, a screen."""
    height, width = canvas.height, canvas.width
    shape = Canvas(height, width)
    draw_thing(rng, shape, None)
    glints = noise(rng, height, width, cells=rng.uniform(2, 15), decay=0.5)[..., None]
    glints = ((glints - rng.uniform(0.5, 0.8)) * rng.uniform(2, 10)).clip(0, 1)
    black = rng.uniform(0, 0.15) * rng.uniform(0.6, 1, 3)
    shine = black + rng.uniform(0, 0.9) * glints * colour(rng)
    canvas.paint(shape.alpha.clip(0, 1), np.float32(shine).clip(0, 1))


def draw_cord(rng: Rng, canvas: Canvas) -> None:
    """Draw a lead, strap or cable, mostly dark. It starts at the subject, if there is one."""
    rows, columns = np.nonzero(canvas.alpha[::4, ::4] > 0.5)
    start, middle, end = rng.uniform((0, 0), (canvas.width, canvas.height), (3, 2))
    if len(rows):
        pick = rng.integers(len(rows), size=2)
        start = 4.0 * np.array([columns[pick[0]], rows[pick[0]]])
        if rng.random() < 0.5:  # both ends at the subject
            end = 4.0 * np.array([columns[pick[1]], rows[pick[1]]])
    middle = (start + end) / 2 + rng.normal(0, 0.25, 2) * np.linalg.norm(end - start)
    t = np.linspace(0, 1, 24)[:, None]
    _draw_string(rng, canvas, (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end)


def draw_lead(rng: Rng, canvas: Canvas) -> None:
    """Draw a lead that hangs from a subject and lies on the ground, in bends and sometimes a loop.

    It may have motion blur. Without a subject on the canvas nothing is drawn.
    """
    rows, columns = np.nonzero(canvas.alpha > 0.5)
    if not len(rows):
        return
    pick = rng.integers(len(rows))
    size = np.ptp(columns) + 1
    bends = np.cumsum(rng.normal(0, 0.3 * size, (6, 2)) * (1, 0.4), axis=0)
    joints = np.array([columns[pick], rows.max()]) + bends
    joints[0] = columns[pick], rows[pick]
    line = smooth(joints, 3)[:-8]
    if rng.random() < 0.4:
        across, down = size * rng.uniform(0.1, 0.5), size * rng.uniform(0.05, 0.3)
        loop = ellipse(line[-1] - (across, 0), across, down)
        line = np.concatenate([line, loop, loop[:1]])
    swings = rng.random() < 0.3
    blur = motion_kernel(rng, size * rng.uniform(0.02, 0.15)) if swings else None
    _draw_string(rng, canvas, line, blur)


def _draw_string(rng: Rng, canvas: Canvas, line: Points, blur: Array | None = None) -> None:
    """Paint a long, thin, mostly dark line along ``line`` (N, 2), convolved with ``blur``."""
    longest = max(canvas.height, canvas.width)
    wide = longest * np.exp(rng.uniform(np.log(0.0007), np.log(0.006)))
    shade = colour(rng) * (rng.uniform(0.1, 0.5) if rng.random() < 0.6 else 1)
    mask = canvas.strands(line[None], scale=4, width=max(1, round(4 * wide)))
    canvas.paint(mask if blur is None else cv2.filter2D(mask, -1, blur), shade)


def _turned(rng: Rng, points: Points) -> Points:
    turn = rng.uniform(0, np.pi)
    return points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def draw_veil(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """Draw something translucent: cloth, smoke or glass."""
    height, width = canvas.height, canvas.width
    centre = rng.uniform((0, 0), (width, height))
    size = max(height, width) * rng.uniform(0.1, 0.4)
    shape = canvas.polygon(centre + size * smooth(rng.normal(0, 0.7, (7, 2)), 3))
    if rng.random() < 0.5:  # smoke has no edge
        shape = cv2.GaussianBlur(shape, (0, 0), size * rng.uniform(0.1, 0.3))
    density = noise(rng, height, width, cells=rng.uniform(2, 20), decay=0.6)
    low = rng.uniform(0.1, 0.7)
    canvas.paint(shape * (low + (0.95 - low) * density), fill(rng, canvas, near))
