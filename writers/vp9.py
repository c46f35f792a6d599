"""VP9 with alpha, by libvpx."""

from functools import partial

from .encoder import Encoding, Order
from .yuv import ToYuv

ENCODER = "libvpx-vp9"


def plan(order: Order) -> Encoding:
    """Encode as VP9."""
    pixel_format = "yuva420p" if order.alpha else "yuv420p"
    options = {
        "crf": str(order.crf),
        "b": "0",
        # `good` with 4 takes four times as long, for files a third smaller.
        "deadline": "realtime",
        "cpu-used": "8",
        "row-mt": "1",
        "auto-alt-ref": "0",  # alpha needs it
        "lag-in-frames": "0",  # nothing is held back
    }
    if order.crf == 0:
        options["lossless"] = "1"
    return Encoding(
        encoder=ENCODER,
        pixel_format=pixel_format,
        converter=partial(ToYuv, pixel_format=pixel_format),
        options=options,
        fragment=order.fragment,
    )
