"""Procedural people, from a distant figure to a close-up."""

from collections.abc import Callable

import numpy as np

from .arrays import Array, Rng
from .canvas import Canvas, Placement, Points, curls, ellipse, smooth
from .fields import colour
from .materials import fill, hair_colours, skin


def draw_person(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """Draw a person, from a distant figure to a close-up. Lengths are in head radii.

    Arguments as in :func:`drawing.subjects.draw_subject`.
    """
    height, width = canvas.height, canvas.width
    scale = max(height, width) * np.exp(rng.uniform(np.log(1 / 32), np.log(1 / 4.5)))
    tall = min(13.0, height / scale)
    head = np.array([rng.uniform(0.1, 0.9) * width, rng.uniform(0.0, 0.35) * height])
    if rng.random() < 0.5:  # standing, with the feet in the frame where they fit
        head[1] = max(1.3 * scale, height - tall * scale * rng.uniform(0.9, 1.15))
    place = Placement(rng, head, scale, rng.normal(0, 0.12))
    flesh, cloth = skin(rng, canvas), fill(rng, canvas, near)
    long_hair = rng.random() < 0.6
    hair = hair_colours(rng, canvas, near)
    if long_hair:
        _hair(rng, canvas, place, hair, behind=True)
    _legs(rng, canvas, place, fill(rng, canvas, near) if tall > 6 else cloth, flesh)
    raised = [_arm(rng, canvas, place, side, cloth, flesh) for side in (-1, 1)]
    canvas.paint(canvas.limb(place([[0, 0.5], [0, 2.0]]), [0.5 * scale, 0.6 * scale]), flesh)
    _torso(rng, canvas, place, cloth, flesh, near)
    for paint_arm in raised:
        if rng.random() < 0.6:
            paint_arm()
    _face(rng, canvas, place, flesh)
    if rng.random() < 0.93:
        _hair(rng, canvas, place, hair, behind=False)


def _torso(
    rng: Rng, canvas: Canvas, place: Placement, cloth: Array, flesh: Array, near: Array | None
) -> None:
    shoulder, waist, hip = rng.uniform(1.4, 2.4), rng.uniform(0.9, 1.7), rng.uniform(1.0, 1.8)
    hem, flare = rng.uniform(5.5, 6.8), 0.0
    if rng.random() < 0.25:  # dress or coat
        hem, flare = rng.uniform(7, 11), rng.uniform(0, 1.5)
    right = [(0.4, 1.45), (shoulder, 1.9), (waist, 4.3), (hip, 5.6), (hip + flare, hem)]
    left = [(-x, y + rng.normal(0, 0.05)) for x, y in reversed(right)]
    canvas.paint(canvas.polygon(place(smooth(np.array(right + left), 2))), cloth)
    if rng.random() < 0.5:  # an open jacket, a print, a collar
        w, deep = rng.uniform(0.2, 1.0), rng.uniform(2.2, hem)
        opening = np.array([(-w, 1.5), (w, 1.5), (w * rng.uniform(0.1, 1.3), deep), (-0.1, deep)])
        inner = flesh if rng.random() < 0.4 else fill(rng, canvas, near)
        canvas.paint(canvas.polygon(place(opening)), inner)


def _legs(rng: Rng, canvas: Canvas, place: Placement, trousers: Array, flesh: Array) -> None:
    thick = rng.uniform(0.45, 0.8)
    bare = rng.random() < 0.25
    for side in (-1, 1):
        knee = np.array([side * rng.uniform(0.3, 1.2), 8.8 + rng.normal(0, 0.2)])
        foot = knee + np.array([side * rng.uniform(-0.5, 0.6), rng.uniform(2.4, 3.1)])
        joints = place([(side * 0.6, 5.8), knee, foot])
        radii = [place.scale * r for r in (thick * 1.2, thick, thick * 0.6)]
        canvas.paint(canvas.limb(joints, radii), flesh if bare else trousers)
        toe = foot + np.array([rng.uniform(0.3, 0.9), 0.25])
        shoe = canvas.limb(
            place([foot + np.array([0, 0.2]), toe]), [0.4 * place.scale, 0.3 * place.scale]
        )
        canvas.paint(shoe, colour(rng))


def _arm(
    rng: Rng, canvas: Canvas, place: Placement, side: int, cloth: Array, flesh: Array
) -> Callable[[], None]:
    """Paint an arm; returns a function that paints it again, in front of the torso."""
    upper = rng.choice([rng.normal(0.15, 0.2), rng.uniform(-0.3, 2.8)])
    lower = upper + rng.uniform(-0.2, 1.8) * rng.choice([-1, 1])
    shoulder = np.array([side * rng.uniform(1.4, 1.9), 2.2])
    elbow = shoulder + 2.6 * np.array([side * np.sin(upper), np.cos(upper)])
    wrist = elbow + 2.4 * np.array([side * np.sin(lower), np.cos(lower)])
    hand = wrist + 0.7 * (wrist - elbow) / 2.4
    thick = place.scale * rng.uniform(0.35, 0.6)
    joints = place([shoulder, elbow, wrist])
    sleeve = cloth if rng.random() < 0.7 else flesh
    masks = [
        (canvas.limb(place([wrist, hand]), [0.6 * thick, 0.8 * thick]), flesh),
        (canvas.limb(joints[1:], [0.85 * thick, 0.65 * thick]), sleeve),
        (canvas.limb(joints[:2], [1.1 * thick, 0.85 * thick]), cloth),
    ]
    if rng.random() < 0.12:  # a held object: stick, lead or bag
        far = place([hand, hand + rng.normal(0, 4, 2)])
        masks.append((canvas.limb(far, [place.scale * rng.uniform(0.03, 0.3)] * 2), colour(rng)))
    shade = rng.uniform(0.8, 1.1)

    def paint() -> None:
        for mask, material in masks:
            canvas.paint(mask, (material * shade).clip(0, 1))

    paint()
    return paint


def _face(rng: Rng, canvas: Canvas, place: Placement, flesh: Array) -> None:
    wide = rng.uniform(0.72, 0.92)
    outline = ellipse((0, 0), wide, 1.05)
    outline[outline[:, 1] > 0.3, 0] *= rng.uniform(0.8, 1)
    canvas.paint(canvas.polygon(place(outline)), flesh)
    turn = rng.uniform(-0.35, 0.35)
    if rng.random() < 0.2:  # seen from behind
        return
    dark = (rng.uniform(0, 0.25, 3)).astype(np.float32)
    parts = [((turn + side * 0.33, -0.1), 0.13, 0.07, dark) for side in (-1, 1)]
    parts += [((turn + side * 0.33, -0.3), 0.2, 0.04, dark) for side in (-1, 1)]
    lips = np.array([rng.uniform(0.4, 0.8), 0.25, 0.25], np.float32)
    parts += [((turn, 0.25), 0.1, 0.06, lips * 0.6), ((turn, 0.55), 0.25, 0.07, lips)]
    for centre, across, down, paint in parts:
        mask = canvas.polygon(place(ellipse(centre, across, down)))
        canvas.paint(0.8 * mask, paint)


def _hair(rng: Rng, canvas: Canvas, place: Placement, hair: Array, *, behind: bool) -> None:
    """Paint a mass of hair with strands: behind the head, or on top of it."""
    volume = rng.uniform(1.0, 1.35)
    curly, wild = rng.random() < 0.3, rng.random() < 0.25
    if behind:
        length = rng.uniform(0.8, 4)
        angle = np.linspace(np.pi, 2 * np.pi, 12)
        top = np.stack([volume * np.cos(angle), 1.15 * volume * np.sin(angle)], axis=1)
        tips = np.array([(volume, length), (0.3, length + 0.3), (-volume, length)])
        outline = np.concatenate([top, tips])
    else:
        angle = np.linspace(np.pi * rng.uniform(0.95, 1.05), 2 * np.pi, 14)
        top = np.stack([volume * 0.95 * np.cos(angle), 1.2 * volume * np.sin(angle)], axis=1)
        fringe = np.array([(0.7, -0.1), (0.5, -0.55), (rng.uniform(-0.4, 0.4), -0.7), (-0.6, -0.5)])
        outline = np.concatenate([top, fringe])
    outline = outline + rng.normal(0, 0.05, outline.shape)
    canvas.paint(canvas.polygon(place(smooth((0.85 if curly else 1) * outline, 1))), hair)
    count = int(rng.choice([40, 200, 600]) * (1 + place.scale / 30))  # a close-up shows more
    pick = rng.integers(0, len(outline if behind else top), count)
    roots = outline[pick] * rng.uniform(0.6, 1.0, (count, 1)) + rng.normal(0, 0.06, (count, 2))
    outward = roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 0.1)
    outward += rng.normal(0, rng.uniform(0.1, 0.8), outward.shape)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 0.1)
    lengths = rng.exponential(rng.uniform(0.15, 0.7) if wild else rng.uniform(0.1, 0.3), count)
    lengths[: count // 20] *= 3  # loose strands
    lines = curls(
        rng, roots, outward, lengths.clip(0, 2.5),
        fall=rng.uniform(0, 1.5), wave=0.4 if curly else 0.12,
    )  # fmt: skip
    _paint_strands(rng, canvas, lines, place, hair)


def _paint_strands(rng: Rng, canvas: Canvas, lines: Points, place: Placement, hair: Array) -> None:
    lines = place(lines)
    strength = rng.uniform(0.4, 1) * canvas.fineness
    canvas.paint(strength * canvas.strands(lines, scale=int(rng.integers(2, 4))), hair)
