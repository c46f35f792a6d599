"""Procedural subjects: animals, things, fur, cloth and smoke."""

from typing import Any

import cv2
import numpy as np

from .canvas import Canvas, Placement, Points, curls, ellipse, smooth
from .degrade import motion_kernel
from .materials import fill
from .people import draw_person
from .textures import Array, Rng, colour, noise

#: Joints, and the radius at each.
_Limb = tuple[list[Any], list[float]]


def draw_subject(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """Draw one random subject into ``canvas``.

    Args:
        rng: Source of randomness.
        canvas: Drawn over.
        near: A colour (3,) that the subject's come close to, or None.
    """
    kind = rng.random()
    if kind < 0.55:
        draw_person(rng, canvas, near)
    elif kind < 0.70:
        draw_animal(rng, canvas, near)
    elif kind < 0.93:
        draw_thing(rng, canvas, near)
    else:
        draw_veil(rng, canvas, near)


def fur(rng: Rng, canvas: Canvas, mask: Array, material: Array, length: float) -> None:
    """Paint a body ``mask`` (H, W) with hair of ``length`` pixels standing off its outline."""
    canvas.paint(mask, material)
    outlines, _ = cv2.findContours(
        (mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    for outline in outlines:
        points = outline[:, 0].astype(np.float64) + 0.5
        if len(points) < 12:
            continue
        tangents = np.roll(points, -3, axis=0) - np.roll(points, 3, axis=0)
        normals = tangents[:, ::-1] * (-1, 1)
        pick = rng.integers(0, len(points), min(6000, len(points) * int(rng.integers(2, 6))))
        away = normals[pick] + rng.normal(0, 3, (len(pick), 2)) + rng.normal(0, 2, 2)
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.1)
        lengths = length * rng.gamma(4, 0.25, len(pick))
        roots = points[pick] - 0.3 * length * away
        lines = curls(rng, roots, away, lengths, fall=rng.uniform(-0.2, 0.5))
        canvas.paint(canvas.strands(lines, scale=int(rng.integers(2, 4))), material)


def draw_animal(rng: Rng, canvas: Canvas, near: Array | None, *, least: float = 0.06) -> None:
    """A four-legged animal, measured in half lengths of its trunk.

    Args:
        rng: Source of randomness.
        canvas: Drawn over.
        near: A colour (3,) that the animal's come close to, or None.
        least: The smallest half length, as a share of the longer side of the canvas.
    """
    scale, trunk, legs = _animal(rng, canvas, least)
    length = scale * rng.uniform(0.02, 0.25)
    fur(rng, canvas, np.stack([*trunk, *legs]).max(axis=0), fill(rng, canvas, near), length)


def draw_pied_animal(rng: Rng, canvas: Canvas, ground: Array, *, least: float) -> None:
    """A standing or walking animal whose coat is in part as pale as the ground, its legs above all.

    Args:
        rng: Source of randomness.
        canvas: Drawn over.
        ground: The colour (3,) of the ground.
        least: As in :func:`draw_animal`.
    """
    scale, trunk, legs = _walker(rng, canvas, least)
    height, width = canvas.height, canvas.width
    pale = (ground * np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.03, 3))).clip(0, 1)
    shade = noise(rng, height, width, cells=rng.uniform(4, 20), decay=0.6)[..., None]
    coat = pale * (1 - rng.uniform(0, 0.4) * shade)
    patches = noise(rng, height, width, cells=width / scale * rng.uniform(0.5, 2), decay=0.5)
    dark = rng.uniform(0.3, 0.95) * colour(rng)
    patches = ((patches - rng.uniform(0.4, 0.7)) * rng.uniform(5, 40)).clip(0, 1)[..., None]
    pied = (coat + patches * (dark - coat)).astype(np.float32)
    moving = rng.random() < 0.5
    for index, leg in enumerate(legs):
        light = rng.uniform(0.6, 0.95) if index < 2 else rng.uniform(0.75, 1.05)
        paint = light * (coat if rng.random() < 0.7 else pied)
        paint = _rounded(rng, leg, paint, 0.08 * scale)
        if moving and rng.random() < 0.6:
            leg = cv2.filter2D(leg, -1, motion_kernel(rng, scale * rng.uniform(0.05, 0.5)))
        canvas.paint(leg, paint)
    body = np.stack(trunk).max(axis=0)
    fur(rng, canvas, body, _rounded(rng, body, pied, 0.2 * scale), scale * rng.uniform(0.02, 0.2))


