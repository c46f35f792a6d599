"""Flicker and error of alpha without and with ``--smooth-alpha``."""

from collections.abc import Iterable
from itertools import starmap
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from drawing.arrays import Array
from drawing.moving import moving_clip
from model import MattingBase, load_network
from pipeline import AlphaSmoother

from .evaluate import Triple, clip_triples, predict
from .metrics import dtssd, mad

SAMPLES = Path(__file__).parent.parent / "samples"


def flicker(clips: int) -> str:
    """MAD and dtSSD on the sample clip and on drawn clips, plain and smoothed, as Markdown."""
    network = load_network(None)
    lines = ["| clip | MAD | smoothed | dtSSD | smoothed |", "| --- |" + " ---: |" * 4]
    sample = clip_triples(*(SAMPLES / name for name in ("clip.mp4", "plate.png", "alpha.mp4")))
    lines.append(_row("the sample", network, tqdm(sample, total=72)))
    for kind in ("stays", "walks", "hand-held"):
        rows = [starmap(Triple, moving_clip(index, kind)) for index in range(clips)]
        figures = np.mean([_figures(network, row) for row in tqdm(rows, kind)], axis=0)
        lines.append(_line(f"{clips} drawn, {kind}", figures))
    return "\n".join(lines)


def _row(name: str, network: MattingBase, triples: Iterable[Triple]) -> str:
    return _line(name, _figures(network, triples))


def _line(name: str, figures: Iterable[float]) -> str:
    return f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |"


def _figures(network: MattingBase, triples: Iterable[Triple]) -> list[float]:
    """MAD, smoothed MAD, dtSSD and smoothed dtSSD of a clip."""
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
