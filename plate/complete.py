"""Completes a plate that covers only a part of what a clip shows, from the clip."""

import cv2
import numpy as np

from .camera_path import CameraPath
from .colour_match import fit_colours
from .mosaic import Mosaic

#: Standard deviation, in pixels, by which the plate fades into what the clip shows.
_FADE = 4.0
#: Pixels by which the light of both is compared.
_MAX_PIXELS = 50_000
#: Share of what the clip shows, in [0, 1], that is told.
_MIN_TOLD = 0.0005


def complete(
    mosaic: Mosaic, part: tuple[np.ndarray, str], path: CameraPath, to_plate: np.ndarray
) -> tuple[np.ndarray, str]:
    """Lay a plate over a wide one that a clip made.

    Args:
        mosaic: The wide plate.
        part: A plate (H, W, 3), uint8 or uint16, of the size of the frames, and its name.
        path: Of the camera through the clip.
        to_plate: (3, 3), maps pixels of the first frame to pixels of the wide plate.

    Returns:
        The wide plate (H, W, 3), uint8: the plate given in the light of the clip, and around it
        what the clip shows; and what was done, in one sentence.
    """
    plate, name = part
    plate = plate if plate.dtype == np.uint8 else np.rint(plate / 257).astype(np.uint8)
    placed = path.place(plate)
    if placed is None:
        return mosaic.image, (
            f"{name}: shows nothing of the clip, so that the plate is made from the clip alone; "
            "look at plate.png"
        )
    matrix, size = to_plate @ np.linalg.inv(placed), mosaic.image.shape[1::-1]
    inside = np.zeros(plate.shape[:2], np.float32)
    inside[2:-2, 2:-2] = 1
    covered = cv2.warpPerspective(inside, matrix, size)
    laid = cv2.warpPerspective(
        plate, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    alike = (covered > 0.999) & mosaic.seen & ~mosaic.spots
    every = max(1, round(np.sqrt(alike.sum() / _MAX_PIXELS)))
    some = alike[::every, ::every]
    levels = (x[::every, ::every][some] / np.float32(255) for x in (mosaic.image, laid))
    fit = fit_colours(*levels)
    if fit is not None:
        laid = laid * fit.gain + 255 * fit.offset
    fade = (2 * cv2.GaussianBlur(covered, (0, 0), _FADE) - 1).clip(0, 1)[..., None]
    image = np.rint((mosaic.image * (1 - fade) + laid * fade).clip(0, 255)).astype(np.uint8)
    seen = max(1, int(mosaic.seen.sum()))
    beyond = mosaic.seen & (covered < 0.5)
    filled = float((mosaic.spots & beyond).sum()) / seen
    mosaic.spots &= beyond
    mosaic.agreement[~beyond & mosaic.seen] = 1
    told = (
        f"{name}: shows {1 - beyond.sum() / seen:.0%} of what the clip does; the clip fills the "
        "rest"
    )
    if filled >= _MIN_TOLD:
        told += f", but for {filled:.2%} that was never free"
    return image, told
