"""Each stage of the pipeline alone, made of the same parts as a whole run."""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from dataset import FlatColour
from model import Predictor, resolve_device
from pipeline import FrameBatch, MattingResult, PairLoader, Run, Settings, open_inputs, open_network
from plate import PlateFitter
from writers import Clip, FrameWriter, Kind, MemoryWriter, plan_output

#: Maximum number of frames held in memory; they are repeated. A whole 4K clip would not fit.
_MAX_FRAMES_HELD = 8


def time_stages(flags: dict[str, Any], frames: int, network_frames: int) -> dict[str, float]:
    """Milliseconds per frame of each stage, while no other stage runs.

    Args:
        flags: The settings of the run, keywords of ``matte_video``.
        frames: Number of frames to read, and to write.
        network_frames: Number of frames to matte.

    Returns:
        ``read``: decoding and pairing; ``network``: upload, matting, compositing and download;
        ``write``: encoding and saving, until the last file is closed.
    """
    settings = Settings(**flags)
    kinds = settings.output_types
    inputs = open_inputs(settings, kinds, _ignore)
    device = resolve_device(settings.device)

    def loader() -> PairLoader:
        pin = device.type == "cuda"
        return PairLoader(inputs.src, inputs.bgr, target=inputs.target, pin=pin, warn=_ignore)

    started = time.perf_counter()
    with loader() as batches:
        count = sum(len(batch.src) for batch in batches)
    read = (time.perf_counter() - started) / count
    with loader() as batches:
        ready = list(itertools.islice(batches, _MAX_FRAMES_HELD))

    settings, network = open_network(settings, longer_side=max(inputs.size))
    predictor = Predictor(network, device, precision=settings.precision, warn=_ignore)
    kept = {kind: _memory_for(settings, kind) for kind in kinds}
    _matte(settings, predictor, ready, kept)  # warm-up
    many = [batch for batch, _ in zip(itertools.cycle(ready), range(network_frames), strict=False)]
    seconds = _matte(settings, predictor, many, {kind: _Discard() for kind in kinds})
    mattes = {kind: writer.frames for kind, writer in kept.items()}
    return {
        "read": read * 1000,
        "network": seconds / network_frames * 1000,
        "write": _write(settings, inputs.size, mattes, frames) / frames * 1000,
    }


def _matte(
    settings: Settings,
    predictor: Predictor,
    batches: Sequence[FrameBatch],
    sinks: dict[Kind, Any],
) -> float:
    """The program's own loop on batches that are already read, with sinks that discard frames.

    Returns:
        Seconds.
    """
    result = MattingResult()
    Run(
        loader=cast(PairLoader, _Ready(batches)),
        predictor=predictor,
        filters=[],
        sinks=iter(sinks.items()),
        keeps_alpha=settings.keeps_alpha,
        result=result,
        progress=_ignore_progress,
    ).matte()
    return result.seconds


def _write(
    settings: Settings, size: tuple[int, int], mattes: dict[Kind, Tensor], frames: int
) -> float:
    """Seconds to write ``frames`` frames of every kind."""
    clip = Clip(
        size=size,
        frame_rate=Fraction(24),
        time_base=None,
        timestamps=lambda: itertools.repeat(None),
        origin=Fraction(0),
        audio=None,
        warn=_ignore,
    )
    root = Path(settings.output_dir or "")
    started = time.perf_counter()
    sinks: dict[Kind, FrameWriter] = {}
    for kind in mattes:
        form = settings.format_of(kind)
        options = settings.options_of(kind, deep=False)
        output = plan_output(kind, form, size)
        sinks[kind] = form.open(output, root, clip, options)
    for number in range(frames):
        for kind, sink in sinks.items():
            at = number % len(mattes[kind])
            sink.add_batch(mattes[kind][at : at + 1])
    for sink in sinks.values():
        sink.close()
    return time.perf_counter() - started


def _memory_for(settings: Settings, kind: Kind) -> MemoryWriter:
    """A writer that is given such frames as the sink of a kind."""
    form = settings.format_of(kind)
    memory = MemoryWriter(form.depth_for(settings.bit_depth, deep=False))
    memory.linear, memory.margin = form.linear, form.margin
    memory.premultiplied = (settings.alpha or form.alpha) == "premultiplied"
    return memory


class _Ready(nullcontext):
    """A loader whose batches are already read."""

    busy_seconds = 0.0

    def __init__(self, batches: Sequence[FrameBatch]):
        super().__init__()
        self.src = FlatColour((0, 0, 0), (1, 1))
        self.fitter = PlateFitter(self.src, (1, 1), warn=_ignore)
        self._batches = batches

    def __iter__(self) -> Iterator[FrameBatch]:
        return iter(self._batches)


class _Discard(FrameWriter):
    """A sink that discards its frames."""

    def add_batch(self, frames: Tensor) -> None:
        pass

    def close(self) -> None:
        pass


def _ignore(message: str) -> None:
    """Discard a warning."""


def _ignore_progress(done: int) -> None:
    """Nobody watches."""
