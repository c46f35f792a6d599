"""Image files."""

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

#: Pixels up to which Pillow opens an image without a warning, instead of its own lower limit, which
#: photos of phones exceed. Twice as many are an error.
_MAX_PIXELS = 2**30
_max_pixels_lock = Lock()
#: Pillow's names of formats that hold animations or pages.
_MULTI_IMAGE_FORMATS = ("PNG", "TIFF", "WEBP")
#: What decoders raise for damaged files.
_DAMAGE_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error),
    *(Image.DecompressionBombError, cv2.error),
)

IMAGE_EXTENSIONS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".heic", ".heif")
)


def is_image_name(path: Path) -> bool:
    """Whether the extension is one of an image format that can be read."""
    return path.suffix.lower() in IMAGE_EXTENSIONS


def read_image(path: Path) -> np.ndarray:
    """Read an image upright (EXIF orientation applied), without its alpha.

    An image of 8 bits with an embedded profile is converted to sRGB.

    Returns:
        (H, W, 3), RGB: uint16 for files with 16 bits a channel, else uint8.

    Raises:
        MediaError: The file is missing, or does not hold an image that can be read.
    """
    refuse_pipe(path)
    try:
        data = path.read_bytes()
        with _open(data) as image:
            if _is_deep(image):
                if _tag(image, _PLANES) == 2 and len(image.getbands()) > 1:
                    raise MediaError(
                        f"{path}: 16 bits with one channel after the other; save it with "
                        "interleaved channels"
                    )
                if (deep := _read_deep(image, data)) is not None:
                    return deep
                image.load()  # raises if it is damaged
                kind = "/".join(image.getbands())
                raise MediaError(
                    f"{path}: 16 bits a channel as {kind}, which cannot be read; save it as RGB"
                )
            if image.mode in ("F", "I"):
                raise MediaError(f"{path}: 32 bits a channel; save it with 8 or 16")
            image.load()  # before the EXIF block is read, whose errors are ignored
            return turn(np.array(_to_srgb(image)), *_turn_of(image))
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaError(f"{path}: there is not enough memory to read this image") from error
    except _DAMAGE_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        raise MediaError(f"{path}: {reason or 'not a readable image'}") from error


def count_images(path: Path) -> int:
    """Number of images in a file, of which :func:`read_image` reads the first.

    It is 1 for formats without animations or pages; phones store thumbnails in these.
    """
    try:
        with _open(path.read_bytes()) as image:
            return getattr(image, "n_frames", 1) if image.format in _MULTI_IMAGE_FORMATS else 1
    except Exception:  # read_image raises the error with a message
        return 1


def is_opaque(path: Path) -> bool:
    """Whether a readable image has no alpha, or an alpha of 255 everywhere."""
    with _open(path.read_bytes()) as image:
        if not image.has_transparency_data:
            return True
        return image.convert("RGBA").getchannel("A").getextrema()[0] == 255


_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: TIFF tags: bits a channel, meaning of 0, planar or interleaved, meaning of extra channels.
_BITS, _PHOTOMETRIC, _PLANES, _EXTRA = 258, 262, 284, 338
_WHITE_IS_ZERO, _PREMULTIPLIED = 0, 1


def _open(data: bytes) -> Image.Image:
    pillow_heif.register_heif_opener()
    with _max_pixels_lock:  # Pillow's limit is one for the whole process
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _MAX_PIXELS
        try:
            return Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _is_deep(image: Image.Image) -> bool:
    """Whether an image is a PNG or TIFF with 16 bits a channel, which Pillow reduces to 8."""
    if image.format == "TIFF":
        return 16 in np.atleast_1d(_tag(image, _BITS) or 1)
    tiles = getattr(image, "tile", None)
    raw_mode = str(tiles[0][3]) if tiles else ""
    return image.format == "PNG" and (image.mode.startswith("I;16") or ";16" in raw_mode)


def _tag(image: Image.Image, number: int) -> Any:
    """The value of a TIFF tag; None if it is missing or the image is not a TIFF."""
    return getattr(image, "tag_v2", {}).get(number)


def _read_deep(image: Image.Image, data: bytes) -> np.ndarray | None:
    """Decode 16 bits a channel: (H, W, 3), uint16; None for a kind that OpenCV cannot decode."""
    if image.format == "PNG" and not _is_intact_png(data):  # libpng would print to stderr
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
    is_turned = image.format == "TIFF"  # OpenCV applies the orientation
    return turn(np.ascontiguousarray(colours), *((0, 0, 0) if is_turned else _turn_of(image)))


def _is_intact_png(data: bytes) -> bool:
    """Whether all chunks up to the last one are complete and have the right checksums."""
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
    """Arguments of :func:`turn` for the EXIF orientation; no turn where the EXIF is broken."""
    try:
        return _EXIF_TURNS.get(image.getexif().get(_ORIENTATION, 1), (0, 0, 0))
    except Exception:  # Pillow's parser raises errors of many types
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
    """Convert to RGB through the embedded profile; photos of phones are often in Display P3."""
    profile = image.info.get("icc_profile")
    if image.mode in ("RGBA", "LA", "PA", "P"):
        image = image.convert("RGBA").convert("RGB")  # drops alpha without blending
    elif image.mode not in ("RGB", "CMYK"):
        image = image.convert("RGB")
    if profile:
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
            image = converted or image
        except (ImageCms.PyCMSError, OSError):  # a broken profile, or one for another mode
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


class StillImage(FrameSource):
    """One image file, which stands for every frame of a clip."""

    still = True

    def __init__(self, path: Path):
        self.name = str(path)
        self._frame = Frame(read_image(path))
        self.size = self._frame.image.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame
