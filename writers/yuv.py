"""From RGB to the pictures that H.264 holds."""

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from media import LeftSited


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
        self._tag = LeftSited(av.VideoFormat("rgb24", width, height), size)

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, 3), uint8."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
        return self._reformatter.reformat(
            self._tag(picture),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
        )
