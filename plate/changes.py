"""Where a frame differs from its plate by more than noise and light."""

from typing import NamedTuple

import cv2
import numpy as np

from .colour_match import fit_colours
from .compare import difference

#: Difference in levels up to which a frame is as its plate, and the multiple of the noise.
_LEAST, _TIMES_NOISE = 8.0, 8.0
#: Limit in levels above which it is no noise any more: more is different than is the same.
_MOST = 24.0
#: Share of a frame with the smallest differences, which tell its noise.
_QUIET = 0.25
#: Multiple of the limit that noise never reaches, and the share of the contrast around a pixel of
#: the plate that a plate which lies a little off makes.
_CLEAR, _SHIFTED = 3.0, 0.5


class Changes(NamedTuple):
    """Which pixels differ, (h, w), bool.

    Attributes:
        some: By more than noise.
        clear: By far more than that.
        strong: By far more, even if the plate lies a little off.
    """

    some: np.ndarray
    clear: np.ndarray
    strong: np.ndarray


def find_changes(frame: np.ndarray, plate: np.ndarray) -> Changes:
    """Compare a frame with its plate, after gain and offset of the light are taken out.

    Args:
        frame: (h, w, 3), RGB, float32 in levels from 0 to 255, a hundred pixels wide or so.
        plate: Likewise.
    """
    few = frame[::2, ::2].reshape(-1, 3) / 255, plate[::2, ::2].reshape(-1, 3) / 255
    fit = fit_colours(*few)
    if fit is not None:
        plate = (plate * fit.gain + 255 * fit.offset).clip(0, 255).astype(np.float32)
    apart = difference(frame, plate)
    limit = max(_LEAST, _TIMES_NOISE * float(np.quantile(apart, _QUIET)))
    limit = limit if limit <= _MOST else _LEAST
    around = np.ones((3, 3), np.uint8)
    contrast = cv2.dilate(plate, around) - cv2.erode(plate, around)
    shifted = _SHIFTED * contrast.max(axis=2)
    return Changes(apart > limit, apart >= _CLEAR * limit, apart - shifted >= _CLEAR * limit)
