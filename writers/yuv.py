"""Converts RGB to frames whose chroma is sampled every other pixel."""

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from media import LeftSited

from .planes import fill_plane


class ToYuv:
    """Converts to 4:2:0, BT.709, limited range. Each thread needs its own.

    Chroma is sampled on the left one of two pixels, the default of H.264 and of its decoders.
    FFmpeg's default for RGB is midway between both, which would shift colours left by half a pixel.

    Args:
        size: (height, width) of the frames, both even.
        pixel_format: ``yuv420p``, ``yuva420p`` or ``yuv420p10le``.
    """

    def __init__(self, size: tuple[int, int], pixel_format: str):
        height, width = size
        self._reformatter = VideoReformatter()
        self._has_alpha = pixel_format == "yuva420p"
        self._target = "yuv420p" if self._has_alpha else pixel_format
        self._source = "rgb48le" if pixel_format.endswith("10le") else "rgb24"
        self._tag = LeftSited(av.VideoFormat(self._source, width, height), size)

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, 3 or 4), uint8, or uint16 for 10 bits."""
        colours = np.ascontiguousarray(image[..., :3])
        frame = self._reformatter.reformat(
            self._tag(av.VideoFrame.from_ndarray(colours, self._source)),
            format=self._target,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
        )
        if not self._has_alpha:
            return frame
        with_alpha = av.VideoFrame(frame.width, frame.height, "yuva420p")
        for plane, filled in zip(with_alpha.planes, frame.planes, strict=False):
            plane.update(filled)  # type: ignore[arg-type]  # any buffer will do
        fill_plane(with_alpha.planes[3], image[..., 3])  # FFmpeg's own may be off by one level
        return with_alpha
