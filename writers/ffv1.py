"""FFV1: lossless, 8 or 16 bits, with alpha."""

from collections.abc import Callable
from functools import partial

from .encoder import Converter, Encoding, Order
from .planes import ToPacked, ToPlanes

ENCODER = "ffv1"
#: Side in pixels from which a frame is cut into slices, which are encoded at once.
_MIN_SLICED = 64


def plan(order: Order) -> Encoding:
    """Encode as FFV1 of RGB."""
    if order.depth == 8:
        pixel_format = "bgra" if order.alpha else "bgr0"
        converter: Callable[[tuple[int, int]], Converter] = partial(
            ToPacked, pixel_format=pixel_format
        )
    else:
        pixel_format = "gbrap16le" if order.alpha else "gbrp16le"
        converter = partial(ToPlanes, pixel_format=pixel_format)
    slices = {"slices": "12"} if min(order.size) >= _MIN_SLICED else {}
    return Encoding(
        encoder=ENCODER,
        pixel_format=pixel_format,
        converter=converter,
        # Version 3 with checksums: a player sees which part of a frame is damaged.
        options={"level": "3", "slicecrc": "1", "g": "1", **slices},
        fragment=order.fragment,
        rgb=True,
    )
