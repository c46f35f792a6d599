"""What befalls plates before a run: laid over the frame, or worked out from a clip.

For samples that were drawn ahead: pictures are uint8 (C, H, W).
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from plate.auto import filled

from .data import Batch
from .textures import Rng

#: The share of samples whose plate does not reach as far as the frame.
SHORT = 0.1
#: The share of samples with a spot of the plate painted over.
PAINTED = 0.3


def spoilt(short: Rng, painted: Rng, sample: Batch) -> Batch:
    """``sample``, or with a plate that befell something: each of the two draws its own."""
    if short.random() < SHORT:
        sample = {**sample, "bgr": fall_short(short, sample["bgr"])}
    if painted.random() < PAINTED:
        sample = {**sample, "bgr": paint_over(painted, sample)}
    return sample


def fall_short(rng: Rng, bgr: Tensor) -> Tensor:
    """``bgr`` (3, H, W) with the colours at one edge in place of what it would hold beyond it."""
    axis, before = (2, 1)[int(rng.random() < 0.4)], rng.random() < 0.5
    length = bgr.shape[axis]
    missing = max(1, round(length * np.exp(rng.uniform(np.log(0.004), np.log(0.05)))))
    place = torch.arange(length)
    place = place.clamp(min=missing) if before else place.clamp(max=length - 1 - missing)
    return bgr.index_select(axis, place)


def paint_over(rng: Rng, sample: Batch) -> Tensor:
    """The plate (3, H, W) with a spot painted over from around it, near the subject mostly.

    Every other spot takes a little of the subject's colour, as where it stood for too long.
    """
    src, plate = (
        np.ascontiguousarray(sample[name].permute(1, 2, 0).numpy()) for name in ("src", "bgr")
    )
    inside = sample["pha"][0].numpy() > 127
    size = np.array(inside.shape)
    longest = size.max()
    if inside.any() and rng.random() < 0.7:
        start = rng.choice(np.argwhere(inside)) + rng.normal(0, 0.03 * longest, 2)
    else:
        start = rng.uniform(0, size)
    steps = rng.normal(0, 0.05 * longest, (int(rng.integers(2, 7)), 2))
    line = np.round(start + steps.cumsum(axis=0)).astype(np.int32)[:, ::-1]
    width = max(1, round(longest * np.exp(rng.uniform(np.log(0.006), np.log(0.07)))))
    spot = np.zeros(size, np.uint8)
    cv2.polylines(spot, [line], isClosed=False, color=1, thickness=width)
    plate = filled(plate, spot)
    if inside.any() and rng.random() < 0.5:
        soft = cv2.GaussianBlur(spot.astype(np.float32), (0, 0), 0.3 * width)
        ghost = rng.uniform(0.1, 0.7) * soft[..., None] * (src[inside].mean(axis=0) - plate)
        plate = np.round(plate + ghost).astype(np.uint8)
    return torch.from_numpy(plate).permute(2, 0, 1)
