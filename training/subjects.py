"""Procedural subjects: people, animals, things, hair, fur, cloth and smoke."""

import cv2
import numpy as np

from .canvas import Canvas, Points, curls, smooth
from .textures import Array, Rng, colour, noise, ramp, texture


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


def fill(rng: Rng, canvas: Canvas, near: Array | None) -> Array:
    """A material (H, W, 3): a surface, plain more often than not, with folds of light and dark."""
    height, width = canvas.height, canvas.width
    if rng.random() < 0.45:
        base = colour(rng) if near is None else near + rng.normal(0, 0.07, 3)
        picture = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    else:
        picture = texture(rng, height, width, near=near)
    folds = noise(rng, height, width, cells=rng.uniform(2, 12), decay=0.5)
    return (picture * (1 + rng.uniform(0, 0.8) * (folds[..., None] - 0.5))).clip(0, 1)


def skin(rng: Rng, canvas: Canvas) -> Array:
    """Skin (H, W, 3): a tone between pale and dark, softly shaded."""
    tone = rng.uniform(0.2, 0.95) * np.array([1.0, rng.uniform(0.68, 0.9), rng.uniform(0.5, 0.8)])
    shade = noise(rng, canvas.height, canvas.width, cells=rng.uniform(3, 10), decay=0.4)
    return (tone * (1.15 - rng.uniform(0.1, 0.7) * shade[..., None])).clip(0, 1).astype(np.float32)


class _Frame:
    """A subject's own coordinates: turned, mirrored, scaled and placed on the canvas."""

    def __init__(self, rng: Rng, origin: Points, scale: float, tilt: float):
        c, s = np.cos(tilt), np.sin(tilt)
        mirror = rng.choice([-1.0, 1.0])
        self.scale = scale
        self._origin = origin
        self._matrix = scale * np.array([[c * mirror, s * mirror], [-s, c]])

    def __call__(self, points: Points) -> Points:
        return np.asarray(points) @ self._matrix + self._origin


