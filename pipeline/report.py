"""The report of a run: where its time went, what was fitted, and how it ended."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, pairwise
from statistics import median

import torch

from dataset import VideoSource
from writers import FrameWriter, Kind, RunFolder, WriteError

from .bottleneck import Stage, bottleneck, explain
from .frames import FrameNumbers
from .loader import MAX_TIMES, PairLoader
from .result import MattingResult


@dataclass
class Times:
    """Where a run spent its time, in seconds.

    Attributes:
        started: When it began, by ``time.perf_counter``.
        preparing: Making or repairing the plate.
        network: The device at work.
        waited: Waiting for the loader (``read``) and for mattes (``network``, which contains
            ``read``).
    """

    started: float = field(default_factory=time.perf_counter)
    preparing: float = 0.0
    network: float = 0.0
    waited: dict[Stage, float] = field(default_factory=lambda: {"read": 0, "network": 0})

    @contextmanager
    def waiting(self, stage: Stage) -> Iterator[None]:
        """Count the time until the end of the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.waited[stage] += time.perf_counter() - started


def report(
    result: MattingResult,
    status: str,
    times: Times,
    *,
    frames: FrameNumbers,
    loader: PairLoader,
    device: torch.device,
    sinks: Mapping[Kind, FrameWriter],
    given: Mapping[Kind, int],
    folder: RunFolder | None,
) -> None:
    """Complete the result of a run that has ended, and write ``run.json``.

    Args:
        result: What was found until now.
        status: How the run ended: ``done``, ``stopped`` or ``failed``.
        times: Where it spent its time.
        frames: The frames of the run.
        loader: Counted what it read and fitted.
        device: Where the network ran.
        sinks: Those that were opened.
        given: Frames that each of them was given.
        folder: Where the report goes; None writes none.
    """
    seconds = result.seconds = time.perf_counter() - times.started
    busy = {
        "read": loader.busy_seconds,
        "network": times.network,
        "write": max((sink.busy_seconds for sink in sinks.values()), default=0.0),
    }
    result.busy = {stage: round(busy[stage] / seconds, 3) for stage in busy}
    waited = {stage: spent / seconds for stage, spent in times.waited.items()}
    waited["network"] -= waited["read"]  # the loader is waited for within
    waited["read"] += times.preparing / seconds
    # what is left: handing frames to sinks, and closing these
    waited["write"] = 1 - sum(waited.values())
    result.waited = {stage: round(share, 3) for stage, share in waited.items()}
    fits = loader.fitter.report()
    result.alignment, result.matching = fits["alignment"], fits["matching"]
    result.bottleneck = explain(
        result.waited,
        on_cuda=device.type == "cuda",
        images_in=loader.src.time_base is None,
        aligned=result.alignment is not None,
        plate=times.preparing / seconds,
        repaired=result.mending is not None,
        written=folder.written() if folder is not None else (),
    )
    if result.repeated_frames:
        where = "run.json lists them" if folder is not None else "the result lists them"
        result.warn(
            f"{len(result.repeated_frames)} damaged frames repeat their neighbours; {where}"
        )
    writes_images = folder is not None and any(o.extension is not None for o in folder.outputs)
    if writes_images and isinstance(loader.src, VideoSource):
        places = list(islice(frames.places, result.frames))
        known, index = loader.times, loader.src.index if result.resumed else None
        if index is not None and len(places) <= MAX_TIMES:
            known = [loader.src.time_at(place) for place in places if place < len(index.times)]
        if places and places[-1] - places[0] < len(places) == len(known):  # without gaps
            _tell_times(result, loader.src.name, known)
    if folder is not None:
        if result.times is not None or status == "done":
            _save_timecodes(result, folder)
        folder.finish(given, _facts(result, status))


def _tell_times(result: MattingResult, name: str, times: list[Fraction]) -> None:
    """Warn if the images come from a clip whose frame rate varies, and list its times.

    Args:
        result: Its ``times`` are set then.
        name: Of the clip.
        times: Of the frames that were matted, in seconds.
    """
    if not _varies(times):
        return
    told = f"{name}: its frame rate varies, and images have no times; "
    if result.frames <= MAX_TIMES:
        result.times = [round(float(time - times[0]), 6) for time in times]
        result.warn(told + "run.json (times) and timecodes.txt list the time of each frame")
    else:
        result.warn(told + "write a video to keep the times")


def _save_timecodes(result: MattingResult, folder: RunFolder) -> None:
    """Write the times of the result beside the images; the report has them in any case."""
    try:
        if path := folder.save_timecodes(result.times):
            result.outputs.append(path)
    except WriteError as error:
        result.warn(f"{error}; the frames are whole without it")


def _varies(times: list[Fraction]) -> bool:
    """Whether a frame is more than half a frame away from where a constant rate would have it."""
    if len(times) < 3:
        return False
    usual = median(later - time for time, later in pairwise(times))
    mean = (times[-1] - times[0]) / (len(times) - 1)
    return any(
        abs(later - time - usual) > usual / 2 or abs(time - times[0] - number * mean) > mean / 2
        for number, (time, later) in enumerate(pairwise(times))
    )


def _facts(result: MattingResult, status: str) -> dict[str, object]:
    times = {} if result.times is None else {"times": result.times}
    return {
        "status": status,
        "frames": result.frames,
        "resumed": result.resumed,
        "seconds": round(result.seconds, 3),
        "frames_per_second": round(result.speed, 3),
        "busy": result.busy,
        "waited": result.waited,
        "bottleneck": {"stage": bottleneck(result.waited), "advice": result.bottleneck},
        "coding": result.coding,
        "preflight": result.preflight,
        "alignment": result.alignment,
        "matching": result.matching,
        "region": result.region,
        "mending": result.mending,
        "repeated_frames": result.repeated_frames,
        **times,
        "warnings": result.warnings,
    }
