"""The alpha that images and videos hold: (H, W, 1), uint8 or uint16 over the full range."""

from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from PIL import Image

from .sources import MediaError

#: FFmpeg's formats with the levels of a pixel side by side: channels, and that of alpha.
_PACKED = {
    **{"rgba": (4, 3), "bgra": (4, 3), "argb": (4, 0), "abgr": (4, 0), "ya8": (2, 1)},
    **{"rgba64": (4, 3), "bgra64": (4, 3), "ya16": (2, 1)},
}
#: FFmpeg's names of formats with a plane for each channel, the last one alpha, begin so.
_PLANAR = ("yuva", "gbrap")
#: Tags of WebM videos whose alpha is a picture of its own in each packet.
_TAGS = ("alpha_mode", "ALPHA_MODE")
#: Decoders of these pictures, by the codec; FFmpeg's own leave them out.
_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
#: Rows to convert at a time: a large image should not be in memory several times.
_ROWS = 512
#: TIFF's extra channels that are no alpha.
_UNSPECIFIED = 0


def has_picture_of_alpha(stream: VideoStream) -> bool:
    """Whether the alpha of a video is a picture of its own in each packet."""
    return any(stream.metadata.get(tag) == "1" for tag in _TAGS)


def decoder_with_alpha(path: Path, stream: VideoStream) -> VideoCodecContext | None:
    """A decoder for a stream whose own decoder leaves out alpha; None where it does not.

    Raises:
        MediaError: There is none.
    """
    usual = stream.codec_context
    if not has_picture_of_alpha(stream):
        return None
    try:
        decoder = CodecContext.create(_DECODERS[usual.name], "r")
    except (KeyError, ValueError) as error:
        raise MediaError(
            f"{path}: no decoder here for the alpha of {usual.name}; convert the clip to ProRes "
            "4444 or PNG"
        ) from error
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = usual.extradata
    return decoder


def has_alpha(frame: av.VideoFrame) -> bool:
    """Whether the pixel format of a decoded frame holds alpha; a palette may do so, too."""
    components = frame.format.components
    return frame.format.has_palette or any(component.is_alpha for component in components)


def is_clear(frame: av.VideoFrame, *, is_gif: bool) -> bool:
    """Whether a decoded frame has alpha that may hide something.

    FFmpeg gives alpha to every frame of a GIF, and to every palette: there, its levels count.
    """
    if not is_gif and not frame.format.has_palette:
        return has_alpha(frame)
    alpha = alpha_of_frame(frame)
    return alpha is not None and bool((alpha < 255).any())


def alpha_of_frame(frame: av.VideoFrame) -> np.ndarray | None:
    """The alpha of a decoded frame; None without one.

    FFmpeg's scaler changes alpha by a level here and there, so that the plane itself is read.
    """
    if not has_alpha(frame):
        return None
    if frame.format.has_palette:
        frame = frame.reformat(format="rgba")
    bits = max(component.bits for component in frame.format.components)
    name = frame.format.name.removesuffix("le").removesuffix("be")
    if name not in _PACKED and not name.startswith(_PLANAR):
        name, bits = ("rgba64", 16) if bits > 8 else ("rgba", 8)
        frame = frame.reformat(format="rgba64le" if bits > 8 else "rgba")
    channels, place = _PACKED.get(name, (1, 0))
    plane: Any = frame.planes[3 if channels == 1 else 0]
    kind = np.dtype(np.uint8 if bits == 8 else ">u2" if frame.format.is_big_endian else "<u2")
    rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
    levels = rows[: frame.height, place : channels * frame.width : channels]
    if bits not in (8, 16):
        levels = _full_range(bits)[np.minimum(levels, 2**bits - 1)]
    return np.array(levels, np.uint8 if bits == 8 else np.uint16)[..., None]


def _full_range(bits: int) -> np.ndarray:
    """The level of 16 bits for each level of fewer."""
    return np.rint(np.linspace(0, 0xFFFF, 2**bits)).astype(np.uint16)


def alpha_of_image(image: Image.Image) -> np.ndarray | None:
    """The alpha of an image of 8 bits, also that of a palette or of one clear colour."""
    if not image.has_transparency_data:
        return None
    levels = np.empty((image.height, image.width, 1), np.uint8)
    for top in range(0, image.height, _ROWS):
        rows = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
        levels[top : top + _ROWS, :, 0] = np.asarray(rows.convert("RGBA").getchannel("A"))
    return levels


def is_alpha(extra: Any) -> bool:
    """Whether the fourth channel of a TIFF is alpha, by its tag for extra channels.

    As in Pillow, it is where the tag is missing.
    """
    return extra is None or _UNSPECIFIED not in np.atleast_1d(extra)


def to_alpha(floats: np.ndarray) -> np.ndarray:
    """Alpha of floats, rounded to 16 bits."""
    levels = np.nan_to_num(floats, nan=0).clip(0, 1) * np.float32(0xFFFF)
    return np.rint(levels).astype(np.uint16)


def divide(colours: np.ndarray, alpha: np.ndarray) -> None:
    """Undo, in place, the multiplication of colours by alpha; where it is 0, they stay.

    Args:
        colours: (H, W, 3), float32.
        alpha: (H, W, 1), float32.
    """
    np.divide(colours, alpha, out=colours, where=(to_alpha(alpha) > 0) & (alpha < 1))
