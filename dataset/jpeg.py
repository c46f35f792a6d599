"""Damage in JPEG files that decoders pass over: they fill what is missing with grey."""

import av
from av.error import FFmpegError


def is_damaged(data: bytes) -> bool:
    """Whether the pixels of a JPEG break off or are damaged, where that can be told.

    FFmpeg's decoder tells, if asked to; of kinds that it cannot decode, nothing is known.
    """
    return _fails(data, {"err_detect": "explode"}) and not _fails(data, {})


def _fails(data: bytes, options: dict[str, str]) -> bool:
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options, decoder.thread_count = options, 1
    try:
        return not [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except FFmpegError:
        return True