def _rounded(rng: Rng, mask: Array, paint: Array, sigma: float) -> Array:
    """``paint`` (H, W, 3), darker towards the outline of ``mask`` (H, W), on one side above all."""
    right, down = sigma * rng.normal(0, 0.7, 2)
    size = mask.shape[::-1]
    lit = cv2.warpAffine(mask, np.array([[1, 0, right], [0, 1, down]]), size)
    lit = cv2.GaussianBlur(lit, (0, 0), max(sigma, 0.3))[..., None]
    return (paint * (1 - rng.uniform(0, 0.6) * (1 - lit))).clip(0, 1).astype(np.float32)


def _walker(rng: Rng, canvas: Canvas, least: float) -> tuple[float, list[Array], list[Array]]:
    """What :func:`_animal` returns, built like a dog: first the legs on the far side."""
    longest = max(canvas.height, canvas.width)
    scale = longest * np.exp(rng.uniform(np.log(least), np.log(0.3)))
    where = rng.uniform((0.1, 0.2), (0.9, 0.8)) * (canvas.width, canvas.height)
    place = Placement(rng, where, scale, rng.normal(0, 0.08))
    thick, tall, aside = rng.uniform(0.28, 0.45), rng.uniform(0.9, 1.4), rng.uniform(0.5, 1)
    head = np.array([1.2, rng.uniform(-0.8, 0.2)])
    muzzle = head + rng.uniform((0.25, 0), (0.45, 0.2))
    ear = head - (0.15, rng.uniform(-0.2, 0.4))
    tail = rng.normal(0, 0.35, 2) - (1.4, 0.4)
    trunk: list[_Limb] = [
        ([(-0.8, 0), (0, 0.05), (0.75, 0.08)], [thick, 0.85 * thick, 1.05 * thick]),
        ([(0.75, -0.1), head], [0.75 * thick, 0.5 * thick]),
        ([head, muzzle], [0.5 * thick, 0.22 * thick]),
        ([head - (0.1, 0.1), ear], [0.13, 0.06]),
        ([(-0.95, -0.15), tail], [0.15 * rng.uniform(0.5, 1.5), 0.06]),
    ]
    lean = rng.uniform(0.6, 1.2)
    legs: list[_Limb] = []
    for far in (0.08, 0):
        for x, knee, hock, thigh in ((0.65, -0.05, 0, 0.6), (-0.75, 0.2, -0.15, 0.75)):
            swing, lift = rng.normal(0, 0.25), max(0, rng.normal(-0.05, 0.15))
            foot = np.array([x + swing, tall - lift - far])
            joints = [
                (x, 0.1),
                (x + knee + 0.25 * swing, 0.47 * tall),
                (x + hock + 0.75 * swing, 0.76 * tall - 0.6 * lift),
                foot,
                foot + np.array([0.1, 0]),
            ]
            legs.append((joints, [thigh * thick, *(lean * np.array([0.14, 0.08, 0.07, 0.08]))]))
    seen = (aside, 1.0)
    return scale, _cover(canvas, place, trunk, seen), _cover(canvas, place, legs, seen)


def _cover(
    canvas: Canvas, place: Placement, limbs: list[_Limb], seen: tuple[float, float] = (1, 1)
) -> list[Array]:
    """The coverage (H, W) of each limb, in the subject's own measure, foreshortened by ``seen``."""
    return [
        canvas.limb(place(np.array(joints) * seen), [place.scale * r for r in radii])
        for joints, radii in limbs
    ]


