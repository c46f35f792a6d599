"""The H.264 encoder, and how little of a video it may hold back."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from media import Warn

_NVENC = "h264_nvenc"
#: Limits memory, as each of x264's threads holds frames; more than 16 cores gain little.
_MAX_THREADS = 24
#: What a killed program may lose of a video: seconds, or frames if these are more.
_MAX_LOST_SECONDS, _MIN_LOST_FRAMES = 2, 30
#: Frames that x264 looks ahead by default.
_MAX_LOOKAHEAD = 40
#: Frames that x264 and the muxer hold apart from threads and lookahead: B-frames, and the one that
#: ends a fragment.
_HELD = 8
#: Frames that looking ahead and a fragment need at least.
_MIN_AHEAD, _MIN_FRAGMENT = 4, 2
#: Seconds that video waits for its audio, at most, where that has gaps.
INTERLEAVED_SECONDS = Fraction(1, 10)


@dataclass(frozen=True)
class Encoding:
    """An encoder and how it is used.

    Attributes:
        encoder: FFmpeg's name of it.
        options: Its options.
        threads: Frames that it encodes at once.
        fragment: Frames that are written to the disk together.
    """

    encoder: str
    options: dict[str, str]
    threads: int
    fragment: int


def plan_x264(rate: Fraction, crf: int, preset: str, *, cores: int, queue: int) -> Encoding:
    """x264, such that a killed program loses at most two seconds, or 30 frames.

    That is what waits for the encoder, what is in it, and a fragment that is not written yet.

    Args:
        rate: Frames per second.
        crf: Constant rate factor.
        preset: x264's preset.
        cores: CPU cores to use.
        queue: Frames that may wait for the encoder.
    """
    may_be_lost = max(int(_MAX_LOST_SECONDS * rate), _MIN_LOST_FRAMES)
    spare = may_be_lost - queue - _HELD - ceil(INTERLEAVED_SECONDS * rate)
    threads = max(1, min(_MAX_THREADS, 3 * cores // 2, spare // 2))
    spare -= threads
    fragment = max(_MIN_FRAGMENT, min(spare // 3, round(rate)))
    ahead = max(_MIN_AHEAD, min(_MAX_LOOKAHEAD, spare - fragment))
    options = {"crf": str(crf), "preset": preset, "rc-lookahead": str(ahead)}
    return Encoding("libx264", options, threads, fragment)


def choose_encoder(x264: Encoding, size: tuple[int, int], *, on_card: bool, warn: Warn) -> Encoding:
    """An encoder on the card, if one is wanted and there; else ``x264``.

    Lossless video is always encoded by x264.

    Args:
        x264: The encoding on the CPU.
        size: (height, width) of the frames.
        on_card: Whether to encode on an NVIDIA card if there is one that can.
        warn: Called if there is none.
    """
    crf = x264.options["crf"]
    if not on_card or crf == "0":
        return x264
    if not _card_encodes(size):
        warn("no NVIDIA card here can encode it; encoding on the CPU")
        return x264
    options = {"rc": "constqp", "qp": crf, "preset": "p5"}
    return Encoding(_NVENC, options, x264.threads, x264.fragment)


def _card_encodes(size: tuple[int, int]) -> bool:
    """Whether there is an NVIDIA card that encodes H.264 of this (height, width)."""
    try:
        encoder = av.CodecContext.create(_NVENC, "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.height, encoder.width = size
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
        encoder.open()
    except (ValueError, FFmpegError):  # FFmpeg without NVENC; no card, no driver, or too large
        return False
    return True
