"""Dots in the edges of mattes, on clips and on drawn frames, as a table."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from dataset import open_source
from drawing.arrays import Array, to_uint8
from drawing.furry import draw_furry
from drawing.sample import make_sample
from model import Predictor

from .evaluate import clip_triples
from .metrics import mad, stipple
from .weights import network_from, read_state

SAMPLES = Path(__file__).parent.parent / "samples"
SCALES = (0.25, 0.375, 0.5)
#: No training run uses this seed.
SEED = 2_000_000_099
#: Size of drawn frames.
_HEIGHT, _WIDTH = 720, 1280


class Frame(NamedTuple):
    """A frame and its plate (H, W, 3), uint8, and the true alpha (H, W) in [0, 1], if known."""

    src: Array
    bgr: Array
    pha: Array | None


def sample_clip(count: int) -> Iterator[Frame]:
    """``count`` frames of the sample, evenly distributed."""
    names = ("clip.mp4", "plate.png", "alpha.mp4")
    triples = list(clip_triples(*(SAMPLES / name for name in names)))
    for place in _places(len(triples), count):
        src, bgr, pha, _ = triples[place]
        yield Frame(src, bgr, pha / np.float32(255))


def filmed(count: int) -> Iterator[Frame]:
    """Drawn frames of compressed clips."""
    for index in range(count):
        shares = {"plain": 0.0, "alike": 0.2, "shaded": 0.3, "ground": 0.2, "filmed": 1.0}
        drawn = make_sample(SEED, index, _HEIGHT, _WIDTH, **shares)
        yield Frame(to_uint8(drawn.src), to_uint8(drawn.bgr), drawn.pha)


def furry(count: int) -> Iterator[Frame]:
    """Drawn furry animals, whose fur is all single pixels."""
    for index in range(count):
        right, _ = draw_furry(index, _HEIGHT, _WIDTH)
        yield Frame(right.src, right.bgr, right.pha)


def real_clip(src: Path, bgr: Path, count: int) -> Iterator[Frame]:
    """``count`` frames of a clip without a truth, evenly distributed."""
    plate = next(iter(open_source(bgr, print))).image
    clip = open_source(src, print)
    places = set(_places(clip.length(), count))
    for number, frame in enumerate(clip):
        if number in places:
            yield Frame(frame.image, plate, None)


#: Kinds of frames with a truth: from a number to as many frames.
KINDS: dict[str, Callable[[int], Iterator[Frame]]] = {
    "the sample": sample_clip,
    "drawn, filmed": filmed,
    "drawn, furry": furry,
}


def _places(length: int, count: int) -> list[int]:
    count = min(count, length)
    return [round((n + 0.5) * length / count - 0.5) for n in range(count)]


def table(weights: Path, *, frames: int, clips: Sequence[tuple[Path, Path]] = ()) -> Iterator[str]:
    """The lines of a Markdown table: the mean of each kind of frame at each backbone scale.

    Args:
        weights: A checkpoint with a refiner.
        frames: Frames of each kind.
        clips: Clips without a truth, each with its plate.
    """
    state = read_state(weights)
    device = torch.device("cpu")
    predictors = {
        scale: Predictor(network_from(state, scale), device, precision="fp32", warn=print)
        for scale in SCALES
    }
    kinds = KINDS | {src.name: partial(real_clip, src, bgr) for src, bgr in clips}
    yield "| frames | scale | MAD | stand out, % | of the truth | more than the truth |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, draw in kinds.items():
        figures: dict[float, list[list[float]]] = {scale: [] for scale in SCALES}
        for frame in tqdm(islice(draw(frames), frames), name, total=frames, disable=None):
            for scale, predictor in predictors.items():
                figures[scale].append(_figures(predictor, frame))
        for scale, rows in figures.items():
            cells = (f"{figure:.2f}" for figure in np.mean(rows, axis=0))
            yield f"| {name} | {scale} | {' | '.join(cells).replace('nan', '')} |"


def _figures(predictor: Predictor, frame: Frame) -> list[float]:
    """MAD; what stands out, in the truth, and beyond the truth; NaN if there is no truth."""
    src, bgr = (
        torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None]
        for x in (frame.src, frame.bgr)
    )
    pha = predictor(src, bgr).pha[0, 0].numpy()
    if frame.pha is None:
        return [np.nan, stipple(pha), np.nan, np.nan]
    return [mad(pha, frame.pha), stipple(pha), stipple(frame.pha), stipple(pha, frame.pha)]
