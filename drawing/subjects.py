"""A random subject of any kind: a person, an animal, a thing, or something translucent."""

from .animals import draw_animal
from .arrays import Array, Rng
from .canvas import Canvas
from .people import draw_person
from .things import draw_thing, draw_veil


def draw_subject(rng: Rng, canvas: Canvas, near: Array | None) -> None:
    """Draw one random subject.

    Args:
        rng: Source of randomness.
        canvas: Drawn over.
        near: A colour (3,) that the subject's colours stay close to, or None.
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
