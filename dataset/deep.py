"""Images with more than 8 bits a channel, which Pillow reduces to 8."""

import struct
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from media import Warn

from .alpha import alpha_of_image, is_alpha
from .limits import check_pixels
from .orientation import turn, turn_of
from .png import PngChunks
from .sources import MediaError

#: TIFF tags: bits a channel, meaning of 0, planar or interleaved, meaning of extra channels.
_BITS, _PHOTOMETRIC, _PLANES, _EXTRA = 258, 262, 284, 338
_WHITE_IS_ZERO, _PREMULTIPLIED = 0, 1
DPX_SIGNATURES = (b"SDPX", b"XPDS")
#: Places in a DPX (SMPTE ST 268): width and height, and the transfer of the first element.
_DPX_SIZE, _DPX_TRANSFER = 772, 801
#: Printing density, logarithmic.
_DPX_LOGS = (1, 3)


def is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether an image has more than 8 bits a channel, and up to 16."""
    if image.format == "TIFF":
        return 16 in np.atleast_1d(_tag(image, _BITS) or 1)
    tiles: Any = getattr(image, "tile", None)
    if image.format == "PNG":
        return image.mode.startswith("I;16") or (bool(tiles) and ";16" in str(tiles[0][3]))
    if image.format == "PPM":
        arguments = tiles[0][3] if tiles else ""
        maximum = arguments[1] if isinstance(arguments, tuple) and len(arguments) == 2 else 255
        return image.mode.startswith("I") or (isinstance(maximum, int) and maximum > 255)
    if image.format == "JPEG2000":
        place = data.find(b"\xff\x4f\xff\x51")  # ISO/IEC 15444-1, A.5.1: the depth of channel 0
        return place >= 0 and (data[place + 42] & 0x7F) + 1 > 8
    if image.format == "AVIF":
        place = data.find(b"av1C")
        return place >= 0 and bool(data[place + 6] & 0x40)  # high_bitdepth
    return False


def _tag(image: Image.Image, number: int) -> Any:
    """The value of a TIFF tag; None if it is missing or the image is not a TIFF."""
    return getattr(image, "tag_v2", {}).get(number)


def read_deep(
    path: Path, image: Image.Image, data: bytes, *, alpha: bool = False
) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Decode more than 8 bits a channel.

    Args:
        path: The file.
        image: The same, opened with Pillow.
        data: Its contents.
        alpha: Read its alpha, too.

    Returns:
        (H, W, 3), uint16, RGB; alpha (H, W, 1), if it has one that was asked for; and whether its
        orientation was applied to both.

    Raises:
        MediaError: It is a kind that cannot be decoded.
        OSError, ValueError, SyntaxError: It is damaged.
    """
    if image.format not in ("PNG", "TIFF"):
        from .video import VideoSource  # imports this package's images

        (frame,) = islice(VideoSource(path, lambda message: None, alpha=alpha), 1)
        deep, pha = frame.image, frame.pha
        if alpha and pha is None and (pha := alpha_of_image(image)) is not None:
            pha = turn(pha, *turn_of(image))  # FFmpeg leaves out that of AVIF
        return deep if deep.dtype == np.uint16 else deep.astype(np.uint16) * 257, pha, True
    if _tag(image, _PLANES) == 2 and len(image.getbands()) > 1:
        raise MediaError(
            f"{path}: 16 bits with one channel after the other; save it with interleaved channels"
        )
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        image.load()  # raises if it is damaged
        if image.format == "PNG":
            raise ValueError("damaged")
        kind = "/".join(image.getbands())
        raise MediaError(
            f"{path}: 16 bits a channel as {kind}, which cannot be read; save it as RGB"
        )
    if decoded.ndim == 2:
        decoded = np.repeat(decoded[..., None], 3, axis=2)
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        decoded = 0xFFFF - decoded
    colours = decoded[..., 2::-1]
    pha = _alpha_in(decoded, image) if alpha else None
    if decoded.shape[2] == 4 and _PREMULTIPLIED in np.atleast_1d(_tag(image, _EXTRA) or ()):
        colours = np.round(colours * (0xFFFF / np.maximum(decoded[..., 3:], 1)).clip(1))
        colours = np.minimum(colours, 0xFFFF).astype(np.uint16)
    return np.ascontiguousarray(colours), pha, image.format == "TIFF"  # OpenCV turned it


def _alpha_in(decoded: np.ndarray, image: Image.Image) -> np.ndarray | None:
    """The alpha of what OpenCV decoded, (H, W, 3 or 4), BGR: a channel, or one clear colour."""
    if decoded.shape[2] == 4:
        return np.array(decoded[..., 3:]) if is_alpha(_tag(image, _EXTRA)) else None
    clear = image.info.get("transparency")
    if image.format != "PNG" or clear is None:
        return None
    return np.where((decoded == clear).all(axis=2, keepdims=True), 0, 0xFFFF).astype(np.uint16)


def read_dpx(
    path: Path, data: bytes, warn: Warn, *, alpha: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode a DPX image.

    Args:
        path: The file.
        data: Its content.
        warn: Told if its levels are logarithmic.
        alpha: Read its alpha, too.

    Returns:
        (H, W, 3), RGB: uint16, or uint8 for 8 bits a channel; and alpha (H, W, 1), if it has one
        that was asked for.

    Raises:
        MediaError: It cannot be decoded.
    """
    from .video import VideoSource  # imports this package's images

    place = ">II" if data[:1] == b"S" else "<II"
    size = struct.unpack_from(place, data, _DPX_SIZE) if len(data) > 2048 else (0, 0)
    check_pixels(path, size, len(data), deep=True, form="DPX")
    if data[_DPX_TRANSFER] in _DPX_LOGS:
        warn(
            f"{path}: tagged as the log of film, which is used as it is; name its colour space "
            "with --input-colorspace"
        )
    (frame,) = islice(VideoSource(path, lambda message: None, alpha=alpha), 1)
    return frame.image, frame.pha


def find_exif(image: Image.Image, chunks: PngChunks) -> None:
    """Hand an image its EXIF block; without one, Pillow would decode the image to look for it."""
    if "exif" not in image.info and not chunks.has_text_exif:
        image.info["exif"] = chunks.exif
