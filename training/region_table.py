"""What ``--region auto`` costs and gains: error, flicker, time, and the parts that it loses."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from drawing.arrays import Array, to_uint8
from drawing.events import EVENTS, Event, make_event
from drawing.plates import PLATE_FAULTS, make_clip
from model import DetailPrediction, Prediction, Predictor, load_network
from pipeline import RegionPredictor

from .evaluate import Triple, clip_triples, generated_triples
from .metrics import dtssd, grad, mad, mse

SAMPLES = Path(__file__).parent.parent / "samples"
#: Ways to matte, by the backbone scale of a full frame, or with a region.
WAYS = ("full 0.25", "full 0.5", "region auto")
#: Plates that the drawn clips have.
FAULTS = ("right", "2 px off", "20 % darker", "all at once")
#: Size of a part, as a share of the frame, that must not be lost, and alpha from which pixels
#: belong to it.
_PART, _PART_ALPHA = 0.0005, 0.02
#: Share of a part's alpha that a matte has to have.
_FOUND = 0.5
#: Frames of the sample that are matted.
_SAMPLE_FRAMES = 36


@dataclass
class Figures:
    """Figures of one way to matte one kind of frames; each list has one value for a frame.

    Attributes:
        mad, mse, grad: Errors; see :mod:`training.metrics`.
        dtssd: Flicker of each clip.
        seconds: Processor time.
        lost: Parts of true alpha that full 0.25 has and this way has not.
        share: Of the frame that was looked at, on average.
        scales: How many frames had which backbone scale.
    """

    mad: list[float] = field(default_factory=list)
    mse: list[float] = field(default_factory=list)
    grad: list[float] = field(default_factory=list)
    dtssd: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    share: float = 1.0
    scales: dict[str, int] = field(default_factory=dict)


Table = dict[str, dict[str, Figures]]
#: Mattes a frame before its plate, both (1, 3, H, W).
Way = Callable[[Tensor, Tensor], Prediction | DetailPrediction]
#: Consecutive frames, or single ones.
Clip = Iterable[Triple]


def clips_by_kind(
    *, samples: int, size: tuple[int, int], clips: int, events: int, frames: int
) -> Iterator[tuple[str, bool, Iterable[Clip]]]:
    """Name, whether clips are more than one frame, and the clips of each kind.

    Args:
        samples: Validation samples of ``size`` (height, width).
        size: See above.
        clips: Drawn clips of the table of plates, each with some of its plates.
        events: Drawn clips of each event, 1920x1080.
        frames: Frames of each drawn clip.
    """
    yield "validation samples", False, ([t] for t in generated_triples(samples, size))
    sample = clip_triples(*(SAMPLES / name for name in ("clip.mp4", "plate.png", "alpha.mp4")))
    yield "the sample", True, [islice(sample, _SAMPLE_FRAMES)]
    for fault in FAULTS:
        some = partial(_plate_clip, fault=fault, frames=frames)
        yield f"plates: {fault}", True, map(some, range(clips))
    for event in EVENTS:
        one = partial(_event_clip, event=event, frames=frames)
        yield f"event: {event}", True, map(one, range(events))


def _event_clip(index: int, event: Event, frames: int) -> Iterator[Triple]:
    return (Triple(*frame) for frame in make_event(event, index, (1080, 1920), frames=frames))


def _plate_clip(index: int, fault: str, frames: int) -> list[Triple]:
    clip = make_clip(index, 360, 640, frames=frames)
    plate = PLATE_FAULTS[fault].plate(clip)
    return [Triple(f, plate, to_uint8(a)) for f, a in zip(clip.frames, clip.pha, strict=True)]


def measure(kinds: Iterable[tuple[str, bool, Iterable[Clip]]]) -> Table:
    """Matte each frame in each way, in turn, on one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    table: Table = {}
    quarter, half, boxes = (
        Predictor(load_network(None, backbone_scale=scale), torch.device("cpu"), warn=print)
        for scale in (0.25, 0.5, 0.25)
    )
    for name, moves, clips in kinds:
        region = RegionPredictor(boxes, scale=0.25, fixed=False)
        ways: dict[str, Way] = dict(zip(WAYS, (quarter, half, region), strict=True))
        figures = table[name] = {way: Figures() for way in WAYS}
        for clip in tqdm(clips, name, disable=None):
            _measure_clip(clip, ways, figures, moves=moves)
        told = region.counts.report()
        figures["region auto"].share = told["share"]
        times = 1 if moves else 2  # that each frame was matted
        figures["region auto"].scales = {k: n // times for k, n in told["scales"].items()}
    return table


def _measure_clip(
    clip: Clip,
    ways: dict[str, Way],
    figures: dict[str, Figures],
    *,
    moves: bool,
) -> None:
    """Add the figures of a clip; in single frames, boxes are timed the second time."""
    truths: list[Array] = []
    found: dict[str, list[Array]] = {way: [] for way in ways}
    bgr = None
    for triple in clip:
        if bgr is None or not moves:
            bgr = _tensor(triple.bgr)
        src, true = _tensor(triple.src), triple.pha.astype(np.float32) / 255
        truths.append(true)
        for way, predict in ways.items():
            if not moves and way == WAYS[-1]:
                predict(src, bgr)  # boxes of a new shape take time once
            alpha, seconds = _timed(partial(predict, src, bgr))
            found[way].append(alpha)
            row = figures[way]
            row.seconds.append(seconds)
            row.mad.append(mad(alpha, true))
            row.mse.append(mse(alpha, true))
            row.grad.append(grad(alpha, true))
            row.lost += lost_parts(true, found[WAYS[0]][-1], alpha)
    if moves:
        for way, alphas in found.items():
            figures[way].dtssd.append(dtssd(np.stack(alphas), np.stack(truths)))


def _tensor(image: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))[None].permute(0, 3, 1, 2)


def _timed(predict: Callable[[], Prediction | DetailPrediction]) -> tuple[Array, float]:
    started = time.process_time()
    alpha = predict().pha
    return alpha[0, 0].numpy(), time.process_time() - started


def lost_parts(true: Array, reference: Array, pha: Array) -> int:
    """How many parts of the true alpha a matte has lost that another one has.

    A part is a connected component of more than 0.05 % of the frame. A matte has it with half of
    its alpha, or half of the other's.

    Args:
        true, reference, pha: (H, W) in [0, 1].
    """
    count, labels = cv2.connectedComponents((true > _PART_ALPHA).astype(np.uint8))
    amounts = [np.bincount(labels.ravel(), x.ravel(), count) for x in (true, reference, pha)]
    wanted, there, found = amounts
    is_part = wanted > _PART * true.size
    is_part[0] = False
    return int((is_part & (there > _FOUND * wanted) & (found < _FOUND * there)).sum())


def table(figures: Table) -> str:
    """The figures of :func:`measure` as Markdown."""
    lines = [
        "| frames | way | MAD | MSE | Grad | dtSSD | ms | share | lost |",
        "| --- | --- |" + " ---: |" * 7,
    ]
    for name, ways in figures.items():
        for way, row in ways.items():
            errors = " | ".join(f"{np.mean(x):.2f}" for x in (row.mad, row.mse, row.grad))
            flicker = f"{np.mean(row.dtssd):.2f}" if row.dtssd else ""
            cost = f"{1000 * np.mean(row.seconds):.0f} | {row.share:.2f} | {row.lost}"
            lines.append(f"| {name} ({len(row.mad)}) | {way} | {errors} | {flicker} | {cost} |")
    return "\n".join(lines)
