"""Defects of plates that alignment or estimation from a clip leaves: lost edges, painted spots.

Images are uint8 tensors (C, H, W).
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from plate.auto import filled

from .arrays import Rng

#: A training sample as tensors: ``src bgr fgr`` (3, H, W) and ``pha`` (1, H, W), uint8.
Tensors = dict[str, Tensor]

#: Share of samples whose plate ends before the edge of the frame.
EDGE_SHARE = 0.1
#: Share of samples whose plate has a painted spot.
SPOT_SHARE = 0.3


def with_defects(edge_rng: Rng, spot_rng: Rng, sample: Tensors) -> Tensors:
    """``sample`` with a lost edge, a painted spot, both or neither in its plate.

    Args:
        edge_rng: Decides on the lost edge, and draws it.
        spot_rng: Decides on the painted spot, and draws it.
        sample: The sample; not changed.
    """
    if edge_rng.random() < EDGE_SHARE:
        sample = {**sample, "bgr": lose_edge(edge_rng, sample["bgr"])}
    if spot_rng.random() < SPOT_SHARE:
        sample = {**sample, "bgr": paint_over(spot_rng, sample)}
    return sample


def lose_edge(rng: Rng, bgr: Tensor) -> Tensor:
    """``bgr`` (3, H, W) with a strip along one edge replaced by the colours next to the strip."""
    axis, before = (2, 1)[int(rng.random() < 0.4)], rng.random() < 0.5
    length = bgr.shape[axis]
    missing = max(1, round(length * np.exp(rng.uniform(np.log(0.004), np.log(0.05)))))
    place = torch.arange(length)
    place = place.clamp(min=missing) if before else place.clamp(max=length - 1 - missing)
    return bgr.index_select(axis, place)


def paint_over(rng: Rng, sample: Tensors) -> Tensor:
    """The plate (3, H, W) with a spot inpainted from its surroundings, mostly near the subject.

    Half of the spots take on some of the subject's colour, as where a subject stayed too long.
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