def _animal(rng: Rng, canvas: Canvas, least: float) -> tuple[float, list[Array], list[Array]]:
    """Half the length of a trunk in pixels, and the coverage of its parts and of four legs."""
    longest = max(canvas.height, canvas.width)
    scale = longest * np.exp(rng.uniform(np.log(least), np.log(0.35)))
    where = rng.uniform((0.1, 0.3), (0.9, 0.9)) * (canvas.width, canvas.height)
    place = Placement(rng, where, scale, rng.normal(0, rng.choice([0.15, 0.8])))
    thick = rng.uniform(0.3, 0.55)
    head = np.array([1.15, -rng.uniform(0.2, 1.0)])
    trunk: list[_Limb] = []
    trunk.append(([(-0.8, 0), (0, rng.normal(0, 0.1)), (0.8, 0)], [thick, thick * 1.1, thick]))
    trunk.append(([(0.7, -0.1), head], [thick * 0.8, thick * 0.5]))
    trunk.append(
        ([head, head + np.array([rng.uniform(0.3, 0.6), 0.1])], [thick * 0.6, thick * 0.3])
    )
    trunk.append(([head - (0.1, 0.2), head - (0.2, rng.uniform(0.3, 0.6))], [0.12, 0.08]))
    lean = rng.uniform(0.3, 1)
    legs: list[_Limb] = []
    for x in (-0.8, -0.65, 0.65, 0.8):
        foot = (x + rng.normal(0, 0.4), rng.uniform(0.7, 1.5))
        radii = [0.25, 0.15 * lean, 0.1 * lean]
        legs.append(([(x, 0.2), (x + rng.normal(0, 0.1), 0.6), foot], radii))
    tail = rng.normal(0, 0.4, 2) - (1.5, 0.3)
    trunk.append(([(-0.9, -0.2), tail], [0.12, 0.08]))
    return scale, _cover(canvas, place, trunk), _cover(canvas, place, legs)


def draw_thing(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """A thing: a blob, a disc, a ring, a box, a plant, sticks and cords."""
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
    """Something nearly black that shines in places: a visor, a helmet, leather, a screen."""
    height, width = canvas.height, canvas.width
    shape = Canvas(height, width)
    draw_thing(rng, shape, None)
    glints = noise(rng, height, width, cells=rng.uniform(2, 15), decay=0.5)[..., None]
    glints = ((glints - rng.uniform(0.5, 0.8)) * rng.uniform(2, 10)).clip(0, 1)
    black = rng.uniform(0, 0.15) * rng.uniform(0.6, 1, 3)
    shine = black + rng.uniform(0, 0.9) * glints * colour(rng)
    canvas.paint(shape.alpha.clip(0, 1), np.float32(shine).clip(0, 1))


def draw_cord(rng: Rng, canvas: Canvas) -> None:
    """A lead, a strap, a cable: from a subject, if there is one, and mostly dark."""
    rows, columns = np.nonzero(canvas.alpha[::4, ::4] > 0.5)
    start, middle, end = rng.uniform((0, 0), (canvas.width, canvas.height), (3, 2))
    if len(rows):
        pick = rng.integers(len(rows), size=2)
        start = 4.0 * np.array([columns[pick[0]], rows[pick[0]]])
        if rng.random() < 0.5:  # both ends are held
            end = 4.0 * np.array([columns[pick[1]], rows[pick[1]]])
    middle = (start + end) / 2 + rng.normal(0, 0.25, 2) * np.linalg.norm(end - start)
    t = np.linspace(0, 1, 24)[:, None]
    _draw_string(rng, canvas, (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end)


def draw_lead(rng: Rng, canvas: Canvas) -> None:
    """A lead that a subject, which must be there, drops to the ground: in bends, and in a loop.

    It may swing, and be blurred.
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
    """Paint something long, thin and mostly dark along ``line`` (N, 2), moved by ``blur``."""
    longest = max(canvas.height, canvas.width)
    wide = longest * np.exp(rng.uniform(np.log(0.0007), np.log(0.006)))
    shade = colour(rng) * (rng.uniform(0.1, 0.5) if rng.random() < 0.6 else 1)
    mask = canvas.strands(line[None], scale=4, width=max(1, round(4 * wide)))
    canvas.paint(mask if blur is None else cv2.filter2D(mask, -1, blur), shade)


def _turned(rng: Rng, points: Points) -> Points:
    turn = rng.uniform(0, np.pi)
    return points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def draw_veil(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """Something one sees through: cloth, smoke, glass."""
    height, width = canvas.height, canvas.width
    centre = rng.uniform((0, 0), (width, height))
    size = max(height, width) * rng.uniform(0.1, 0.4)
    shape = canvas.polygon(centre + size * smooth(rng.normal(0, 0.7, (7, 2)), 3))
    if rng.random() < 0.5:  # smoke has no edge
        shape = cv2.GaussianBlur(shape, (0, 0), size * rng.uniform(0.1, 0.3))
    density = noise(rng, height, width, cells=rng.uniform(2, 20), decay=0.6)
    low = rng.uniform(0.1, 0.7)
    canvas.paint(shape * (low + (0.95 - low) * density), fill(rng, canvas, near))
