"""Cut the astronaut out of scikit-image's NASA portrait: ``python samples/cutout.py``.

Needs scikit-image (for the portrait, which is in the public domain) and PyMatting. The outline was
drawn by eye; closed-form matting gives the alpha along it, hair included.
"""

from pathlib import Path

import cv2
import numpy as np
from pymatting import estimate_alpha_cf, estimate_foreground_ml
from skimage import data

HERE = Path(__file__).parent

#: The outline in pixels (x,y) of the 512x512 portrait, clockwise from the left of the hair.
HAIR = """153,75 155,62 163,50 180,38 190,32 196,23 210,18 232,15 250,18 262,25 280,33 290,45 296,60
301,82 297,100 288,118 282,127"""
BODY = """277,135 268,137 266,145 258,160 256,172 274,184 284,194 292,203 299,216 304,230
307,237 322,243
335,255 345,270 350,290 355,310 361,330 366,346 380,347 400,342 420,343 445,353 465,368 480,388
490,410 495,435 497,450 502,452 507,470 511,490 511,560 48,560 48,511 36,485 29,470 24,448 22,416
20,400 23,380 25,345 32,320 38,300 50,270 62,256 72,240 85,228 98,220 110,207 112,190 118,184
123,180 130,165 145,153 165,148 183,149 183,140 182,131 175,131 170,122 163,112 157,103 155,90"""


def trimap(height: int, width: int) -> np.ndarray:
    """1 inside, 0 outside, 0.5 along the outline: (H, W)."""
    hair, body = (
        np.array([point.split(",") for point in points.split()], np.int32)
        for points in (HAIR, BODY)
    )
    solid = np.zeros((height, width), np.uint8)
    cv2.fillPoly(solid, [np.concatenate([hair, body])], 255)
    unknown = np.zeros_like(solid)
    cv2.polylines(unknown, [np.concatenate([hair, body])], True, 255, 9)
    cv2.polylines(unknown, [hair], False, 255, 21)
    return np.where(unknown > 0, 0.5, solid / 255.0)


def main() -> None:
    """Write ``astronaut.png``, 8-bit RGBA with straight alpha."""
    portrait = data.astronaut() / 255.0
    alpha = estimate_alpha_cf(portrait, trimap(*portrait.shape[:2]))
    alpha = ((alpha - 0.04) / 0.84).clip(0, 1)  # the grey ring is opaque despite the grey wall
    colour = estimate_foreground_ml(portrait, alpha)
    colour[alpha < 0.002] = 0  # invisible: compresses better
    cutout = np.dstack([colour[..., ::-1], alpha])
    levels = np.round(255 * cutout.clip(0, 1)).astype(np.uint8)
    cv2.imwrite(str(HERE / "astronaut.png"), levels, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
