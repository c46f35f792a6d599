"""How often the plate tells what an untagged clip was encoded as, on drawn clips."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image
from tqdm import tqdm

from dataset import FrameSource, StillImage, VideoSource, YuvCoding, codings_tried
from dataset.coding import Matrix, Range
from drawing.arrays import Array
from drawing.plates import PLATE_FAULTS, Clip, make_clip
from model import Predictor, load_network
from pipeline import DeviceFeed, PairLoader
from plate import coding_by_plate

from .metrics import mad

#: The first of the published clips; nothing was tuned on these.
FIRST = 70_000
#: (height, width) of SD and HD clips.
SIZES = ((480, 640), (576, 720), (720, 1280), (720, 960))
_IN_USE: tuple[tuple[Matrix, ...], tuple[Range, ...]] = ("bt601", "bt709"), ("limited", "full")
CODINGS = tuple(product(*_IN_USE))
#: What may be wrong with the plate, so that it must not decide wrongly.
PLATES = ("right", "8 px off", "10 % darker", "20 % darker", "800 K warmer", "another scene")
_FRAMES, _RATE = 6, 25
#: Size at which two codings are compared, and the difference in levels up to which they are alike.
_LOOKED_AT, _MAX_APART = (216, 384), 0.5
_MATRICES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
_RANGES = {"limited": ColorRange.MPEG, "full": ColorRange.JPEG}
#: FFmpeg's numbers for an unspecified matrix and range.
_UNTAGGED = 2, 0

Choice = Literal["right", "usual", "wrong"]


@dataclass
class Found:
    """What was found on one clip.

    Attributes:
        size: (height, width).
        coding: Matrix and range of the clip.
        choices: By plate, whether the clip is read as it is, as is usual though that is wrong, or
            as something else.
        errors: MAD x1000 with the right plate, with the clip read as is usual, as the plate says,
            and as it is.
    """

    size: tuple[int, int]
    coding: tuple[Matrix, Range]
    choices: dict[str, Choice]
    errors: dict[str, float]


def encode(path: Path, frames: Array, matrix: Matrix, range: Range) -> Path:
    """Encode frames (N, H, W, 3), uint8, as H.264 of a matrix and a range, without tags."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", _RATE, options={"crf": "16", "preset": "fast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
                format="yuv420p",
                src_color_range=ColorRange.JPEG,
                dst_colorspace=_MATRICES[matrix],
                dst_color_range=_RANGES[range],
            )
            frame.colorspace, frame.color_range = _UNTAGGED
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def plates_of(clip: Clip, other: Array) -> Iterator[tuple[str, Array]]:
    """By name, each plate (H, W, 3), uint8; ``other`` is that of another scene."""
    height, width = clip.pha.shape[1:]
    for name in PLATES[:-1]:
        yield name, PLATE_FAULTS[name].plate(clip)
    yield PLATES[-1], cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)


def judge(clip: VideoSource, plate: Path, truth: YuvCoding) -> Choice:
    """What a plate decides; a coding that makes the same colours as the right one is right."""
    found = coding_by_plate(clip, StillImage(plate))
    read = found or clip.coding  # by default as is usual
    images = next(image for _, image in codings_tried(clip, [0], _LOOKED_AT, [read, truth]))
    apart = np.abs(images[0].astype(float) - images[1]).mean()
    if apart < _MAX_APART:
        return "right"
    return "usual" if found is None else "wrong"


def look(index: int, folder: Path, predictor: Predictor | None) -> Found:
    """Draw a clip, encode it, and see what its plates decide.

    Args:
        index: Position in the set of clips.
        folder: For files; it holds those of the clip before.
        predictor: Measures the error of alpha, if given.
    """
    coding = CODINGS[index % len(CODINGS)]
    size = SIZES[index // len(CODINGS) % len(SIZES)]
    drawn = make_clip(FIRST + index, *size, frames=_FRAMES)
    matrix, range = coding
    path = encode(folder / "clip.mp4", drawn.frames, matrix, range)
    truth = YuvCoding(matrix, range)
    choices: dict[str, Choice] = {}
    before = folder / "right.png"
    other = np.asarray(Image.open(before)) if before.exists() else drawn.frames[0, ::-1]
    for name, plate in plates_of(drawn, other):
        Image.fromarray(plate).save(folder / f"{name}.png", compress_level=1)
        choices[name] = judge(VideoSource(path, _ignore), folder / f"{name}.png", truth)
    errors = {}
    if predictor is not None:
        bgr = StillImage(folder / "right.png")
        chosen = coding_by_plate(VideoSource(path, _ignore), bgr)
        readings = {"usual": None, "chosen": chosen, "true": truth}
        for name, reading in readings.items():
            src = VideoSource(path, _ignore)
            if reading is not None:
                src.read_as(reading)
            errors[name] = mad(_last_alpha(predictor, src, bgr), drawn.pha[-1])
    return Found(size, coding, choices, errors)


def _last_alpha(predictor: Predictor, src: FrameSource, bgr: FrameSource) -> Array:
    with PairLoader(src, bgr, warn=_ignore) as loader:
        *_, last = loader
    frames = DeviceFeed(predictor.device)(last)
    return np.asarray(predictor(frames.src, frames.bgr).pha[0, 0].cpu().numpy())


def _ignore(message: str) -> None:
    """Discard a warning."""


def measure(*, clips: int, device: str = "cpu", alpha: bool = True) -> list[Found]:
    """Look at ``clips`` drawn clips; codings and sizes take turns."""
    predictor = None
    if alpha:
        predictor = Predictor(load_network(None), torch.device(device), warn=_ignore)
    with TemporaryDirectory() as folder:
        return [
            look(index, Path(folder), predictor)
            for index in tqdm(range(clips), "clips", disable=None)
        ]


def table(found: list[Found]) -> str:
    """The choices as a Markdown table, and the errors below it."""
    lines = ["| the plate | right | kept as usual | wrong |", "| --- | ---: | ---: | ---: |"]
    for name in PLATES:
        kinds = [one.choices[name] for one in found]
        cells = " | ".join(str(kinds.count(kind)) for kind in ("right", "usual", "wrong"))
        lines.append(f"| {name} | {cells} |")
    lines += ["", "| the clip is | read as usual | as the plate says | as it is |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for coding in CODINGS if found[0].errors else ():
        rows = [one.errors for one in found if one.coding == coding]
        cells = " | ".join(f"{np.mean([row[n] for row in rows]):.1f}" for n in rows[0])
        lines.append(f"| {' '.join(coding)} | {cells} |")
    return "\n".join(lines)
