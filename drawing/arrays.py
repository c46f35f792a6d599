"""Types of the drawing code, and images as 8-bit levels.

Throughout this package an image is float32 RGB in [0, 1] of shape (H, W, 3), and a field is
float32 in [0, 1] of shape (H, W), unless a docstring states otherwise.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rng = np.random.Generator


def to_uint8(image: Array) -> Array:
    """An array of any shape in [0, 1] as rounded uint8 levels; values outside are clipped."""
    return np.round(255 * image.clip(0, 1)).astype(np.uint8)
