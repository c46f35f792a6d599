"""Converts RGB to the frames that H.264 holds."""

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from media import LeftSited


class ToYuv:
    """Converts to yuv420p, BT.709, limited range. Each thread needs its own.

    Chroma is sampled on the left one of two pixels, the default of H.264 and of its decoders.
    FFmpeg's default for RGB is midway between both, which would shift colours left by half a pixel.

    Args:
        size: (height, width) of the frames, both even.
    """

    def __init__(self, size: tuple[int, int]):
        height, width = size
        self._reformatter = VideoReformatter()
        self._tag = LeftSited(av.VideoFormat("rgb24", width, height), size)

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, 3), uint8."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
        return self._reformatter.reformat(
            self._tag(frame),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
        )
