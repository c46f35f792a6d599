"""One of several workers that share a run: what it is told, what it does, and what it returns."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from platform import node

import cv2
import numpy as np
import torch

from dataset import FrameSource, MediaError, MemorySource, Places, VideoSource, YuvCoding
from media import MattingError, UsageError
from model import Predictor, resolve_device
from plate import FitCounts, FoundPlates, FramePlates
from writers import Depth, EncodedFrames, FrameWriter, ImageEncoder, Kind, MemoryWriter

from .alpha_filters import alpha_filters
from .frames import FrameNumbers, numbering_of, plan_frames
from .inputs import Inputs, open_inputs, open_loader, open_network
from .preview import Preview, Row
from .region import RegionCounts, region_of
from .result import MattingResult
from .resume import MAY_BE_PATTERNS
from .run import Run
from .settings import Settings, as_dict
from .version import __version__


@dataclass(frozen=True)
class SinkNeeds:
    """What the sink of a kind needs of its frames; see :class:`writers.FrameWriter`.

    ``encoder`` makes files of them; None where the sink takes frames.
    """

    depth: Depth
    linear: bool
    premultiplied: bool
    margin: int
    encoder: ImageEncoder | None

    @classmethod
    def of(cls, sink: FrameWriter) -> "SinkNeeds":
        encoder = getattr(sink, "encoder", None)
        return cls(sink.depth, sink.linear, sink.premultiplied, sink.margin, encoder)

    def collector(self, frames: FrameNumbers, threads: int) -> FrameWriter:
        """A sink that keeps what this one needs."""
        sink: FrameWriter = MemoryWriter(self.depth)
        if self.encoder is not None:
            sink = EncodedFrames(self.encoder, frames.numbers(), workers=threads)
        sink.linear, sink.premultiplied = self.linear, self.premultiplied
        sink.margin = self.margin
        return sink


@dataclass(frozen=True, kw_only=True)
class Order:
    """What all workers of a run are told. It can be sent to another machine.

    Attributes:
        settings: With what the checkpoint, the clip and the device decided; paths are absolute.
        sinks: What the sink of each kind needs.
        plate: The plate, where it was made or is an image; None if it is a clip.
        static: (3, 3), how the plate lies in the whole clip; None unless it is aligned once.
        expected: Frames of the run.
        length: Frames of the clip.
        coding: What the frames of a video are read as; None for images.
        sizes: Bytes of the files that a worker reads.
        version: Of the program.
    """

    settings: Settings
    sinks: Mapping[Kind, SinkNeeds]
    plate: FrameSource | None
    static: np.ndarray | None
    expected: int
    length: int
    coding: YuvCoding | None
    sizes: Mapping[str, int]
    version: str = __version__


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a worker made of a chunk.

    Attributes:
        count: How many frames; fewer than it was asked for if the clip ends before them.
        frames: By kind, the frames (N, H, W, C), or the bytes of a file for each.
        times: Of the frames, in seconds.
        repeated: Numbers of those that could not be decoded.
        rows: Those of the contact sheet.
        warnings: What it was told.
        fits: How plates were fitted.
        region: What was looked at, with a region of interest.
        seconds: How long it read, and how long the network worked.
        error: Why there are no more frames; None if nothing is wrong.
    """

    count: int
    frames: Mapping[Kind, np.ndarray | list[np.ndarray]]
    times: list[Fraction | None]
    repeated: list[int]
    rows: list[Row]
    warnings: list[str]
    fits: FitCounts
    region: RegionCounts
    seconds: tuple[float, float]
    error: MattingError | None = None


def order_for(
    settings: Settings,
    inputs: Inputs,
    sinks: Mapping[Kind, FrameWriter],
    *,
    static: np.ndarray | None,
    expected: int,
) -> Order:
    """What workers are told.

    Args:
        settings: With what the checkpoint, the clip and the device decided.
        inputs: What the frames are made from.
        sinks: Those that get the frames.
        static, expected: As in :class:`Order`.
    """
    values = as_dict(settings)
    for name in settings.file_settings():
        path = settings.file_of(name)
        if path is not None and (name in MAY_BE_PATTERNS or path.exists()):
            values[name] = os.path.abspath(values[name])
    absolute = Settings(**{**values, "resume": False, "overwrite": False, "workers": None})
    read = [path for path in absolute.files_read() if path.is_file()]
    return Order(
        settings=absolute,
        sinks={kind: SinkNeeds.of(sink) for kind, sink in sinks.items()},
        plate=_portable(inputs.bgr),
        static=static,
        expected=expected,
        length=inputs.src.length(),
        coding=inputs.src.coding if isinstance(inputs.src, VideoSource) else None,
        sizes={str(path): path.stat().st_size for path in read},
    )


