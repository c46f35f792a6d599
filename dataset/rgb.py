"""From decoded pictures to RGB."""

import threading

import av
import numpy as np
from av.codec.context import CodecContext
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from media import LeftSited

#: FFmpeg's numbers for the matrices of BT.709, FCC, BT.601 (two of them), SMPTE 240M and BT.2020
#: (two of them).
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_FULL_RANGE = 2
_ACCURATE = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
#: Codecs whose decoders don't say where 4:2:0 chroma is sampled.
_SILENT = ("vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "ffv1", "rawvideo")
#: Of JPEG, whose chroma is in the middle of two pixels, as FFmpeg takes it where nothing is said.
_MIDDLE = ("mjpeg",)


class ToRgb:
    """Converts what a decoder makes, on any thread.

    The stream's own tags decide the matrix and the range. An untagged one is BT.709 from 720 lines
    up and BT.601 below; its range is limited. Chroma is on the left pixel of two unless the decoder
    says otherwise, or it is JPEG's.

    Args:
        decoder: What has decoded the pictures, or will.
    """

    def __init__(self, decoder: CodecContext):
        self._codec = decoder.name
        self._of_thread = threading.local()

    def __call__(self, picture: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray:
        """Convert a picture to RGB over the full range, and to another (height, width).

        Returns:
            (H, W, 3): uint16 for more than 8 bits a component, else uint8.
        """
        deep = max(component.bits for component in picture.format.components) > 8
        scaling = Interpolation.BICUBIC if deep else Interpolation.BILINEAR  # broken in deep ones
        untagged = Colorspace.ITU709 if picture.height >= 720 else Colorspace.ITU601
        full = picture.color_range == _FULL_RANGE
        full = full or picture.format.name.startswith(("yuvj", "gray"))
        if picture.format.is_rgb:
            full = picture.color_range != ColorRange.MPEG
        height, width = size or (picture.height, picture.width)
        matrix = MATRICES.get(picture.colorspace, untagged)
        rgb = self._sited(picture).reformat(
            width=width,
            height=height,
            format="rgb48le" if deep else "rgb24",
            src_colorspace=matrix,
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.JPEG,
            interpolation=scaling | _ACCURATE,
            threads=1,
        )
        image: np.ndarray = rgb.to_ndarray()
        if deep and not full:  # FFmpeg scales limited range to 255/256 of the full one
            image = np.minimum(image, 0xFF00)
            image += image >> 8
        return image

    def _sited(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture, tagged with where its chroma is if its decoder says nothing of it."""
        form = picture.format
        if form.is_rgb or len(form.components) < 3 or self._codec in _MIDDLE:
            return picture
        chroma = form.components[1]
        halved, flat = chroma.width < form.width, chroma.height < form.height
        if not halved or (flat and self._codec not in _SILENT):
            return picture
        shape = form.name, picture.height, picture.width
        if getattr(self._of_thread, "shape", None) != shape:
            self._of_thread.shape = shape
            self._of_thread.tag = LeftSited(form, shape[1:])
        tagged: av.VideoFrame = self._of_thread.tag(picture)
        return tagged
