"""Images of floats: OpenEXR and TIFF."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from media import Warn

from .alpha import is_alpha
from .limits import check_pixels
from .sources import MediaError

EXR_SIGNATURE = b"v/1\x01"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: TIFF's extra channel that is alpha by which the colours are multiplied.
_PREMULTIPLIED = 1
#: Values in all channels and parts of an EXR: 1 GiB of half floats, 2 GiB of full ones.
_MAX_VALUES = 2**29
#: Red, green, blue and white of BT.709 and sRGB, in CIE x and y.
_BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
#: Difference of chromaticities up to which they are the same.
_SAME = 1e-3
#: Bradford's matrix from XYZ to the responses of cones, in which whites are matched.
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def read_exr(
    path: Path, data: bytes, warn: Warn, *, linear: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode an OpenEXR image: its first part with R, G and B, or with Y.

    Args:
        path: Its path in messages.
        data: Its content.
        warn: Told of primaries that are impossible.
        linear: It holds linear light, whose primaries are converted to those of BT.709.

    Returns:
        (H, W, 3), float32; and its alpha (H, W, 1), float32, by which the colours are multiplied,
        if it has one.

    Raises:
        MediaError: It is damaged, too large, or holds no colours.
    """
    import OpenEXR

    try:
        headers = OpenEXR.File(io.BytesIO(data), header_only=True).parts
    except Exception as error:  # OpenEXR raises errors of many types
        raise MediaError(f"{path}: not a readable image") from error
    _check_parts(path, headers)
    for index, part in enumerate(headers):
        names = [channel.name for channel in part.header["channels"]]
        prefix = _colours_in(names)
        if prefix is None:
            continue
        low, high = part.header["displayWindow"]
        inner = part.header["dataWindow"]
        size = _size_of(low, high)
        for one in (size, _size_of(*inner)):
            check_pixels(path, one, len(data), deep=True, form="EXR", floats=True)
        try:
            whole = OpenEXR.File(io.BytesIO(data), separate_channels=True)
            planes = {name: whole.parts[index].channels[name].pixels for name in names}
        except Exception as error:
            raise MediaError(f"{path}: damaged or cut off") from error
        wanted = [f"{prefix}{name}" for name in "RGB"] if f"{prefix}R" in names else ["Y"] * 3
        wanted += [f"{prefix}A"] if f"{prefix}A" in names else []
        if any(planes[name].shape != planes[wanted[0]].shape for name in wanted):
            raise MediaError(f"{path}: channels of different sizes; save it with full channels")
        image = np.stack([planes[name].astype(np.float32) for name in wanted[:3]], axis=2)
        image = _in_window(image, inner[0] - low, size)
        if linear:
            image = _to_bt709(path, image, part.header.get("chromaticities", _BT709), warn)
        if len(wanted) == 3:
            return image, None
        alpha = planes[wanted[3]].astype(np.float32)[..., None]
        return image, _in_window(alpha, inner[0] - low, size)
    raise MediaError(f"{path}: no channels R, G and B, nor Y")


def _check_parts(path: Path, headers: Any) -> None:
    """Check that all parts can be decoded: OpenEXR decodes none of them alone."""
    values = 0
    for part in headers:
        if "deep" in str(part.header["type"]):
            raise MediaError(f"{path}: deep samples; flatten the image first")
        width, height = _size_of(*part.header["dataWindow"])
        values += width * height * len(part.header["channels"])
    if values > _MAX_VALUES:
        raise MediaError(
            f"{path}: {values // 10**6} million values in all its channels and parts are too many; "
            f"at most {_MAX_VALUES // 10**6} million are read, so save R, G and B alone"
        )


def _size_of(low: np.ndarray, high: np.ndarray) -> tuple[int, int]:
    """(width, height) of a window, whose corners belong to it."""
    width, height = (int(side) for side in high.astype(np.int64) - low + 1)
    return width, height


