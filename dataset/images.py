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

from .alpha import alpha_of_image, divide, to_alpha
from .colourspace import ColourSpace
from .deep import DPX_SIGNATURES, find_exif, is_deep, read_deep, read_dpx
from .floats import EXR_SIGNATURE, is_float_tiff, read_exr, read_float_tiff
from .jpeg import is_damaged
from .limits import check_file_size, check_pixels
from .orientation import turn, turn_of
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
ALPHA_IGNORED = (
    "has an alpha channel, which is ignored, so hidden colours are used; if this is the clip, "
    "--input-alpha multiply keeps them out"
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
    return _read(path, warn, space, alpha=False)[0]


def read_frame(path: Path, warn: Warn, space: ColourSpace, *, alpha: bool) -> Frame:
    """The same as a frame; with ``alpha``, with the alpha of the image, if it has one.

    Colours that are multiplied by it are divided then.
    """
    return Frame.of(*_read(path, warn, space, alpha=alpha))


#: Pixels as a :class:`ColourSpace` returns them, and alpha (H, W, 1).
_Read = tuple[np.ndarray, np.ndarray | None]


def _read(path: Path, warn: Warn, space: ColourSpace, *, alpha: bool) -> _Read:
    refuse_pipe(path)
    try:
        check_file_size(path)
        return _decode(path, path.read_bytes(), warn, space, alpha=alpha)
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaError(f"{path}: there is not enough memory to read this image") from error
    except DAMAGE_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        raise MediaError(f"{path}: {reason or 'not a readable image'}") from error


def _decode(path: Path, data: bytes, warn: Warn, space: ColourSpace, *, alpha: bool) -> _Read:
    if data.startswith(EXR_SIGNATURE):
        read = read_exr(path, data, warn, linear=space.takes_light)
        return _finish_floats(path, *read, True, warn, space, alpha=alpha)
    if data.startswith(DPX_SIGNATURES):
        told = _ignore_warning if space.is_named else warn
        pixels, pha = read_dpx(path, data, told, alpha=alpha)
        return space(pixels), pha
    if is_float_tiff(data):
        return _finish_floats(path, *read_float_tiff(path, data), warn, space, alpha=alpha)
    with open_image(data) as image:
        deep, form = is_deep(image, data), image.format or ""
        check_pixels(path, image.size, len(data), deep=deep, form=form)
        chunks = PngChunks(data) if data.startswith(SIGNATURE) else None
        if deep:
            if chunks:
                find_exif(image, chunks)
            profile, grey = image.info.get("icc_profile"), len(image.getbands()) < 3
            pixels, pha, turned = read_deep(path, image, data, alpha=alpha)
            if profile:
                try:
                    pixels = deep_to_srgb(pixels, profile, grey=grey)
                except ProfileError as error:
                    warn(f"{path}: {error}; {_KEPT}")
            pixels = pixels if profile else space(pixels)
            how = (0, 0, 0) if turned else turn_of(image)
            return turn(pixels, *how), None if pha is None else turn(pha, *how)
        if image.mode in ("F", "I"):
            raise MediaError(f"{path}: 32 bits a channel; save it with 8 or 16")
        image.load()  # before the EXIF block is read, whose errors are ignored
        if chunks and _may_lack_rows(image, chunks) and not chunks.is_whole():
            raise ValueError("truncated")
        if form in _JPEG_FORMATS and is_damaged(data):
            warn(f"{path}: {_DAMAGED_JPEG}")
        pixels = to_rgb(image, path, warn)
        pixels = pixels if image.info.get("icc_profile") else space(pixels)
        pha = alpha_of_image(image) if alpha else None
        how = turn_of(image)
        return turn(pixels, *how), None if pha is None else turn(pha, *how)


def _finish_floats(
    path: Path,
    pixels: np.ndarray,
    found: np.ndarray | None,
    premultiplied: bool,
    warn: Warn,
    space: ColourSpace,
    *,
    alpha: bool,
) -> _Read:
    """Colours in their space, and their alpha as levels, if it was asked for."""
    if found is None or not alpha:
        if found is not None:
            warn(f"{path}: {ALPHA_IGNORED}")
        return space(pixels), None
    if premultiplied:
        divide(pixels, found)
    return space(pixels), to_alpha(found)


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
    data = path.read_bytes()
    if data.startswith((EXR_SIGNATURE, *DPX_SIGNATURES)) or is_float_tiff(data):
        return True
    with open_image(data) as image:
        if not image.has_transparency_data:
            return True
        return image.convert("RGBA").getchannel("A").getextrema()[0] == 255


def has_profile(path: Path) -> bool:
    """Whether a readable image has a colour profile."""
    data = path.read_bytes()
    if data.startswith((EXR_SIGNATURE, *DPX_SIGNATURES)) or is_float_tiff(data):
        return False
    with open_image(data) as image:
        return bool(image.info.get("icc_profile"))


_DAMAGED_JPEG = "damaged or cut off; parts of it may be grey or show something else"
_KEPT = "its colours are used as if they were sRGB"


def open_image(data: bytes) -> Image.Image:
    pillow_heif.register_heif_opener()
    with _max_pixels_lock:  # Pillow's limit is one for the whole process
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _MAX_PIXELS
        try:
            return Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = before


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
    """One image file, which stands for every frame of a clip.

    Attributes:
        path: The file.
    """

    still = True

    def __init__(self, path: Path, warn: Warn = _ignore_warning, space: ColourSpace = _AUTO):
        self.name, self.path = str(path), path
        self._frame = Frame(read_image(path, warn, space))
        self.size = self._frame.image.shape[:2]
        self.deep = self._frame.image.dtype != np.uint8

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame
