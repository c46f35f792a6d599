"""TIFF images, compressed without loss."""

import io

import numpy as np
import tifffile

from .encoded import About, Encoded


def encode(image: np.ndarray, about: About) -> Encoded:
    """Encode an image (H, W, 1, 3 or 4), uint8 or uint16; a tag says what its alpha is."""
    channels = image.shape[2]
    alpha = "assocalpha" if about.premultiplied else "unassalpha"
    content = io.BytesIO()
    tifffile.imwrite(
        content,
        image[..., 0] if channels == 1 else image,
        photometric="minisblack" if channels == 1 else "rgb",
        extrasamples=[alpha] if channels == 4 else None,
        compression="zlib",
        compressionargs={"level": 1},
        predictor=True,
        metadata=None,
        software="bgmv2",
    )
    return [content.getbuffer()]


def is_whole(content: bytes) -> bool:
    """Whether the content of a file is a whole image."""
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            return bool(file.pages) and file.asarray().size > 0
    except Exception:  # tifffile's parser raises errors of many types
        return False
