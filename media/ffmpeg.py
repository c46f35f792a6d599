"""FFmpeg helpers of readers and writers: opening files, and tagging the location of chroma."""

from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.filter import Graph

from .errors import MattingError

#: FFmpeg's names of formats that say where media is, in other files or on a network.
_REFERRING_FORMATS = frozenset(
    (
        *("applehttp", "concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub"),
        "webm_dash_manifest",
    )
)
#: How such files begin, and what users call them.
_REFERRING_FILES = {
    b"#EXTM3U": "a playlist (HLS, M3U)",
    b"ffconcat": "a list of files (concat)",
    b"<SmoothStreamingMedia": "a manifest (Smooth Streaming)",
    b"<MPD": "a manifest (DASH)",
    b"v=0": "a description of a session (SDP)",
}
_PROBED_BYTES = 4096
#: Seconds after which a file that does not answer is given up, for opening and for each read.
_TIMEOUT = 120.0


class ReferringFileError(MattingError, OSError):
    """A file that names other files or addresses, rather than holding media."""


def open_media(path: Path, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a media file; metadata that is not UTF-8 is no error.

    Everything is read from the file itself: playlists, and protocols of a network, are refused.

    Raises:
        ReferringFileError: It is a playlist or the like.
        FFmpegError: It cannot be opened.
    """
    if (kind := _referring_kind(path)) is not None:
        raise ReferringFileError(
            f"{path}: {kind}, which holds no video itself; record or copy what it names to a file, "
            "and give that"
        )
    return av.open(
        str(path.absolute()),  # FFmpeg would read the a of a:b.mp4 as a protocol
        container_options={
            "protocol_whitelist": "file",
            "format_whitelist": _allowed_formats(),
            "pattern_type": "none",  # FFmpeg would read a%d.tga as a sequence of files
        },
        hwaccel=hwaccel,
        metadata_errors="replace",
        timeout=_TIMEOUT,
    )


def _referring_kind(path: Path) -> str | None:
    """What a file is that names others; None for any other file."""
    start = b""
    with suppress(OSError, ValueError), open(path, "rb") as file:  # opening it says why
        start = file.read(_PROBED_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, kind in _REFERRING_FILES.items():
        if start.startswith(mark) or (start.startswith(b"<?xml") and mark in start):
            return kind
    return None


@cache
def _allowed_formats() -> str:
    return ",".join(sorted(av.formats_available - _REFERRING_FORMATS))


class LeftSited:
    """Tags frames: their chroma is on the left one of two pixels. Each thread needs its own.

    Args:
        form: Pixel format of the frames.
        size: (height, width) of the frames.
    """

    def __init__(self, form: av.VideoFormat, size: tuple[int, int]):
        self._graph = graph = Graph()
        height, width = size
        tick = Fraction(1, 1000)
        chain = (
            graph.add_buffer(width=width, height=height, format=form, time_base=tick),
            graph.add("setparams", "chroma_location=left"),
            graph.add("buffersink"),
        )
        graph.link_nodes(*chain).configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame with the tag."""
        self._graph.push(frame)
        tagged = self._graph.pull()
        assert isinstance(tagged, av.VideoFrame)
        return tagged
