"""QuickTime Animation: lossless, 8 bits, with alpha."""

from functools import partial

from .encoder import Encoding, Order
from .planes import ToPacked

ENCODER = "qtrle"


def plan(order: Order) -> Encoding:
    """Encode as QuickTime Animation."""
    pixel_format = "argb" if order.alpha else "rgb24"
    return Encoding(
        encoder=ENCODER,
        pixel_format=pixel_format,
        converter=partial(ToPacked, pixel_format=pixel_format),
        options={"g": "1"},  # each frame stands alone, for editing
        fragment=order.fragment,
        rgb=True,
    )
