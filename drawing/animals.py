"""Procedural four-legged animals."""

from typing import Any

import cv2
import numpy as np

from .arrays import Array, Rng
from .camera import motion_kernel
from .canvas import Canvas, Placement
from .fields import colour, noise
from .materials import fill, fur

#: Joints (x, y), and the radius at each.
_Limb = tuple[list[Any], list[float]]


def draw_animal(rng: Rng, canvas: Canvas, near: Array | None, *, least: float = 0.06) -> None:
    """Draw a four-legged animal. Lengths are in half lengths of its trunk.

    Args:
        rng: Source of randomness.
        canvas: Drawn over.
        near: A colour (3,) that the animal's colours stay close to, or None.
        least: The smallest half length, as a share of the longer side of the canvas.
    """
    scale, trunk, legs = _animal(rng, canvas, least)
    length = scale * rng.uniform(0.02, 0.25)
    fur(rng, canvas, np.stack([*trunk, *legs]).max(axis=0), fill(rng, canvas, near), length)


def draw_pied_animal(rng: Rng, canvas: Canvas, ground: Array, *, least: float) -> None:
    """Draw a standing or walking animal, partly as pale as the ground, mostly on its legs.

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
    """``paint`` (H, W, 3) shaded as a round body: darker near the outline of ``mask`` (H, W)."""
    right, down = sigma * rng.normal(0, 0.7, 2)
    size = mask.shape[::-1]
    lit = cv2.warpAffine(mask, np.array([[1, 0, right], [0, 1, down]]), size)
    lit = cv2.GaussianBlur(lit, (0, 0), max(sigma, 0.3))[..., None]
    return (paint * (1 - rng.uniform(0, 0.6) * (1 - lit))).clip(0, 1).astype(np.float32)


def _walker(rng: Rng, canvas: Canvas, least: float) -> tuple[float, list[Array], list[Array]]:
    """A body with the proportions of a dog; the legs on the far side come first.

    Returns:
        As :func:`_animal`.
    """
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
    """Coverage (H, W) of each limb, in the subject's units, foreshortened by ``seen`` (x, y)."""
    return [
        canvas.limb(place(np.array(joints) * seen), [place.scale * r for r in radii])
        for joints, radii in limbs
    ]


def _animal(rng: Rng, canvas: Canvas, least: float) -> tuple[float, list[Array], list[Array]]:
    """A body in a random pose.

    Returns:
        Half the length of the trunk in pixels, the coverage (H, W) of each part of the trunk, and
        the coverage of each of the four legs.
    """
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
