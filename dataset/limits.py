"""Limits on the size of images, checked before they are decoded."""

from pathlib import Path

from .sources import MediaError

#: Bytes of memory that decoding an image may take.
_MAX_BYTES = 1536 * 2**20
#: Bytes of memory a pixel, with 8 and with 16 bits a channel: what the decoder holds, and RGB.
_PIXEL_BYTES, _DEEP_PIXEL_BYTES = 7, 14
#: The same for floats, with levels for the network beside them.
_FLOAT_PIXEL_BYTES = 46
#: Pixels above which an image is refused whose file has fewer bytes than a thousandth of its RGB
#: levels: no camera and no renderer makes such a file.
_MAX_EMPTY_PIXELS, _MAX_RATIO = 2**26, 1000
#: Pixels that a byte of a JPEG holds at most: a block of 8x8 takes at least one bit.
_MAX_JPEG_PIXELS = 8 * 64


def check_file_size(path: Path) -> None:
    """Check that a file fits into memory.

    Raises:
        MediaError: It does not.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise MediaError(
            f"{path}: {path.stat().st_size / 2**30:.1f} GiB, which is too large for an image; at "
            f"most {_MAX_BYTES / 2**30:.1f} GiB are read"
        )


def check_pixels(
    path: Path,
    size: tuple[int, int],
    stored: int,
    *,
    deep: bool,
    form: str,
    floats: bool = False,
) -> None:
    """Check that an image can be decoded within the limits.

    Args:
        path: Its path in messages.
        size: (width, height) by its header.
        stored: Bytes in its file.
        deep: It has 16 bits a channel.
        form: Pillow's name of its format.
        floats: It has floats.

    Raises:
        MediaError: It cannot.
    """
    pixels = size[0] * size[1]
    bits = "floats" if floats else f"{16 if deep else 8} bits"
    bytes_each = _DEEP_PIXEL_BYTES if deep else _PIXEL_BYTES
    most = _MAX_BYTES // (_FLOAT_PIXEL_BYTES if floats else bytes_each)
    claimed = f"{size[0]}x{size[1]} pixels"
    if pixels > most:
        raise MediaError(
            f"{path}: {claimed} are too many; at most {most // 10**6} megapixels with "
            f"{bits} are read, so scale it down"
        )
    impossible = form in ("JPEG", "MPO") and pixels > 10**6 and pixels > _MAX_JPEG_PIXELS * stored
    if impossible or (pixels > _MAX_EMPTY_PIXELS and 3 * pixels > _MAX_RATIO * stored):
        raise MediaError(
            f"{path}: a file of {stored} bytes with {claimed} is damaged, or made to fill the "
            "memory; save it again from its source, or smaller"
        )
