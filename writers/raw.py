"""Raw RGB and RGBA: for other programs, through a pipe."""

from functools import partial

from .encoder import Encoding, Order
from .planes import ToPacked

ENCODER = "rawvideo"
#: By depth, and whether there is alpha.
_PIXEL_FORMATS = {
    (8, False): "rgb24",
    (8, True): "rgba",
    (16, False): "rgb48le",
    (16, True): "rgba64le",
}


def plan(order: Order) -> Encoding:
    """Do not encode."""
    pixel_format = _PIXEL_FORMATS[order.depth, order.alpha]
    return Encoding(
        encoder=ENCODER,
        pixel_format=pixel_format,
        converter=partial(ToPacked, pixel_format=pixel_format),
        options={},
        fragment=1,
        rgb=True,
    )
