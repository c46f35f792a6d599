"""Procedural scenes: several surfaces with light, clutter and blur."""

from typing import Any

import cv2
import numpy as np

from .arrays import Array, Rng
from .fields import colour, coordinates
from .textures import texture


def scene(rng: Rng, height: int, width: int) -> Array:
    """An empty scene (H, W, 3): surfaces that meet at edges, objects, uneven light and blur."""
    image = texture(rng, height, width)
    for _ in range(int(rng.choice(4, p=[0.25, 0.3, 0.25, 0.2]))):
        mask = _region(rng, height, width)
        image += mask[..., None] * (texture(rng, height, width) - image)
    if rng.random() < 0.35:
        _scatter(rng, image)
    if rng.random() < 0.4:
        along, _ = coordinates(rng, height, width)
        light = along / (np.abs(along).max() + 1)
        image *= (1 + rng.uniform(-0.5, 0.5) * light)[..., None]
    if rng.random() < 0.4:  # out of focus
        sigma = max(height, width) * np.exp(rng.uniform(np.log(0.002), np.log(0.03)))
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    return image.clip(0, 1)


def _region(rng: Rng, height: int, width: int) -> Array:
    """Coverage (H, W) of one surface of a scene: a half plane, a box or a polygon."""
    mask: Array = np.zeros((height, width), np.uint8)
    corners: list[Any]
    kind = rng.random()
    if kind < 0.4:  # ground, wall, sky
        horizon, slope = rng.uniform(0.2, 0.8), rng.normal(0, 0.15)
        ends = [(0, height * (horizon - slope)), (width, height * (horizon + slope))]
        corners = [*ends, (width, height), (0, height)]
    elif kind < 0.7:  # doors, windows, boards
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = width * rng.uniform(0.05, 0.4), height * rng.uniform(0.05, 0.6)
        corners = [(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)]
    else:
        centre = rng.uniform((0, 0), (width, height))
        corners = list(centre + rng.normal(0, max(height, width) / 3, (4, 2)))
    cv2.fillPoly(mask, [np.array(corners).astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.5 and kind < 0.7 and width == height:
        mask = np.ascontiguousarray(mask.T)
    return mask.astype(np.float32) / 255


def _scatter(rng: Rng, image: Array) -> None:
    """Draw a few plain objects and wires into ``image`` (H, W, 3), in place."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 12))):
        x, y = rng.uniform((0, 0), (width, height)).astype(int).tolist()
        size = max(height, width) * rng.uniform(0.01, 0.12)
        shade = colour(rng).tolist()
        kind = rng.random()
        if kind < 0.4:
            box = ((x, y), (size, size * rng.uniform(0.3, 3)), rng.uniform(0, 180))
            cv2.ellipse(image, box, shade, -1)
        elif kind < 0.7:
            corner = (int(x + size), int(y + size * rng.uniform(0.3, 3)))
            cv2.rectangle(image, (x, y), corner, shade, -1)
        else:
            end = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            cv2.line(image, (x, y), end, shade, int(1 + size / 16))