def draw_person(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """A person, from a distant figure to a close-up, measured in head radii."""
    height, width = canvas.height, canvas.width
    scale = max(height, width) * np.exp(rng.uniform(np.log(1 / 32), np.log(1 / 4.5)))
    tall = min(13.0, height / scale)
    head = np.array([rng.uniform(0.1, 0.9) * width, rng.uniform(0.0, 0.35) * height])
    if rng.random() < 0.5:  # standing with the feet in the frame, or as near to it as fits
        head[1] = max(1.3 * scale, height - tall * scale * rng.uniform(0.9, 1.15))
    place = _Frame(rng, head, scale, rng.normal(0, 0.12))
    flesh, cloth = skin(rng, canvas), fill(rng, canvas, near)
    long_hair = rng.random() < 0.6
    locks = _hair_colour(rng, canvas, near)
    if long_hair:
        _hair(rng, canvas, place, locks, behind=True)
    _legs(rng, canvas, place, fill(rng, canvas, near) if tall > 6 else cloth, flesh)
    raised = [_arm(rng, canvas, place, side, cloth, flesh) for side in (-1, 1)]
    canvas.paint(canvas.limb(place([[0, 0.5], [0, 2.0]]), [0.5 * scale, 0.6 * scale]), flesh)
    _torso(rng, canvas, place, cloth, flesh, near)
    for paint_arm in raised:
        if rng.random() < 0.6:
            paint_arm()
    _face(rng, canvas, place, flesh)
    if rng.random() < 0.93:
        _hair(rng, canvas, place, locks, behind=False)


def _torso(
    rng: Rng, canvas: Canvas, place: _Frame, cloth: Array, flesh: Array, near: Array | None
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


def _legs(rng: Rng, canvas: Canvas, place: _Frame, trousers: Array, flesh: Array) -> None:
    thick = rng.uniform(0.45, 0.8)
    bare = rng.random() < 0.25
    for side in (-1, 1):
        knee = np.array([side * rng.uniform(0.3, 1.2), 8.8 + rng.normal(0, 0.2)])
        foot = knee + (side * rng.uniform(-0.5, 0.6), rng.uniform(2.4, 3.1))
        joints = place([(side * 0.6, 5.8), knee, foot])
        radii = [place.scale * r for r in (thick * 1.2, thick, thick * 0.6)]
        canvas.paint(canvas.limb(joints, radii), flesh if bare else trousers)
        toe = foot + (rng.uniform(0.3, 0.9), 0.25)
        shoe = canvas.limb(place([foot + (0, 0.2), toe]), [0.4 * place.scale, 0.3 * place.scale])
        canvas.paint(shoe, colour(rng))


def _arm(rng: Rng, canvas: Canvas, place: _Frame, side: int, cloth: Array, flesh: Array):
    """Paint an arm; returns a function that paints it again, for an arm before the torso."""
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
    if rng.random() < 0.12:  # something held: a stick, a lead, a bag
        far = place([hand, hand + rng.normal(0, 4, 2)])
        masks.append((canvas.limb(far, [place.scale * rng.uniform(0.03, 0.3)] * 2), colour(rng)))
    shade = rng.uniform(0.8, 1.1)

    def paint() -> None:
        for mask, material in masks:
            canvas.paint(mask, (material * shade).clip(0, 1))

    paint()
    return paint


def _ellipse(centre: tuple[float, float], across: float, down: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.array(centre) + np.stack([across * np.cos(angle), down * np.sin(angle)], axis=1)


def _face(rng: Rng, canvas: Canvas, place: _Frame, flesh: Array) -> None:
    wide = rng.uniform(0.72, 0.92)
    outline = _ellipse((0, 0), wide, 1.05)
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
        mask = canvas.polygon(place(_ellipse(centre, across, down)))
        canvas.paint(0.8 * mask, paint)


def _hair_colour(rng: Rng, canvas: Canvas, near: Array | None) -> Array:
    dark = np.array([0.25, 0.16, 0.1]) * rng.uniform(0.1, 2) * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.3:
        dark = colour(rng) if near is None else near + rng.normal(0, 0.08, 3)
    streaks = noise(rng, canvas.height, canvas.width, cells=30, decay=0.8)
    tones = np.stack([dark * 0.5, dark, dark * rng.uniform(1, 1.8) + 0.04]).clip(0, 1)
    return ramp(streaks, tones.astype(np.float32))


def _hair(rng: Rng, canvas: Canvas, place: _Frame, locks: Array, *, behind: bool) -> None:
    """A mass of hair with strands: behind the head down to the shoulders, or on top of it."""
    volume = rng.uniform(1.0, 1.35)
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
    canvas.paint(canvas.polygon(place(smooth(outline, 1))), locks)
    count = int(rng.choice([40, 200, 600]) * (1.5 if behind else 1))
    pick = rng.integers(0, len(outline if behind else top), count)
    roots = outline[pick] * rng.uniform(0.6, 1.0, (count, 1)) + rng.normal(0, 0.06, (count, 2))
    outward = roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 0.1)
    outward += rng.normal(0, rng.uniform(0.1, 0.8), outward.shape)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 0.1)
    lengths = rng.exponential(rng.uniform(0.15, 0.7), count).clip(0, 2.5)
    fall = rng.uniform(0, 1.5)
    _paint_strands(rng, canvas, curls(rng, roots, outward, lengths, fall=fall), place, locks)


def _paint_strands(rng: Rng, canvas: Canvas, lines: Points, place: _Frame, locks: Array) -> None:
    lines = place(lines)
    strength = rng.uniform(0.4, 1)
    canvas.paint(strength * canvas.strands(lines, scale=int(rng.integers(2, 4))), locks)


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


def draw_animal(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """A four-legged animal, measured in half lengths of its trunk."""
    longest = max(canvas.height, canvas.width)
    scale = longest * np.exp(rng.uniform(np.log(0.06), np.log(0.35)))
    where = rng.uniform((0.1, 0.3), (0.9, 0.9)) * (canvas.width, canvas.height)
    place = _Frame(rng, where, scale, rng.normal(0, rng.choice([0.15, 0.8])))
    thick = rng.uniform(0.3, 0.55)
    head = np.array([1.15, -rng.uniform(0.2, 1.0)])
    limbs = [([(-0.8, 0), (0, rng.normal(0, 0.1)), (0.8, 0)], [thick, thick * 1.1, thick])]
    limbs.append(([(0.7, -0.1), head], [thick * 0.8, thick * 0.5]))
    limbs.append(([head, head + (rng.uniform(0.3, 0.6), 0.1)], [thick * 0.6, thick * 0.3]))
    limbs.append(([head - (0.1, 0.2), head - (0.2, rng.uniform(0.3, 0.6))], [0.12, 0.08]))
    for x in (-0.8, -0.65, 0.65, 0.8):
        foot = (x + rng.normal(0, 0.4), rng.uniform(0.7, 1.3))
        limbs.append(([(x, 0.2), (x + rng.normal(0, 0.1), 0.6), foot], [0.25, 0.15, 0.1]))
    tail = rng.normal(0, 0.4, 2) - (1.5, 0.3)
    limbs.append(([(-0.9, -0.2), tail], [0.12, 0.08]))
    mask = np.zeros((canvas.height, canvas.width), np.float32)
    for joints, radii in limbs:
        mask = np.maximum(mask, canvas.limb(place(joints), [scale * r for r in radii]))
    length = scale * rng.uniform(0.02, 0.25)
    fur(rng, canvas, mask, fill(rng, canvas, near), length)


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
        mask = canvas.polygon(centre + _ellipse((0, 0), across, down))
        if rng.random() < 0.3:
            hole = rng.uniform(0.3, 0.8)
            mask = mask - canvas.polygon(centre + _ellipse((0, 0), hole * across, hole * down))
    elif kind < 0.75:
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (1, rng.uniform(0.3, 2))
        turn = rng.choice([0, rng.uniform(0, np.pi)])
        matrix = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        mask = canvas.polygon(centre + size * (corners @ np.array(matrix)))
    elif kind < 0.88:  # sticks and cords
        mask = np.zeros((height, width), np.float32)
        for _ in range(int(rng.integers(1, 6))):
            joints = centre + np.cumsum(rng.normal(0, size / 2, (5, 2)), axis=0)
            line = canvas.limb(smooth(joints, 2)[:-6], [rng.uniform(0.3, 0.03 * size + 0.4)] * 14)
            mask = np.maximum(mask, line)
    else:  # a plant
        mask = np.zeros((height, width), np.float32)
        for _ in range(int(rng.integers(5, 30))):
            leaf = _ellipse((0, 0), size * 0.15, size * rng.uniform(0.03, 0.1))
            turn = rng.uniform(0, np.pi)
            matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            where = centre + rng.normal(0, 0.35 * size, 2)
            mask = np.maximum(mask, canvas.polygon(where + leaf @ matrix))
    canvas.paint(mask, material)


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
