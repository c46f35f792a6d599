"""The loop: loader, network, alpha filters, composer, sinks."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from media import prefetch
from model import DeviceError, EstimatedPrediction, Predictor, is_out_of_memory
from writers import (
    Composer,
    Encoded,
    FrameWriter,
    Kind,
    RunFolder,
    WriteError,
    composer,
    preview_name,
    save_png,
)
from writers.folder import folders_in_use

from .alpha_filters import AlphaFilter
from .concurrency import Turns, batches_at_once, cores_at_hand, threads_kept
from .core_matte import with_core
from .frames import FrameNumbers, Role
from .loader import FrameBatch, PairLoader
from .preview import Preview
from .region import RegionPredictor
from .report import Times, report
from .result import MattingResult
from .transfer import DeviceFeed, Moment, PendingTransfer, now, seconds_between

#: Told of the frames done and the frames expected, if known.
Progress = Callable[[int, int | None], None]
#: Gives the frames for sinks, in order, and adds to the times where the work was done.
Workers = Callable[[Mapping[Kind, FrameWriter], Times], Generator["Finished"]]


@dataclass(frozen=True)
class Finished:
    """Frames for the sinks, or the word that there are none to write.

    Attributes:
        count: How many they are.
        is_written: Whether they are to be written.
        repeated: Numbers of those that could not be decoded.
        frames: By kind: frames (B, C, H, W) on the host, or one as the content of its file.
    """

    count: int
    is_written: bool
    repeated: Sequence[int]
    frames: Mapping[Kind, Tensor | Encoded]


class _Numbered(NamedTuple):
    """A batch and its number."""

    number: int
    batch: FrameBatch


@dataclass(frozen=True)
class _Matted:
    """A batch on its way to the sinks, and when the device started and finished it.

    Finished batches wait here for earlier ones, so that they must not hold their source frames.
    """

    count: int
    is_written: bool
    repeated: list[int]
    frames: dict[Kind, PendingTransfer]
    span: tuple[Moment, Moment]


@dataclass(kw_only=True)
class Run:
    """One run over a clip.

    Attributes:
        loader: Gives batches of frames with their plates.
        predictor: Mattes them.
        region: Mattes them by means of the predictor, where they show more than their plates.
        filters: Applied to alpha, batch by batch.
        sinks: Pairs of kind and sink; taking a pair opens its sink.
        frames: Their numbers.
        estimates: Whether the foreground is estimated, rather than the network's.
        keeps_alpha: Whether ``com`` keeps its alpha, rather than being composited.
        result: Filled in as the run goes on.
        progress: Told of the frames done after every batch.
        folder: Where ``run.json`` goes; None where the sinks are the caller's.
        preview: Collects frames for the contact sheet, which goes to the folder.
        prepare: Called before the first frame: makes or repairs the plate.
        workers: Mattes the frames elsewhere, in place of the loader, the predictor and the filters.
        times: Where the run spent its time.
    """

    loader: PairLoader
    predictor: Predictor
    filters: Sequence[AlphaFilter]
    sinks: Iterable[tuple[Kind, FrameWriter]]
    keeps_alpha: bool
    result: MattingResult
    progress: Callable[[int], None]
    region: RegionPredictor | None = None
    estimates: bool = False
    frames: FrameNumbers = FrameNumbers()  # noqa: RUF009
    folder: RunFolder | None = None
    preview: Preview | None = None
    prepare: Callable[[], None] = lambda: None
    workers: Workers | None = None
    times: Times = field(default_factory=Times)

    def matte(self) -> None:
        """Matte every frame, close everything, and report, however it ends."""
        times = self.times
        open_sinks: dict[Kind, FrameWriter] = {}
        given: dict[Kind, int] = {}  # frames that each sink was given
        try:
            with ExitStack() as stack:
                if self.folder is None:  # the caller's: to be closed even if the plate fails
                    self._open(open_sinks, stack)
                self.prepare()
                times.preparing = time.perf_counter() - times.started
                if self.folder is not None:
                    self._open(open_sinks, stack)
                stack.enter_context(self.loader)
                self._loop(open_sinks, given, times)
            try:
                self._save_sheet()
            except WriteError as error:
                if not open_sinks:
                    raise
                self.result.warn(f"{error}; the frames are whole without it")
        except BaseException as error:
            with suppress(Exception):  # what ended the run matters more
                self._save_sheet()
            with suppress(OSError):
                status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
                self._report(status, times, open_sinks, given)
            if is_out_of_memory(error):  # the network has remedies of its own
                raise DeviceError(
                    f"out of memory on {self.predictor.device}; try a smaller --batch-size or "
                    "--video-resize, --precision fp16, or another --device"
                ) from error
            raise
        self._report("done", times, open_sinks, given)

    def _open(self, open_sinks: dict[Kind, FrameWriter], stack: ExitStack) -> None:
        for kind, sink in self.sinks:
            open_sinks[kind] = stack.enter_context(sink)

    def _loop(
        self, sinks: Mapping[Kind, FrameWriter], given: dict[Kind, int], times: Times
    ) -> None:
        work = self._finished if self.workers is None else self.workers
        self.progress(self.result.frames)
        with threads_kept(), closing(work(sinks, times)) as finished:
            while True:
                with times.waiting("network"):
                    matted = next(finished, None)
                if matted is None:
                    return
                if not matted.is_written:
                    self.progress(self.result.frames)
                    continue
                done = self.result.frames + matted.count
                self.result.repeated_frames += matted.repeated
                if self.folder is not None:
                    if matted.repeated:
                        self.folder.tell({"repeated_frames": self.result.repeated_frames})
                    self.folder.claim(done - self.result.resumed)
                for kind, sink in sinks.items():
                    given[kind] = done - self.result.resumed
                    frames = matted.frames[kind]
                    if isinstance(frames, Tensor):
                        sink.add_batch(frames)
                    else:
                        sink.add_encoded(frames)
                self.result.frames = done
                self.progress(done)

    def _finished(self, sinks: Mapping[Kind, FrameWriter], times: Times) -> Generator[Finished]:
        """Batch after batch."""
        composers = {
            kind: composer(
                kind,
                alpha=self.keeps_alpha,
                depth=sink.depth,
                linear=sink.linear,
                premultiplied=sink.premultiplied,
                margin=sink.margin,
            )
            for kind, sink in sinks.items()
        }
        device = self.predictor.device
        feed = DeviceFeed(device)
        way_back = torch.cuda.Stream(device) if device.type == "cuda" else None
        at_once, cores = batches_at_once(self.predictor), cores_at_hand()
        matte = partial(self._matte, composers, feed, way_back, Turns())
        batches = self._batches(times)
        if device.type == "cuda":  # a thread of its own gives it batches, so that it never idles
            mattes = prefetch(matte, batches, 1, name="network")
        elif at_once == 1:
            mattes = prefetch(matte, batches, 0, name="network")
        else:
            share = partial(torch.set_num_threads, max(1, cores // at_once))
            mattes = prefetch(matte, batches, at_once, name="network", prepare=share)
        with closing(mattes):
            for matted in mattes:
                frames: dict[Kind, Tensor | Encoded] = {
                    kind: pending.wait() for kind, pending in matted.frames.items()
                }
                times.network += seconds_between(*matted.span) / at_once
                yield Finished(matted.count, matted.is_written, matted.repeated, frames)

    def _batches(self, times: Times) -> Iterator[_Numbered]:
        batches, numbers = iter(self.loader), count()
        while True:
            with times.waiting("read"):
                batch = next(batches, None)
            if batch is None:
                return
            if batch.role is Role.READ:  # for what carries over from one frame to the next
                self.progress(self.result.frames)
            else:
                yield _Numbered(next(numbers), batch)

    def _matte(
        self,
        composers: Mapping[Kind, Composer],
        feed: DeviceFeed,
        way_back: torch.cuda.Stream | None,
        turns: Turns,
        item: _Numbered,
    ) -> _Matted:
        """From a batch to its frames of each kind; on CUDA they may not be ready yet."""
        number, batch = item
        is_written = batch.role is Role.WRITTEN
        try:
            start = now(feed.device)
            frames = feed(batch)
            matte = (self.region or self.predictor)(frames.src, frames.bgr)
        except BaseException:
            with turns.turn(number):  # those after it wait for it
                raise
        if frames.pha is not None:  # what the clip hides stays hidden
            matte = matte.with_pha(matte.pha * frames.pha.to(matte.pha.device))
        if frames.core is not None:
            matte = matte.with_pha(with_core(matte.pha, frames.core.to(matte.pha.device)))
        if frames.garbage is not None:  # what is background for certain stays so
            matte = matte.with_pha(matte.pha * frames.garbage.to(matte.pha.device))
        with turns.turn(number):
            for alpha_filter in self.filters:
                pha = matte.pha  # on the CPU, if the device could not do it
                matte = matte.with_pha(alpha_filter(frames.src.to(pha.device), pha))
            src = frames.src if frames.extended is None else frames.extended
            final = EstimatedPrediction(matte, src, frames.bgr) if self.estimates else matte
            if self.preview is not None and is_written:
                numbers = [self.frames.numbering[place] for place in batch.places]
                self.preview.add(numbers, frames.src, frames.bgr, final)
        if frames.extended is not None and final is matte:
            final = matte.with_extended(frames.src, frames.extended)
        pending = {
            kind: PendingTransfer(compose(final, frames.target), way_back)
            for kind, compose in composers.items()
            if is_written
        }
        repeated = [self.frames.numbering[place] for place in batch.repeated]
        span = start, now(feed.device)
        return _Matted(len(batch.src), is_written, repeated, pending, span)

    def _report(
        self,
        status: str,
        times: Times,
        sinks: Mapping[Kind, FrameWriter],
        given: Mapping[Kind, int],
    ) -> None:
        if self.region is not None:
            self.result.region = self.region.counts.report()
        report(
            self.result,
            status,
            times,
            frames=self.frames,
            loader=self.loader,
            device=self.predictor.device,
            sinks=sinks,
            given=given,
            folder=self.folder,
        )

    def _save_sheet(self) -> None:
        sheet = self.preview.sheet() if self.preview is not None else None
        if sheet is not None and self.folder is not None:
            save_png(self.folder.root / preview_name(self.folder.label), sheet)


def abandon_runs() -> None:
    """Let the report of each run in progress say that it was stopped: the program ends at once."""
    for folder in folders_in_use():
        with suppress(OSError):
            folder.abandon()
