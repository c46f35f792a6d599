"""Milliseconds per frame of the network alone: the plain module, and the program's path."""

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dataset import open_source
from model import Backbone, MattingRefine, Precision, Predictor
from pipeline import DeviceFeed, PairLoader
from writers import to_levels

from .clip import make_clip, make_plate
from .weights import checkpoint, load

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
#: Time limit of one case in seconds, after three timed frames.
_MAX_SECONDS = 20.0


def time_networks(
    folder: Path,
    device: torch.device,
    *,
    backbones: list[Backbone],
    sizes: dict[str, tuple[int, int]],
    precisions: list[Precision],
    repeats: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Time every backbone, size, precision and path.

    A timed frame starts as bytes on the device and ends as the bytes of its cut-out there. The
    plain path is the module itself on full-size float tensors, with PyTorch's defaults (which on
    CUDA allow TF32 in float32 convolutions) and autocast for the other precisions; its plate is
    converted to float once.

    Args:
        folder: For clips and checkpoints.
        device: Where to run.
        backbones: To time.
        sizes: (height, width) by name.
        precisions: To time.
        repeats: Timed frames of each case.
        say: Receives a line about each case.

    Returns:
        One row for each: milliseconds (median), seconds of the first frame, patches refined.
    """
    rows = []
    for name, size in sizes.items():
        src, bgr = _frames(folder, size, device)
        for backbone in backbones:
            path = checkpoint(folder, backbone)
            for precision in precisions:
                for way in ("plain", "fast"):
                    network = load(path, backbone, size)
                    predict = _plain if way == "plain" else _fast
                    row = {"backbone": backbone, "size": name, "precision": precision, "path": way}
                    row |= _time(predict(network, device, precision), src, bgr, repeats)
                    say(f"  {name} {backbone} {precision} {way}: {row['ms']:.0f} ms")
                    rows.append(row)
    return rows


def _frames(
    folder: Path, size: tuple[int, int], device: torch.device
) -> tuple[list[Tensor], Tensor]:
    clip, plate = make_clip(folder, size, 8), make_plate(folder, size)
    with PairLoader(open_source(clip, print), open_source(plate, print), warn=print) as loader:
        feed = DeviceFeed(device)
        batches = [feed(batch) for batch in loader]
    return [batch.src for batch in batches], batches[0].bgr


#: From a frame and its plate to the uint8 cut-out, and the mask of refined patches.
Predict = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]


def _plain(network: MattingRefine, device: torch.device, precision: Precision) -> Predict:
    network = network.to(device)
    dtype = _DTYPES[precision]
    plate: list[Tensor] = []

    def cast() -> AbstractContextManager:
        return torch.autocast(device.type, dtype) if precision != "fp32" else nullcontext()

    def predict(src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.inference_mode(), cast():
            if not plate:
                plate.append(bgr / 255)
            output = network(src / 255, plate[0])
        return to_levels(
            torch.cat([output.fgr * output.pha.ne(0), output.pha], dim=1)
        ), output.ref_sm

    return predict


def _fast(network: MattingRefine, device: torch.device, precision: Precision) -> Predict:
    predictor = Predictor(network, device, precision=precision, warn=print)
    assert predictor.path == "fast"

    def predict(src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor | None]:
        matte = predictor(src, bgr)
        return to_levels(matte.cut_out()), matte.ref

    return predict


def _time(predict: Predict, src: list[Tensor], bgr: Tensor, repeats: int) -> dict[str, Any]:
    times: list[float] = []
    patches = 0
    while len(times) <= min(3, repeats) or (len(times) <= repeats and sum(times) < _MAX_SECONDS):
        started = time.perf_counter()
        levels, ref = predict(src[len(times) % len(src)], bgr)
        if levels.device.type == "cuda":
            torch.cuda.synchronize(levels.device)
        times.append(time.perf_counter() - started)
        patches = 0 if ref is None else int(ref.sum())
    return {
        "ms": statistics.median(times[1:]) * 1000,
        "first_s": times[0],
        "patches": patches,
    }
