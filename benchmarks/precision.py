"""The difference in alpha between half precision and float32, with the built-in weights."""

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
        frames: Number of frames to compare, spread evenly over the clip.
        halves: The types to compare with float32.

    Returns:
        One row for each type: mean, 99.9th percentile and maximum of the absolute difference, in
        levels of 255, and the share of patches that only one of the two refines.
    """
    src, bgr = open_source(clip, print, hold=False), open_source(plate, print)
    count = sum(1 for _ in src)
    wanted = {round(i) for i in np.linspace(0, count - 1, frames)}
    predictors = {p: _predictor(p, device) for p in ("fp32", *halves)}
    differences: dict[str, list[np.ndarray]] = {p: [] for p in halves}
    patch_differences: dict[str, list[float]] = {p: [] for p in halves}
    with PairLoader(src, bgr, warn=print) as loader:
        for number, batch in enumerate(loader):
            if number not in wanted:
                continue
            exact = predictors["fp32"](batch.src.to(device), batch.bgr.to(device))
            for p in halves:
                reduced = predictors[p](batch.src.to(device), batch.bgr.to(device))
                differences[p].append(
                    ((reduced.pha - exact.pha).abs() * 255).flatten().cpu().numpy()
                )
                assert reduced.ref is not None and exact.ref is not None
                patch_differences[p].append(float((reduced.ref != exact.ref).float().mean()))
    return [
        {
            "clip": clip.name,
            "frames": len(differences[p]),
            "precision": p,
            "mean": float(np.mean(differences[p])),
            "p99.9": float(np.quantile(np.concatenate(differences[p]), 0.999)),
            "largest": float(np.max(np.concatenate(differences[p]))),
            "other_patches": float(np.mean(patch_differences[p])),
        }
        for p in halves
    ]


def _predictor(precision: Precision, device: torch.device) -> Predictor:
    return Predictor(load_network(None), device, precision=precision, warn=print)
