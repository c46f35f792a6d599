"""A colour as a background."""

import re
from collections.abc import Iterator

import numpy as np
from PIL import ImageColor

from .sources import Frame, FrameSource


class FlatColour(FrameSource):
    """One frame of one colour.

    Args:
        colour: (red, green, blue), each 0 to 255.
        size: (height, width).
    """

    still = True

    def __init__(self, colour: tuple[int, int, int], size: tuple[int, int]):
        self.name = "#{:02x}{:02x}{:02x}".format(*colour)
        self.size = size
        self._colour = colour

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(np.full((*self.size, 3), self._colour, np.uint8))


def parse_colour(text: str) -> tuple[int, int, int] | None:
    """Read ``#78ff9b``, ``120,255,155`` or a CSS name; None if ``text`` is not a colour."""
    numbers = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    try:
        red, green, blue = map(int, numbers.groups() if numbers else ImageColor.getrgb(text)[:3])
    except ValueError:
        return None
    in_range = all(0 <= level <= 255 for level in (red, green, blue))
    return (red, green, blue) if in_range else None
