"""The error of alpha with plates made from clips whose camera moves, on drawn clips."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from tqdm import tqdm

from dataset import FrameSource, MemorySource, Places
from drawing.arrays import Array
from drawing.travels import KINDS, MOTIONS, Travel, make_travel
from model import Predictor, load_network
from pipeline import DeviceFeed, PairLoader
from plate import MovingPlate

from .metrics import mad

#: Seed of the published table; nothing was tuned on it.
SEED = 2_000_000_087
#: How far near things move against far ones, as a share of the width: none, and slightly.
PARALLAXES = (0.0, 0.01)
PLATES = ("true plates", "auto", "one true plate, aligned", "one true plate, completed")
#: Frames of a clip that are matted.
_MATTED = 6

Figures = dict[tuple[str, float], list[dict[str, float]]]


def _alphas(
    predictor: Predictor, clip: Travel, bgr: FrameSource, places: Sequence[int], *, align: bool
) -> Iterator[Array]:
    """Alpha (H, W) of the frames at some places; alignment sees those before, too."""
    feed = DeviceFeed(predictor.device)
    src = MemorySource(clip.frames, "clip")
    with PairLoader(src, bgr, align="frame" if align else None, warn=_ignore) as loader:
        for place, batch in enumerate(loader):
            if place in places:
                pair = feed(batch)
                yield predictor(pair.src, pair.bgr).pha[0, 0].cpu().numpy()


def errors(predictor: Predictor, clip: Travel) -> dict[str, float]:
    """MAD x1000 of a clip with each kind of plate."""
    places = np.linspace(0, len(clip.frames) - 1, _MATTED).round().astype(int).tolist()
    src = MemorySource(clip.frames, "clip")
    auto = MovingPlate(src, _ignore)
    completed = MovingPlate(src, _ignore, part=(clip.plates[0], "one"))
    plates: dict[str, FrameSource] = {
        "true plates": MemorySource(clip.plates, "true"),
        "auto": MemorySource(_images(auto), "auto"),
        "one true plate, aligned": MemorySource(clip.plates[:1], "one", still=True),
        "one true plate, completed": MemorySource(_images(completed), "completed"),
    }
    found = {}
    for name, bgr in plates.items():
        alphas = _alphas(predictor, clip, bgr, places, align=bgr.still)
        pairs = zip(alphas, clip.pha[places] / 255, strict=True)
        found[name] = float(np.mean([mad(pha, true) for pha, true in pairs]))
    return found


def _images(plates: MovingPlate) -> Array:
    return np.stack([frame.image for frame in plates.pick(Places())])


def _ignore(message: str) -> None:
    """Discard a warning."""


def measure(
    *, clips: int, frames: int, size: tuple[int, int], device: str = "cpu", seed: int = SEED
) -> Figures:
    """Errors by motion and parallax, of ``clips`` clips each, half with persons.

    Args:
        clips: Clips of each motion and each parallax.
        frames: Frames of each clip.
        size: (height, width) in pixels.
        device: Device of the network.
        seed: Of the clips.
    """
    predictor = Predictor(load_network(None), torch.device(device), warn=_ignore)
    figures: Figures = {}
    work = [(m, p, n) for m in MOTIONS for p in PARALLAXES for n in range(clips)]
    for motion, parallax, n in tqdm(work, "clips", disable=None):
        index = MOTIONS.index(motion) * 100 + n
        kind = KINDS[n % len(KINDS)]
        clip = make_travel(seed, index, motion, kind, size=size, frames=frames, parallax=parallax)
        figures.setdefault((motion, parallax), []).append(errors(predictor, clip))
    return figures


def table(figures: Figures) -> str:
    """The figures of :func:`measure` as a Markdown table."""
    head = " | ".join(PLATES)
    lines = [
        f"| the camera | near things move by | {head} | clips within 1.15 and 1.5 times |",
        "| --- | --- |" + " ---: |" * (len(PLATES) + 1),
    ]
    for (motion, parallax), found in figures.items():
        cells = " | ".join(f"{np.mean([one[name] for one in found]):.1f}" for name in PLATES)
        ratios = np.array([one["auto"] / one["true plates"] for one in found])
        near = f"{(ratios <= 1.15).sum()} and {(ratios <= 1.5).sum()} of {len(ratios)}"
        lines.append(f"| {motion} | {parallax:.0%} | {cells} | {near} |")
    return "\n".join(lines)
