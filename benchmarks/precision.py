"""What half precision changes: alpha beside that of float32, with the built-in weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dataset import open_source
from model import Precision, Predictor, load_network
from pipeline import PairLoader


def measure(
    clip: Path,
    plate: Path,
    device: torch.device,
    *,
    frames: int,
    halves: Sequence[Precision] = ("bf16", "fp16"),
) -> list[dict[str, Any]]:
    """Compare alpha in half precision with alpha in float32.

    Args:
        clip: The clip.
        plate: Its plate.
        device: Where to compute.
        frames: So many of the clip's frames, spread evenly over it.
        halves: The types to compare with float32.

    Returns:
        One row for each type: the mean of the absolute difference, its 99.9th percentile and its
        maximum, in levels of 255, and the share of patches that are refined in one alone.
    """
    src, bgr = open_source(clip, print, hold=False), open_source(plate, print)
    count = sum(1 for _ in src)
    wanted = {round(i) for i in np.linspace(0, count - 1, frames)}
    matters = {p: _matter(p, device) for p in ("fp32", *halves)}
    off: dict[str, list[np.ndarray]] = {p: [] for p in halves}
    other: dict[str, list[float]] = {p: [] for p in halves}
    with PairLoader(src, bgr, warn=print) as loader:
        for number, batch in enumerate(loader):
            if number not in wanted:
                continue
            exact = matters["fp32"](batch.src.to(device), batch.bgr.to(device))
            for p in halves:
                near = matters[p](batch.src.to(device), batch.bgr.to(device))
                off[p].append(((near.pha - exact.pha).abs() * 255).flatten().cpu().numpy())
                assert near.ref is not None and exact.ref is not None
                other[p].append(float((near.ref != exact.ref).float().mean()))
    return [
        {
            "clip": clip.name,
            "frames": len(off[p]),
            "precision": p,
            "mean": float(np.mean(off[p])),
            "p99.9": float(np.quantile(np.concatenate(off[p]), 0.999)),
            "largest": float(np.max(np.concatenate(off[p]))),
            "other_patches": float(np.mean(other[p])),
        }
        for p in halves
    ]


def _matter(precision: Precision, device: torch.device) -> Predictor:
    return Predictor(load_network(None), device, precision=precision, warn=print)
