"""Converts decoded frames to RGB."""

import threading
from functools import cache

import av
import numpy as np
from av.codec.context import CodecContext
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from media import LeftSited

from .coding import YuvCoding

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
#: The matrices that can be named.
_NAMED = {
    "bt601": Colorspace.ITU601,
    "bt709": Colorspace.ITU709,
    "bt2020": Colorspace.BT2020,
}
_NAMES = {matrix: name for name, matrix in _NAMED.items()} | {
    Colorspace.FCC: "fcc",
    Colorspace.SMPTE240M: "smpte240m",
}
#: Lines from which a video without tags is taken as HD.
_HD_LINES = 720
_LIMITED_RANGE, _FULL_RANGE = 1, 2
#: FFmpeg's names of grey formats, with and without alpha, begin so.
_GREY_FORMATS = ("gray", "ya8", "ya16")
#: Codecs whose grey video is of limited range unless it is tagged, as their colour video is.
_LIMITED_GREY = ("h264", "hevc", "vvc", "vp9", "libvpx-vp9", "av1", "libdav1d", "libaom-av1")
_ACCURATE = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
#: Decoders that do not report where 4:2:0 chroma is sampled.
_NO_CHROMA_LOCATION = ("vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "ffv1", "rawvideo")
#: JPEG decoders: chroma is midway between two pixels, which is also FFmpeg's default.
_MIDWAY_CHROMA = ("mjpeg",)


@cache
def _expanded(bits: int, limited: bool) -> np.ndarray:
    """The level over the full range for each level that FFmpeg makes of a grey one.

    FFmpeg takes every grey format as full range. Of ``bits`` bits it makes 8 or 16 by a shift, so
    that white stays below the highest level.
    """
    kind = np.uint8 if bits == 8 else np.uint16
    most, unit = np.iinfo(kind).max, 2 ** (bits - 8)
    given = np.arange(most + 1) / ((most + 1) / 2**bits)  # in levels of the frame
    low, high = (16 * unit, 235 * unit) if limited else (0, 2**bits - 1)
    full: np.ndarray = ((given - low) / (high - low)).clip(0, 1) * most
    return full.round().astype(kind)


class ToRgb:
    """Converts decoded frames to RGB, on any thread.

    The stream's tags decide the matrix and the range, unless they are given. Without tags, the
    matrix is BT.709 from 720 lines up and BT.601 below, and the range is limited. Chroma is on the
    left one of two pixels unless the decoder reports otherwise or the codec is JPEG.

    Args:
        decoder: The decoder of the frames.
        coding: What the frames are read as, whatever their tags say.
    """

    def __init__(self, decoder: CodecContext, coding: YuvCoding):
        self._codec = decoder.name
        self.coding = coding
        self._of_thread = threading.local()

    def __call__(
        self,
        frame: av.VideoFrame,
        size: tuple[int, int] | None = None,
        coding: YuvCoding | None = None,
    ) -> np.ndarray:
        """Convert a frame to RGB over the full range.

        Args:
            frame: The frame.
            size: (height, width) to resize it to.
            coding: What it is read as, instead of what others are.

        Returns:
            (H, W, 3): uint16 for more than 8 bits a component, else uint8.
        """
        bits = max(component.bits for component in frame.format.components)
        deep = bits > 8
        # FFmpeg's bilinear scaling is wrong for more than 8 bits.
        scaling = Interpolation.BICUBIC if deep else Interpolation.BILINEAR
        coding = coding or self.coding
        is_grey = _is_grey(frame)
        full = is_grey or _is_full(frame, coding)
        height, width = size or (frame.height, frame.width)
        matrix = _NAMED.get(coding.matrix) or _matrix_of(frame)
        rgb = self._with_chroma_location(frame).reformat(
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
        if is_grey and ((limited := self._is_limited(frame, coding)) or bits not in (8, 16)):
            image = _expanded(bits, limited)[image]
        return image

    def names(self, frame: av.VideoFrame, coding: YuvCoding) -> tuple[str | None, str]:
        """The matrix and the range that a frame is read with; no matrix for RGB and grey."""
        if _is_grey(frame):
            return None, "limited" if self._is_limited(frame, coding) else "full"
        full = "full" if _is_full(frame, coding) else "limited"
        if frame.format.is_rgb:
            return None, full
        return _NAMES[_NAMED.get(coding.matrix) or _matrix_of(frame)], full

    def denied(self, frame: av.VideoFrame) -> list[str]:
        """What of the coding the tags of a frame deny, or cannot be applied, as sentences."""
        matrix, range = self.names(frame, YuvCoding())
        told = []
        if self.coding.matrix != "auto" and matrix is None:
            told.append(f"has no matrix, so that --input-matrix {self.coding.matrix} does nothing")
        no_matrix, no_range = untagged(frame)
        for name, asked, tagged, is_open in (
            ("matrix", self.coding.matrix, matrix, no_matrix),
            ("range", self.coding.range, range, no_range),
        ):
            if asked not in ("auto", tagged) and tagged is not None and not is_open:
                told.append(f"is {tagged} by its tags, and read as --input-{name} {asked}")
        return told

    def _is_limited(self, frame: av.VideoFrame, coding: YuvCoding) -> bool:
        """Whether a grey frame has black at 16 and white at 235, at 8 bits."""
        if coding.range != "auto":
            return coding.range == "limited"
        if frame.color_range == _LIMITED_RANGE:
            return True
        return frame.color_range != _FULL_RANGE and self._codec in _LIMITED_GREY

    def _with_chroma_location(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame, tagged with left-sited chroma if its decoder reports no location."""
        form = frame.format
        if form.is_rgb or len(form.components) < 3 or self._codec in _MIDWAY_CHROMA:
            return frame
        chroma = form.components[1]
        half_width, half_height = chroma.width < form.width, chroma.height < form.height
        if not half_width or (half_height and self._codec not in _NO_CHROMA_LOCATION):
            return frame
        shape = form.name, frame.height, frame.width
        if getattr(self._of_thread, "shape", None) != shape:
            self._of_thread.shape = shape
            self._of_thread.tag = LeftSited(form, shape[1:])
        tagged: av.VideoFrame = self._of_thread.tag(frame)
        return tagged


def _is_grey(frame: av.VideoFrame) -> bool:
    return frame.format.name.startswith(_GREY_FORMATS)


def _matrix_of(frame: av.VideoFrame) -> Colorspace:
    untagged = Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601
    return MATRICES.get(frame.colorspace, untagged)


def _is_full(frame: av.VideoFrame, coding: YuvCoding) -> bool:
    if coding.range != "auto":
        return coding.range == "full"
    if frame.format.is_rgb:
        return frame.color_range != ColorRange.MPEG
    return frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")


def untagged(frame: av.VideoFrame) -> tuple[bool, bool]:
    """Whether nothing says which matrix a frame has, and which range; RGB and grey need neither."""
    if frame.format.is_rgb or _is_grey(frame):
        return False, False
    named = frame.color_range in (_LIMITED_RANGE, _FULL_RANGE)
    return frame.colorspace not in MATRICES, not named and not frame.format.name.startswith("yuvj")
