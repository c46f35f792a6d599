"""ProRes 4444: 10 bits, with alpha."""

from functools import partial

from .encoder import Encoding, Order
from .planes import ToPlanes

ENCODER = "prores_ks"
#: FFmpeg's unit of quantisers.
_LAMBDA = 118


def plan(order: Order) -> Encoding:
    """Encode as ProRes 4444."""
    pixel_format = "yuva444p10le" if order.alpha else "yuv444p10le"
    return Encoding(
        encoder=ENCODER,
        pixel_format=pixel_format,
        converter=partial(ToPlanes, pixel_format=pixel_format),
        # A fixed quantiser: the search for one that fits a data rate takes five times as long.
        options={
            "profile": "4444",
            "vendor": "apl0",
            "alpha_bits": "16" if order.alpha else "0",
            "flags": "+qscale",
            "global_quality": str(2 * _LAMBDA),
        },
        fragment=order.fragment,
    )
