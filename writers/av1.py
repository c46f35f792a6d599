"""AV1 of 10 bits, by SVT-AV1."""

import os
from functools import partial

from .encoder import Encoding, Order
from .yuv import ToYuv

ENCODER = "libsvtav1"


def plan(order: Order) -> Encoding:
    """Encode as AV1."""
    os.environ.setdefault("SVT_LOG", "1")  # it would print its settings
    # Groups of 8 frames rather than 16 or 32, and none looked at ahead: little is held back.
    parameters = "hierarchical-levels=3:lookahead=0"
    if order.crf == 0:
        parameters += ":lossless=1"
    return Encoding(
        encoder=ENCODER,
        pixel_format="yuv420p10le",
        converter=partial(ToYuv, pixel_format="yuv420p10le"),
        options={"crf": str(order.crf), "preset": "10", "svtav1-params": parameters},
        fragment=max(2, order.fragment // 2),
    )
