"""OpenEXR images in linear light."""

import io
from typing import Any, get_args

import numpy as np
import OpenEXR

from .encoded import About, Encoded
from .formats import ExrCompression

_COMPRESSIONS = {
    name: getattr(OpenEXR, f"{'NO' if name == 'none' else name.upper()}_COMPRESSION")
    for name in get_args(ExrCompression)
}
#: Red, green, blue and white of BT.709 and sRGB, in CIE x and y.
_CHROMATICITIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)


def encode(image: np.ndarray, about: About) -> Encoded:
    """Encode an image (H, W, 1, 3 or 4), float16 or float32.

    Its channels are R, G, B and A, or Y for one level.
    """
    header: dict[str, Any] = {
        "type": OpenEXR.scanlineimage,
        "compression": _COMPRESSIONS[about.compression or "zip"],
        "chromaticities": _CHROMATICITIES,
        "software": "bgmv2",
    }
    if about.frame_rate is not None:
        header["framesPerSecond"] = about.frame_rate
        header["timeCode"] = _time_code(about)
    names = {1: "Y", 3: "RGB", 4: "RGBA"}[image.shape[2]]
    planes = {names: image[..., 0] if names == "Y" else image}
    content = io.BytesIO()
    OpenEXR.File(header, {name: np.ascontiguousarray(x) for name, x in planes.items()}).write(
        content
    )
    return [content.getbuffer()]


def _time_code(about: About) -> OpenEXR.TimeCode:
    """The number of a frame as hours, minutes, seconds and frames, without dropped numbers."""
    assert about.frame_rate is not None
    rate = max(1, round(about.frame_rate))
    seconds, frame = divmod(about.number, rate)
    minutes, hours = seconds // 60, seconds // 3600
    # Numbers of frames have two digits here; the rest are flags and data of the user.
    return OpenEXR.TimeCode(hours % 24, minutes % 60, seconds % 60, min(frame, 99), *[0] * 14)


def is_whole(content: bytes) -> bool:
    """Whether the content of a file is a whole image."""
    try:
        return bool(OpenEXR.File(io.BytesIO(content)).parts)
    except Exception:  # OpenEXR raises errors of many types
        return False
