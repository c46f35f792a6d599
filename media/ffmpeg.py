"""FFmpeg, as readers and writers share it: opening files, and where chroma is sampled."""

from fractions import Fraction
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.filter import Graph


def open_media(path: Path, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a file, whatever its name looks like and its titles are encoded in."""
    name = str(path.absolute())  # FFmpeg would take a:b.mp4 for a protocol
    return av.open(name, hwaccel=hwaccel, metadata_errors="replace")


class LeftSited:
    """Tags frames as having their chroma on the left pixel of two. Each thread needs its own.

    Args:
        form: The pixel format of the frames.
        size: Their (height, width).
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
        """The frame with its tag."""
        self._graph.push(frame)
        tagged = self._graph.pull()
        assert isinstance(tagged, av.VideoFrame)
        return tagged
