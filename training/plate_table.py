"""The error of alpha that a wrong plate causes, without and with each way to mend the plate.

The frames of the drawn clips go through the same loader as those of a real clip.
"""

from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dataset import FrameSource, MemorySource
from drawing.arrays import Array
from drawing.plates import PLATE_FAULTS, Clip, make_clip
from model import Predictor, load_network
from pipeline import DeviceFeed, PairLoader, repaired_plate

from .metrics import mad

#: Ways to mend a plate: the flag, and the keywords of the loader. ``mend`` repairs it first.
MENDINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "`--match-plate`": {"match": True},
    "`--preprocess-alignment`": {"align": "frame"},
    "`--preprocess-alignment static`": {"align": "static"},
    "both": {"align": "frame", "match": True},
    "`--mend-plate`": {"mend": True},
}
#: Frames that alignment and colour matching see; ``mend`` sees all.
_READ_FRAMES = 3


def last_alpha(predictor: Predictor, clip: Clip, plate: Array, mending: dict[str, Any]) -> Array:
    """Alpha (H, W) of the last frame, with a plate (H, W, 3) and a way to mend it."""
    feed = DeviceFeed(predictor.device)
    ways = dict(mending)
    bgr: FrameSource = MemorySource(plate[None], "plate", still=True)
    if ways.pop("mend", False):
        bgr = repaired_plate(
            MemorySource(clip.frames, "clip"), bgr, predictor, warn=_ignore, **ways
        )
    read = np.linspace(0, len(clip.frames) - 1, _READ_FRAMES).round().astype(int)
    with PairLoader(MemorySource(clip.frames[read], "clip"), bgr, warn=_ignore, **ways) as loader:
        *_, last = loader
    frames = feed(last)
    return np.asarray(predictor(frames.src, frames.bgr).pha[0, 0].cpu().numpy())


def _ignore(message: str) -> None:
    """Discard a warning."""


def measure(
    *, clips: int, frames: int, size: tuple[int, int], device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """MAD x1000 by fault and by way to mend, where the plate covers the frame.

    It is measured on the last frame, when the whole clip has been seen, and averaged over clips.

    Args:
        clips: Number of clips to draw.
        frames: Frames of each clip.
        size: (height, width) in pixels.
        device: Device of the network.
    """
    predictor = Predictor(load_network(None), torch.device(device), warn=_ignore)
    errors: dict[tuple[str, str], list[float]] = {}
    for index in tqdm(range(clips), "clips", disable=None):
        clip = make_clip(index, *size, frames=frames)
        for fault_name, fault in PLATE_FAULTS.items():
            plate, covered = fault.plate(clip), fault.covered(*size)
            for name, mending in MENDINGS.items():
                found = last_alpha(predictor, clip, plate, mending)
                error = mad(found[covered], clip.pha[-1][covered])
                errors.setdefault((fault_name, name), []).append(error)
    return {
        fault: {name: float(np.mean(errors[fault, name])) for name in MENDINGS}
        for fault in PLATE_FAULTS
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures of :func:`measure` as a Markdown table."""
    lines = [f"| the plate is | {' | '.join(MENDINGS)} |", "| --- |" + " --- |" * len(MENDINGS)]
    for fault, row in figures.items():
        cells = " | ".join(f"{row[name]:.1f}" for name in MENDINGS)
        lines.append(f"| {fault} | {cells} |")
    return "\n".join(lines)
