"""Pictures from image files."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any
from zlib import crc32

import cv2
import numpy as np
import pillow_heif
from PIL import Image, ImageCms

from .sources import Frame, FrameSource, MediaError, refuse_pipe

#: Pixels above which an image is taken for one that is made to fill memory.
_MOST_PIXELS = 2**30
_limit = Lock()
#: Pillow's names of formats that hold animations or pages.
_SEVERAL = ("PNG", "TIFF", "WEBP")

IMAGE_EXTENSIONS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".heic", ".heif")
)


def is_image_name(path: Path) -> bool:
    """Whether the extension is one of an image format that can be read."""
    return path.suffix.lower() in IMAGE_EXTENSIONS


def read_image(path: Path) -> np.ndarray:
    """Read an image upright (EXIF orientation applied), without its alpha.

    One of 8 bits comes in sRGB, through its embedded profile if it has one.

    Returns:
        (H, W, 3), RGB: uint16 for files with 16 bits a channel, else uint8.

    Raises:
        MediaError: The file is missing or holds no image.
    """
    refuse_pipe(path)
    try:
        data = path.read_bytes()
        with _open(data) as image:
            if _is_deep(image):
                if _tag(image, _PLANES) == 2 and len(image.getbands()) > 1:
                    raise MediaError(
                        f"{path}: 16 bits with one channel after the other; save it with the "
                        "channels of a pixel together"
                    )
                if (deep := _read_deep(image, data)) is not None:
                    return deep
                image.load()  # raises if it is damaged
                kind = "/".join(image.getbands())
                raise MediaError(
                    f"{path}: 16 bits a channel, of which {kind} is not read; save it as RGB"
                )
            if image.mode in ("F", "I"):
                raise MediaError(f"{path}: 32 bits a channel; save it with 8 or 16")
            image.load()  # what cannot be decoded is not forgiven, as a broken EXIF block is
            return turn(np.array(_to_srgb(image)), *_turn_of(image))
    except MediaError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        raise MediaError(f"{path}: {reason or 'not a readable image'}") from error


def count_images(path: Path) -> int:
    """Pictures in an image file, of which :func:`read_image` takes the first.

    More than one only of formats that hold animations or pages: phones keep small copies in others.
    """
    try:
        with _open(path.read_bytes()) as image:
            return getattr(image, "n_frames", 1) if image.format in _SEVERAL else 1
    except Exception:  # any: whoever reads it says what is wrong
        return 1


def is_opaque(path: Path) -> bool:
    """Whether an image that can be read has no alpha, or one that is full everywhere."""
    with _open(path.read_bytes()) as image:
        if not image.has_transparency_data:
            return True
        return image.convert("RGBA").getchannel("A").getextrema()[0] == 255


_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Of TIFF: bits a channel, what 0 means, how the channels lie, and what those beyond colour are.
_BITS, _PHOTOMETRIC, _PLANES, _EXTRA = 258, 262, 284, 338
_WHITE_IS_ZERO, _PREMULTIPLIED = 0, 1


def _open(data: bytes) -> Image.Image:
    pillow_heif.register_heif_opener()
    with _limit:  # Pillow's is for all of a program, and lower than what phones take
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _MOST_PIXELS
        try:
            return Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _is_deep(image: Image.Image) -> bool:
    """Whether a PNG or TIFF has 16 bits a channel, of which Pillow would keep eight."""
    if image.format == "TIFF":
        return 16 in np.atleast_1d(_tag(image, _BITS) or 1)
    tiles = getattr(image, "tile", None)
    raw_mode = str(tiles[0][3]) if tiles else ""
    return image.format == "PNG" and (image.mode.startswith("I;16") or ";16" in raw_mode)


def _tag(image: Image.Image, number: int) -> Any:
    """What a TIFF says of itself; None where it does not, or is none."""
    return getattr(image, "tag_v2", {}).get(number)


def _read_deep(image: Image.Image, data: bytes) -> np.ndarray | None:
    """None for a kind that OpenCV does not decode."""
    if image.format == "PNG" and not _is_sound_png(data):  # of which libpng would print a line
        raise ValueError("damaged")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        return None
    if decoded.ndim == 2:
        decoded = np.repeat(decoded[..., None], 3, axis=2)
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        decoded = 0xFFFF - decoded
    colours = decoded[..., 2::-1]
    if decoded.shape[2] == 4 and _PREMULTIPLIED in np.atleast_1d(_tag(image, _EXTRA) or ()):
        colours = np.round(colours * (0xFFFF / np.maximum(decoded[..., 3:], 1)).clip(1))
        colours = np.minimum(colours, 0xFFFF).astype(np.uint16)
    is_turned = image.format == "TIFF"  # by OpenCV
    return turn(np.ascontiguousarray(colours), *((0, 0, 0) if is_turned else _turn_of(image)))


def _is_sound_png(data: bytes) -> bool:
    """Whether all chunks up to the last one are there, with the checksums that they should have."""
    place = len(_PNG_SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 8 + length
        if end + 4 > len(data) or crc32(data[place + 4 : end]) != int.from_bytes(
            data[end : end + 4]
        ):
            return False
        if data[place + 4 : place + 8] == b"IEND":
            return True
        place = end + 4
    return False


def _turn_of(image: Image.Image) -> tuple[int, int, int]:
    """What :func:`turn` needs to bring an image upright; nothing where its EXIF block is broken."""
    try:
        return _EXIF_TURNS.get(image.getexif().get(_ORIENTATION, 1), (0, 0, 0))
    except Exception:  # any: Pillow lets through whatever it stumbles on
        return 0, 0, 0


#: (transpose, flip left-right, flip upside down), in that order, for each EXIF orientation.
_EXIF_TURNS = {
    2: (0, 1, 0),
    3: (0, 1, 1),
    4: (0, 0, 1),
    5: (1, 0, 0),
    6: (1, 1, 0),
    7: (1, 1, 1),
    8: (1, 0, 1),
}


def turn(image: np.ndarray, transpose: int, mirror: int, flip: int) -> np.ndarray:
    """Transpose ``image`` (H, W, C), then mirror it left to right, then flip it upside down."""
    if transpose:
        image = image.transpose(1, 0, 2)
    if mirror:
        image = image[:, ::-1]
    if flip:
        image = image[::-1]
    return np.ascontiguousarray(image)


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert to RGB through the embedded profile; phones shoot plates in Display P3."""
    profile = image.info.get("icc_profile")
    if image.mode in ("RGBA", "LA", "PA", "P"):
        image = image.convert("RGBA").convert("RGB")  # straight alpha: the colours stay
    elif image.mode not in ("RGB", "CMYK"):
        image = image.convert("RGB")
    if profile:
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
            image = converted or image
        except (ImageCms.PyCMSError, OSError):  # a profile of another mode, or a broken one
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


class StillImage(FrameSource):
    """One image file that holds for as long as it is needed."""

    still = True

    def __init__(self, path: Path):
        self.name = str(path)
        self._frame = Frame(read_image(path))
        self.size = self._frame.image.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame
