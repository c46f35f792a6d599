"""Image files."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
import pillow_heif
from PIL import Image, ImageCms

from media import Warn

from .colourspace import ColourSpace
from .deep import find_exif, is_deep, read_deep, read_dpx
from .floats import EXR_SIGNATURE, is_float_tiff, read_exr, read_float_tiff
from .jpeg import is_damaged
from .limits import check_file_size, check_pixels
from .png import SIGNATURE, PngChunks
from .profiles import ProfileError, deep_to_srgb, transform_to_srgb
from .sources import Frame, FrameSource, MediaError, refuse_pipe, to_levels

#: Pixels up to which Pillow opens an image without a warning; check_pixels has the real limit.
_MAX_PIXELS = 2**30
_max_pixels_lock = Lock()
#: Pillow's names of formats that hold animations or pages.
_MULTI_IMAGE_FORMATS = ("PNG", "TIFF", "WEBP", "GIF", "AVIF")
#: Pillow's names of JPEG, and of several in a file.
_JPEG_FORMATS = ("JPEG", "MPO")
#: What decoders raise for damaged files.
DAMAGE_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, RuntimeError, IndexError, struct.error),
    *(Image.DecompressionBombError, cv2.error),
)
#: Rows to convert to RGB at a time: a large image should not be in memory three times.
_ROWS = 512

IMAGE_EXTENSIONS = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dib"),
        *(".heic", ".heif", ".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".j2c"),
        *(".jpc", ".jpf", ".jpx", ".pcx", ".qoi", ".exr", ".dpx"),
    )
)
#: Extensions of formats that are videos more often than images.
_MOVING_EXTENSIONS = frozenset((".gif", ".apng", ".avif", ".avifs"))


def is_image_name(path: Path) -> bool:
    """Whether the extension is one of an image format that can be read."""
    return path.suffix.lower() in IMAGE_EXTENSIONS


def is_frame_name(path: Path) -> bool:
    """Whether a file with this extension may be a frame in a folder."""
    return is_image_name(path) or path.suffix.lower() in _MOVING_EXTENSIONS


def is_moving_name(path: Path) -> bool:
    """Whether the extension is one of a format that holds an image or an animation."""
    return path.suffix.lower() in _MOVING_EXTENSIONS


def _ignore_warning(message: str) -> None:
    """For callers that need no warnings."""


_AUTO = ColourSpace()


def read_image(path: Path, warn: Warn = _ignore_warning, space: ColourSpace = _AUTO) -> np.ndarray:
    """Read an image as levels; see :func:`read_pixels`.

    Returns:
        (H, W, 3), RGB: uint16 for files with more than 8 bits a channel, else uint8.
    """
    return to_levels(read_pixels(path, warn, space))


def read_pixels(path: Path, warn: Warn = _ignore_warning, space: ColourSpace = _AUTO) -> np.ndarray:
    """Read an image upright (EXIF orientation applied), without its alpha.

    An image with an embedded colour profile is converted to sRGB.

    Args:
        path: The file.
        warn: Called if the profile cannot be applied.
        space: The colour space of images without a profile.

    Returns:
        (H, W, 3), RGB, as a :class:`ColourSpace` returns them.

    Raises:
        MediaError: The file is missing, or does not hold an image that can be read.
    """
    refuse_pipe(path)
    try:
        check_file_size(path)
        return _decode(path, path.read_bytes(), warn, space)
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaError(f"{path}: there is not enough memory to read this image") from error
    except DAMAGE_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        raise MediaError(f"{path}: {reason or 'not a readable image'}") from error


def _decode(path: Path, data: bytes, warn: Warn, space: ColourSpace) -> np.ndarray:
    if data.startswith(EXR_SIGNATURE):
        pixels, has_alpha = read_exr(path, data)
        if has_alpha:
            warn(f"{path}: {_ALPHA_IGNORED}")
        return space(pixels)
    if data.startswith(_DPX_SIGNATURES):
        return space(read_dpx(path, data, warn))
    if is_float_tiff(data):
        return space(read_float_tiff(path, data))
    with open_image(data) as image:
        deep, form = is_deep(image, data), image.format or ""
        check_pixels(path, image.size, len(data), deep=deep, form=form)
        chunks = PngChunks(data) if data.startswith(SIGNATURE) else None
        if deep:
            if chunks:
                find_exif(image, chunks)
            profile, grey = image.info.get("icc_profile"), len(image.getbands()) < 3
            pixels, turned = read_deep(path, image, data)
            if profile:
                try:
                    pixels = deep_to_srgb(pixels, profile, grey=grey)
                except ProfileError as error:
                    warn(f"{path}: {error}; {_KEPT}")
            pixels = pixels if profile else space(pixels)
            return turn(pixels, *((0, 0, 0) if turned else _turn_of(image)))
        if image.mode in ("F", "I"):
            raise MediaError(f"{path}: 32 bits a channel; save it with 8 or 16")
        image.load()  # before the EXIF block is read, whose errors are ignored
        if chunks and _may_lack_rows(image, chunks) and not chunks.is_whole():
            raise ValueError("truncated")
        if form in _JPEG_FORMATS and is_damaged(data):
            warn(f"{path}: {_DAMAGED_JPEG}")
        pixels = to_rgb(image, path, warn)
        pixels = pixels if image.info.get("icc_profile") else space(pixels)
        return turn(pixels, *_turn_of(image))


def _may_lack_rows(image: Image.Image, chunks: PngChunks) -> bool:
    """Whether a PNG may be shorter than its header says: Pillow leaves lacking rows at 0."""
    corner = image.getpixel((image.width - 1, image.height - 1))
    return chunks.interlaced or not np.any(corner)


def count_images(path: Path) -> int:
    """Number of images in a file, of which :func:`read_image` reads the first.

    It is 1 for formats without animations or pages; phones store thumbnails in these.
    """
    try:
        check_file_size(path)
        with open_image(path.read_bytes()) as image:
            return getattr(image, "n_frames", 1) if image.format in _MULTI_IMAGE_FORMATS else 1
    except Exception:  # read_image raises the error with a message
        return 1


def is_opaque(path: Path) -> bool:
    """Whether a readable image has no alpha, or an alpha of 255 everywhere.

    Images of floats count as opaque: :func:`read_pixels` warns of their alpha.
    """
    if path.suffix.lower() in _WITHOUT_PILLOW:
        return True
    data = path.read_bytes()
    if is_float_tiff(data):
        return True
    with open_image(data) as image:
        if not image.has_transparency_data:
            return True
        return image.convert("RGBA").getchannel("A").getextrema()[0] == 255


_ORIENTATION = 0x0112
_DAMAGED_JPEG = "damaged or cut off; parts of it may be grey or show something else"
_KEPT = "its colours are used as if they were sRGB"
_ALPHA_IGNORED = "has an alpha channel, which is ignored"
_DPX_SIGNATURES = (b"SDPX", b"XPDS")
_WITHOUT_PILLOW = (".exr", ".dpx")


def open_image(data: bytes) -> Image.Image:
    pillow_heif.register_heif_opener()
    with _max_pixels_lock:  # Pillow's limit is one for the whole process
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _MAX_PIXELS
        try:
            return Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = before


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


def to_rgb(image: Image.Image, path: Path, warn: Warn) -> np.ndarray:
    """The pixels of an image of 8 bits as sRGB, through the embedded profile, without alpha.

    Args:
        image: The image.
        path: Its path in messages.
        warn: Called if the profile cannot be applied.

    Returns:
        (H, W, 3), uint8.
    """
    transform: Any = None
    mode = _base_mode(image.mode)
    if profile := image.info.get("icc_profile"):
        try:
            mode, transform = transform_to_srgb(profile, mode)
        except ProfileError as error:
            warn(f"{path}: {error}; {_KEPT}")
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _ROWS):
        rows = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
        if rows.mode in ("RGBA", "LA", "PA", "P", "RGBa", "La"):
            rows = rows.convert("RGBA")  # drops alpha without blending
        rows = rows if rows.mode == mode else rows.convert(mode)
        if transform is not None:
            rows = ImageCms.applyTransform(rows, transform) or rows
        pixels[top : top + _ROWS] = np.asarray(rows if rows.mode == "RGB" else rows.convert("RGB"))
    return pixels


def _base_mode(mode: str) -> str:
    """The mode without alpha and palette."""
    if mode in ("CMYK", "LAB"):
        return mode
    return "L" if mode in ("1", "L", "LA", "La") else "RGB"


class StillImage(FrameSource):
    """One image file, which stands for every frame of a clip."""

    still = True

    def __init__(self, path: Path, warn: Warn = _ignore_warning, space: ColourSpace = _AUTO):
        self.name = str(path)
        self._frame = Frame(read_image(path, warn, space))
        self.size = self._frame.image.shape[:2]
        self.deep = self._frame.image.dtype != np.uint8

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame
