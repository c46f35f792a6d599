"""H.264, by x264 or an NVIDIA card."""

from fractions import Fraction
from functools import partial
from math import ceil

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from .encoder import Encoding, Order
from .yuv import ToYuv

ENCODER = "libx264"
_NVENC = "h264_nvenc"
#: Limits memory, as each of x264's threads holds frames; more than 16 cores gain little.
_MAX_THREADS = 24
#: Frames that x264 looks ahead by default.
_MAX_LOOKAHEAD = 40
#: Frames that x264 and the muxer hold apart from threads and lookahead: B-frames, and the one that
#: ends a fragment.
_HELD = 8
#: Frames that looking ahead and a fragment need at least.
_MIN_AHEAD, _MIN_FRAGMENT = 4, 2


def plan(order: Order) -> Encoding:
    """x264, or a card if one is wanted and there. Lossless video is always encoded by x264."""
    spare = order.spare - _HELD
    threads = max(1, min(_MAX_THREADS, 3 * order.cores // 2, spare // 2))
    spare -= threads
    fragment = max(_MIN_FRAGMENT, min(spare // 3, round(order.rate)))
    ahead = max(_MIN_AHEAD, min(_MAX_LOOKAHEAD, spare - fragment))
    encoder = ENCODER
    options = {"crf": str(order.crf), "preset": order.preset, "rc-lookahead": str(ahead)}
    if order.on_card and order.crf:
        if _card_encodes(order.size):
            encoder, options = _NVENC, {"rc": "constqp", "qp": str(order.crf), "preset": "p5"}
        else:
            order.warn("no NVIDIA card here can encode it; encoding on the CPU")
    return Encoding(
        encoder=encoder,
        pixel_format="yuv420p",
        converter=partial(ToYuv, pixel_format="yuv420p"),
        options=options,
        threads=threads,
        fragment=fragment,
    )


def _card_encodes(size: tuple[int, int]) -> bool:
    """Whether there is an NVIDIA card that encodes H.264 of this (height, width)."""
    try:
        encoder = av.CodecContext.create(_NVENC, "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.height, encoder.width = (2 * ceil(side / 2) for side in size)
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
        encoder.open()
    except (ValueError, FFmpegError):  # FFmpeg without NVENC; no card, no driver, or too large
        return False
    return True