def _colours_in(names: list[str]) -> str | None:
    """What stands before R, G and B in the names of the channels; None without them."""
    prefixes = ["", *sorted({name[:-1] for name in names if name.endswith(".R")})]
    for prefix in prefixes:
        if {f"{prefix}{name}" for name in "RGB"} <= set(names):
            return prefix
    return "" if "Y" in names else None


def _in_window(image: np.ndarray, offset: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image placed in a window of ``size`` (width, height), black around it."""
    left, top = (int(x) for x in offset)
    width, height = size
    if (left, top) == (0, 0) and image.shape[:2] == (height, width):
        return image
    placed = np.zeros((height, width, image.shape[2]), np.float32)
    rows = slice(max(0, top), max(0, min(height, top + image.shape[0])))
    columns = slice(max(0, left), max(0, min(width, left + image.shape[1])))
    placed[rows, columns] = image[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return placed


def _to_bt709(path: Path, image: np.ndarray, chromaticities: Any, warn: Warn) -> np.ndarray:
    """Convert linear light from other primaries; white stays white."""
    if np.abs(np.array(chromaticities) - _BT709).max() < _SAME:
        return image
    with np.errstate(all="ignore"), suppress(np.linalg.LinAlgError):
        from_xyz, to_xyz = np.linalg.inv(_to_xyz(_BT709)), _to_xyz(chromaticities)
        white, white_before = _CONES @ _to_xyz(_BT709).sum(axis=1), _CONES @ to_xyz.sum(axis=1)
        adapted = np.linalg.solve(_CONES, (white / white_before)[:, None] * (_CONES @ to_xyz))
        matrix = (from_xyz @ adapted).T.astype(np.float32)
        if np.isfinite(matrix).all():
            converted: np.ndarray = image @ matrix
            return converted
    warn(f"{path}: impossible primaries in its header; it is read as BT.709")
    return image


def _to_xyz(chromaticities: Any) -> np.ndarray:
    """The matrix from linear RGB to XYZ; see SMPTE RP 177."""
    xy = np.array(chromaticities, np.float64).reshape(4, 2)
    xyz = np.column_stack([xy, 1 - xy.sum(axis=1)])
    colours, white = xyz[:3].T, xyz[3] / xyz[3, 1]
    scaled: np.ndarray = colours * np.linalg.solve(colours, white)
    return scaled


def is_float_tiff(data: bytes) -> bool:
    """Whether the content of a file is a TIFF of floats."""
    if not data.startswith(_TIFF_SIGNATURES):
        return False
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return file.pages[0].dtype is not None and file.pages[0].dtype.kind == "f"
    except Exception:  # tifffile's parser raises errors of many types
        return False


def read_float_tiff(path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Decode a TIFF of floats.

    Returns:
        (H, W, 3), float32; its alpha (H, W, 1), float32, if it has one; and whether the colours are
        multiplied by alpha.

    Raises:
        MediaError: It is damaged, too large, or of a kind that cannot be decoded.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        size = page.imagewidth, page.imagelength
        check_pixels(path, size, len(data), deep=True, form="TIFF", floats=True)
        try:
            decoded = page.asarray()
        except Exception as error:  # as above
            raise MediaError(
                f"{path}: a TIFF of floats that cannot be read; save it without compression, or as "
                "EXR"
            ) from error
    if decoded.ndim == 3 and decoded.shape[:2] != size[::-1] and decoded.shape[1:] == size[::-1]:
        decoded = decoded.transpose(1, 2, 0)  # one channel after the other
    if decoded.ndim == 2:
        decoded = np.repeat(decoded[..., None], 3, axis=2)
    if decoded.ndim != 3 or decoded.shape[:2] != size[::-1] or decoded.shape[2] not in (3, 4):
        raise MediaError(f"{path}: neither grey nor RGB; save it as RGB")
    colours = np.ascontiguousarray(decoded[..., :3], np.float32)
    if decoded.shape[2] == 3 or not is_alpha(page.extrasamples or None):
        return colours, None, False
    return colours, decoded[..., 3:].astype(np.float32), _PREMULTIPLIED in page.extrasamples
