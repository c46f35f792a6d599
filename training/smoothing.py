"""What ``--smooth-alpha`` does: flicker and error with and without it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from model import MattingBase, load_network
from pipeline import AlphaSmoother

from .canvas import Canvas
from .evaluate import Triple, clip_triples, predict
from .metrics import dtssd, mad
from .shots import SIZE, place_frame, shoot, walk
from .subjects import draw_subject
from .textures import Array

SAMPLES = Path(__file__).parent.parent / "samples"
#: Drawn clips come from this seed and are so many frames long.
_SEED, _LENGTH = 2_000_000_063, 24


def flicker(clips: int) -> str:
    """A table in Markdown: MAD and dtSSD on the sample and on drawn clips, plain and smoothed."""
    network = load_network(None)
    lines = ["| clip | MAD | smoothed | dtSSD | smoothed |", "| --- |" + " ---: |" * 4]
    sample = clip_triples(*(SAMPLES / name for name in ("clip.mp4", "plate.png", "alpha.mp4")))
    lines.append(_row("the sample", network, tqdm(sample, total=72)))
    for kind in ("stays", "walks", "hand-held"):
        rows = [drawn_clip(index, kind) for index in range(clips)]
        figures = np.mean([_figures(network, row) for row in tqdm(rows, kind)], axis=0)
        lines.append(_line(f"{clips} drawn, {kind}", figures))
    return "\n".join(lines)


def drawn_clip(index: int, kind: str) -> Iterator[Triple]:
    """A drawn clip whose subject ``stays`` or ``walks``, or in which all is ``hand-held``."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_SEED, index])))
    place = place_frame(rng)
    subject = Canvas(*SIZE)
    draw_subject(rng, subject, None)
    reach = {"stays": 0.02, "walks": 0.4, "hand-held": 0.02}[kind]
    colours, alphas = walk(rng, subject.colour.clip(0, 1), subject.alpha.clip(0, 1), reach, _LENGTH)
    plate = np.round(255 * place.clip(0, 1)).astype(np.uint8)
    for frame, (colour, alpha) in enumerate(zip(colours, alphas, strict=True)):
        src = shoot(rng, place, colour, alpha, wear=0.5, depth=0.2)
        pha, bgr = np.round(255 * alpha).astype(np.uint8), plate
        if kind == "hand-held":
            shift = np.round(3 * np.sin([frame * 0.9, frame * 1.3])).astype(int)
            src, bgr, pha = (np.roll(x, shift, axis=(0, 1)) for x in (src, bgr, pha))
        yield Triple(src, bgr, pha)


def _row(name: str, network: MattingBase, triples: Iterable[Triple]) -> str:
    return _line(name, _figures(network, triples))


def _line(name: str, figures: Iterable[float]) -> str:
    return f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |"


def _figures(network: MattingBase, triples: Iterable[Triple]) -> list[float]:
    """MAD, smoothed MAD, dtSSD, smoothed dtSSD of a clip."""
    smoother = AlphaSmoother()
    plain: list[Array] = []
    smooth: list[Array] = []
    true: list[Array] = []
    for triple in triples:
        pha = predict(network, triple)
        src = torch.from_numpy(np.ascontiguousarray(triple.src)).permute(2, 0, 1)[None] / 255
        plain.append(pha)
        smooth.append(smoother(src, torch.from_numpy(pha)[None, None])[0, 0].numpy())
        true.append(triple.pha.astype(np.float32) / 255)
    figures = []
    for metric in (_mad, dtssd):
        figures += [metric(np.stack(found), np.stack(true)) for found in (plain, smooth)]
    return figures


def _mad(pha: Array, true: Array) -> float:
    return float(np.mean([mad(*pair) for pair in zip(pha, true, strict=True)]))
