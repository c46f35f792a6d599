"""Baselines for a network: a difference key, and closed-form matting from that key."""

import cv2
import numpy as np

from drawing.arrays import Array


def difference(src: Array, bgr: Array) -> Array:
    """The largest channel difference of frame and plate, both (H, W, 3), uint8: (H, W), uint8."""
    return np.abs(src.astype(np.int16) - bgr).max(axis=2).astype(np.uint8)


def best_threshold(differences: list[Array], truths: list[Array]) -> int:
    """The threshold, in levels of 255, whose key has the smallest mean absolute error.

    Args:
        differences: From :func:`difference`, one (H, W) per image.
        truths: True alphas (H, W), uint8.
    """
    errors = np.zeros(256)
    for apart, true in zip(differences, truths, strict=True):
        count = np.bincount(apart.ravel(), minlength=256)
        opaque = np.bincount(apart.ravel(), weights=true.ravel() / 255, minlength=256)
        # Differences up to the threshold are keyed out: each costs its alpha.
        missed, kept = np.cumsum(opaque), np.cumsum((count - opaque)[::-1])[::-1]
        errors += (missed + np.append(kept[1:], 0)) / apart.size
    return int(np.argmin(errors))


def key(apart: Array, threshold: int) -> Array:
    """Alpha (H, W), 1 where the difference exceeds ``threshold`` and 0 elsewhere."""
    return (apart > threshold).astype(np.float32)


def closed_form(src: Array, keyed: Array, *, margin: int = 10) -> Array:
    """Levin's closed-form matting with a trimap from a key; needs PyMatting.

    Args:
        src: (H, W, 3), uint8.
        keyed: (H, W), 0 or 1.
        margin: Half width in pixels of the unknown band along the key's edge.

    Returns:
        (H, W), float32 in [0, 1]; ``keyed`` itself if the trimap has no inside or no outside.
    """
    from pymatting import estimate_alpha_cf

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    opened = cv2.medianBlur((255 * keyed).astype(np.uint8), 5)
    inside, outside = cv2.erode(opened, disc) > 127, cv2.dilate(opened, disc) < 128
    if not inside.any() or not outside.any():
        return keyed
    trimap = np.where(inside, 1.0, np.where(outside, 0.0, 0.5))
    return np.asarray(estimate_alpha_cf(src / 255.0, trimap), np.float32)
