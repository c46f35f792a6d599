"""FFmpeg helpers of readers and writers: opening files, and tagging the location of chroma."""

from fractions import Fraction
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.filter import Graph


def open_media(path: Path, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a media file; metadata that is not UTF-8 is no error."""
    name = str(path.absolute())  # FFmpeg would read the a of a:b.mp4 as a protocol
    return av.open(name, hwaccel=hwaccel, metadata_errors="replace")


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