def _portable(plate: FrameSource) -> FrameSource | None:
    """A plate that can be sent; None if it is a clip."""
    if isinstance(plate, FramePlates):
        return FoundPlates(plate.name, plate.find(), deep=plate.deep)
    if plate.still:
        return MemorySource(next(iter(plate)).image[None], plate.name, still=True)
    return None


class Worker:
    """Mattes chunks of a run. It keeps the network and the clip open from one to the next."""

    def open(self, order: Order, device: str, threads: int) -> None:
        """Load and open everything.

        Args:
            order: What to do.
            device: Where the network runs.
            threads: Threads that it may use.

        Raises:
            MattingError: As of :func:`pipeline.matte_video`.
        """
        if order.version != __version__:
            raise UsageError(
                f"bgmv2 {__version__} is installed on {node()}, and {order.version} here; install "
                "the same version everywhere"
            )
        _check_files(order.sizes)
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        self._order, self._threads, self._warnings = order, threads, list[str]()
        settings = order.settings
        warn = self._warnings.append
        self._inputs = open_inputs(settings, list(order.sinks), warn, plate=order.plate)
        if isinstance(src := self._inputs.src, VideoSource) and order.coding is not None:
            src.read_as(order.coding)
            src.goes_on = True
        _, network = open_network(settings, longer_side=max(self._inputs.size))
        on = resolve_device(device)
        self._predictor = Predictor(network, on, precision=settings.precision, warn=warn)
        self._numbering = numbering_of(settings, self._inputs.src)
        if self._inputs.src.length() != order.length:
            name = self._inputs.src.name
            raise MediaError(f"{name}: is another clip on {node()}; every machine needs the same")
        self._warnings.clear()  # the run itself has told them

    def matte(self, places: Sequence[int], first: int) -> Part:
        """Matte some frames.

        Args:
            places: Where they are in the clip.
            first: Place of the first one in the run.
        """
        order, inputs, result = self._order, self._inputs, MattingResult()
        warn = self._warnings.append
        frames = FrameNumbers(self._numbering, Places(places, None))
        plan = plan_frames(order.settings, frames.places)
        preview = Preview(order.expected, first=first)
        sinks = {kind: need.collector(frames, self._threads) for kind, need in order.sinks.items()}
        loader = open_loader(
            order.settings, inputs, plan, self._predictor, warn=warn, static=order.static
        )
        shown = loader.timestamps()
        region = region_of(order.settings, self._predictor)
        run = Run(
            loader=loader,
            predictor=self._predictor,
            region=region,
            filters=alpha_filters(order.settings, inputs.size, lambda: iter(plan.matted)),
            sinks=iter(sinks.items()),
            frames=frames,
            keeps_alpha=order.settings.keeps_alpha,
            estimates=order.settings.fgr == "estimate",
            result=result,
            progress=lambda done: None,
            preview=preview,
        )
        error = None
        try:
            run.matte()
        except MattingError as found:  # the frames before it are whole
            error = found
        told = list(self._warnings)
        self._warnings.clear()
        return Part(
            count=result.frames,
            frames={kind: _content(sink) for kind, sink in sinks.items() if result.frames},
            times=[next(shown) for _ in range(result.frames)],
            repeated=result.repeated_frames,
            rows=preview.rows,
            warnings=told,
            fits=loader.fitter.counts,
            region=RegionCounts() if region is None else region.counts,
            seconds=(loader.busy_seconds, run.times.network),
            error=error,
        )


def _content(sink: FrameWriter) -> np.ndarray | list[np.ndarray]:
    if isinstance(sink, EncodedFrames):
        return sink.files
    assert isinstance(sink, MemoryWriter)
    return np.ascontiguousarray(sink.frames.permute(0, 2, 3, 1).numpy())


def _check_files(sizes: Mapping[str, int]) -> None:
    """Check that files are those of the run.

    Raises:
        MediaError: One is missing here, or is another one.
    """
    for name, size in sizes.items():
        path = Path(name)
        if not path.is_file():
            raise MediaError(f"{path}: not found on {node()}; every machine needs it there")
        if path.stat().st_size != size:
            raise MediaError(f"{path}: is another file on {node()}; every machine needs the same")
