"""From RGB to the pictures that H.264 holds."""

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter


class ToYuv:
    """Converts to yuv420p, BT.709, limited range. Each thread needs its own.

    Chroma is sampled on the left pixel of two, where H.264 has it unless it says otherwise, and
    where decoders look for it. FFmpeg's own choice for RGB is the middle between both: its colours
    would come back half a pixel too far left.

    Args:
        size: (height, width) of the pictures, even.
    """

    def __init__(self, size: tuple[int, int]):
        height, width = size
        self._reformatter = VideoReformatter()
        self._tag = graph = Graph()
        rgb = av.VideoFormat("rgb24", width, height)
        chain = (
            graph.add_buffer(width=width, height=height, format=rgb, time_base=Fraction(1, 1000)),
            graph.add("setparams", "chroma_location=left"),
            graph.add("buffersink"),
        )
        graph.link_nodes(*chain).configure()

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, 3), uint8."""
        self._tag.push(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24"))
        tagged = self._tag.pull()
        assert isinstance(tagged, av.VideoFrame)
        return self._reformatter.reformat(
            tagged,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
        )
