"""Each stage of the pipeline alone, with the same parts as in a whole run."""

import itertools
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from dataset import DeviceFeed, PairLoader
from model import Matter, resolve_device
from pipeline import Settings, open_inputs, open_network
from writers import Clip, Kind, composer

#: Different frames to matte and to write, again and again: all of a 4K clip would not fit.
_DIFFERENT = 8


def time_stages(flags: dict[str, Any], frames: int, network_frames: int) -> dict[str, float]:
    """Milliseconds a frame of each stage, with nothing else going on.

    Args:
        flags: The settings of the run, keywords of ``matte_video``.
        frames: How many to read, and to write.
        network_frames: How many to matte.

    Returns:
        ``read``: decoding and pairing; ``network``: sending to the device, matting, composing and
        fetching; ``write``: encoding and saving, until the last file is closed.
    """
    settings = Settings(**flags)
    read = _time_reading(settings)
    inputs = open_inputs(settings, _ignore)
    loader = PairLoader(inputs.src, inputs.bgr, target=inputs.target, warn=_ignore)
    with loader:
        batches = list(itertools.islice(loader, _DIFFERENT))
    settings, network = open_network(settings, longer_side=max(inputs.size))
    matter = Matter(
        network, resolve_device(settings.device), precision=settings.precision, warn=_ignore
    )
    feed = DeviceFeed(matter.device)
    composers = {
        kind: composer(kind, has_alpha=settings.form.has_alpha) for kind in settings.output_types
    }

    def matte(number: int) -> dict[Kind, Tensor]:
        batch = feed(batches[number % len(batches)])
        prediction = matter(batch.src, batch.bgr)
        return {
            kind: compose(prediction, batch.target).mul(255).round_().byte().cpu()
            for kind, compose in composers.items()
        }

    mattes = [matte(number) for number in range(len(batches))]  # the first ones are slower
    started = time.perf_counter()
    for number in range(network_frames):
        matte(number)
    matted = (time.perf_counter() - started) / network_frames
    written = _time_writing(settings, inputs.size, mattes, frames)
    return {"read": read * 1000, "network": matted * 1000, "write": written * 1000}


def _time_reading(settings: Settings) -> float:
    """Seconds a frame."""
    inputs = open_inputs(settings, _ignore)
    loader = PairLoader(inputs.src, inputs.bgr, target=inputs.target, warn=_ignore)
    started = time.perf_counter()
    with loader:
        count = sum(len(batch.src) for batch in loader)
    return (time.perf_counter() - started) / count


def _time_writing(
    settings: Settings, size: tuple[int, int], mattes: list[dict[Kind, Tensor]], frames: int
) -> float:
    """Seconds for one frame of every kind."""
    clip = Clip(
        size=size,
        frame_rate=Fraction(24),
        time_base=None,
        timestamps=lambda: itertools.repeat(None),
        audio=None,
        image_extension=settings.image_extension,
        start_number=0,
        crf=settings.crf,
        warn=_ignore,
    )
    root = Path(settings.output_dir or "")
    started = time.perf_counter()
    sinks = {
        kind: settings.form.open(settings.form.plan(kind, clip), root, clip)
        for kind in settings.output_types
    }
    for number in range(frames):
        for kind, sink in sinks.items():
            sink.add_batch(mattes[number % len(mattes)][kind])
    for sink in sinks.values():
        sink.close()
    return (time.perf_counter() - started) / frames


def _ignore(message: str) -> None:
    """What there is to warn of is of no interest here."""
