"""Turns images upright."""

import numpy as np
from PIL import Image

#: EXIF's number for the orientation.
_ORIENTATION = 0x0112


def turn_of(image: Image.Image) -> tuple[int, int, int]:
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
