"""HEVC of 10 bits, by x265."""

from functools import partial

from .encoder import Encoding, Order
from .yuv import ToYuv

ENCODER = "libx265"
#: Frames that x265 holds apart from those that it looks at ahead: B-frames, and its threads.
_HELD = 12
_MAX_LOOKAHEAD = 20


def plan(order: Order) -> Encoding:
    """Encode as HEVC."""
    spare = order.spare - _HELD
    fragment = max(2, min(spare // 3, round(order.rate)))
    ahead = max(5, min(_MAX_LOOKAHEAD, spare - fragment))
    quality = "lossless=1" if order.crf == 0 else f"crf={order.crf}"
    parameters = f"log-level=none:rc-lookahead={ahead}:frame-threads=2:{quality}"
    return Encoding(
        encoder=ENCODER,
        pixel_format="yuv420p10le",
        converter=partial(ToYuv, pixel_format="yuv420p10le"),
        # x265's `faster` takes a quarter less time than `medium` for files of the same size.
        options={"preset": "faster", "x265-params": parameters},
        fragment=fragment,
        unordered=2,  # x265 derives decoding times from the third frame
        tag="hvc1",  # players of Apple know no other
    )
