"""The way of a frame: loader, network, composer, sink."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from dataset import DeviceFeed, FrameBatch, PairLoader, map_ahead
from model import DeviceError, Matter, is_out_of_memory
from writers import (
    PREVIEW_NAME,
    Composer,
    FrameWriter,
    Kind,
    RunFolder,
    WriteError,
    save_png,
    to_levels,
)

from .bottleneck import Stage, bottleneck, explain
from .crew import Turns, batches_at_once, cores_at_hand, threads_kept
from .flight import Landing, Moment, now, seconds_between
from .preview import Preview
from .result import MattingResult


class _Numbered(NamedTuple):
    """A batch, its number, and that of its first frame."""

    number: int
    first: int
    batch: FrameBatch


@dataclass(frozen=True)
class _Matted:
    """What is kept of a batch: its pictures by kind, and when the device began and ended with it.

    Its frames are let go: several batches wait here for those before them.
    """

    count: int
    repeated: tuple[int, ...]
    frames: dict[Kind, Landing]
    span: tuple[Moment, Moment]


@dataclass
class Run:
    """One run over a clip.

    Attributes:
        loader: Gives batches of frames with their plates.
        matter: Mattes them.
        composers: How to make the frames of each kind of output.
        folder: Where ``run.json`` goes; None keeps none.
        result: Filled in as the run goes on.
        prepare: Done before the first frame: a plate is made.
        steps: What is done to alpha (B, 1, H, W), given the frames (B, 3, H, W), batch by batch.
        preview: Collects pictures for the contact sheet, which goes to the folder.
        expected: Frames to expect, if known.
        progress: Called after every batch with the frames done and the frames expected.
        sinks: The open sinks, by kind.
        begun: Frames that each sink was given.
        prepare_seconds: Time that ``prepare`` took.
        network_seconds: Time that the device was at work.
        waited_seconds: Time that the loop waited for the loader, and for pictures, which includes
            the loader.
    """

    loader: PairLoader
    matter: Matter
    composers: Mapping[Kind, Composer]
    folder: RunFolder | None
    result: MattingResult
    expected: int | None
    progress: Callable[[int, int | None], None] | None
    prepare: Callable[[], None] | None = None
    steps: Sequence[Callable[[Tensor, Tensor], Tensor]] = ()
    preview: Preview | None = None
    sinks: dict[Kind, FrameWriter] = field(default_factory=dict)
    begun: dict[Kind, int] = field(default_factory=dict)
    prepare_seconds: float = 0.0
    network_seconds: float = 0.0
    waited_seconds: dict[Stage, float] = field(default_factory=lambda: {"read": 0, "network": 0})

    def matte(self, opening: Iterable[tuple[Kind, FrameWriter]]) -> None:
        """Matte every frame, close everything, and report, however it ends."""
        started = time.perf_counter()
        try:
            with ExitStack() as stack:
                if self.folder is None:  # the caller's sinks, which are open already
                    self._open(opening, stack)
                if self.prepare is not None:
                    self.prepare()
                    self.prepare_seconds = time.perf_counter() - started
                if self.folder is not None:
                    self._open(opening, stack)
                self.loader.waiting = self._show_progress
                stack.enter_context(self.loader)
                self._loop()
            try:
                self._save_sheet()
            except WriteError as error:
                if not self.composers:
                    raise
                self.result.warn(f"{error}; the frames are whole without it")
        except BaseException as error:
            status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
            with suppress(OSError):  # what ended the run matters more
                self._save_sheet()
            with suppress(OSError):
                self._report(status, time.perf_counter() - started)
            if is_out_of_memory(error):  # the network has remedies of its own
                raise DeviceError(
                    f"out of memory on {self.matter.device}; try a smaller --batch-size or "
                    "--video-resize, --precision fp16, or another --device"
                ) from error
            raise
        self._report("done", time.perf_counter() - started)

    def _open(self, opening: Iterable[tuple[Kind, FrameWriter]], stack: ExitStack) -> None:
        for kind, writer in opening:
            self.sinks[kind] = stack.enter_context(writer)

    def _loop(self) -> None:
        with threads_kept(), closing(self._landed()) as landed:
            while True:
                with self._waiting_for("network"):
                    matted, frames = next(landed, (None, {}))
                if matted is None:
                    return
                done = self.result.frames + matted.count
                if self.folder is not None:
                    self.folder.claim(done)
                for kind, writer in self.sinks.items():
                    self.begun[kind] = done
                    writer.add_batch(frames[kind])
                self.result.frames = done
                self.result.repeated_frames += matted.repeated
                self._show_progress()

    def _show_progress(self) -> None:
        if self.progress is not None:
            self.progress(self.result.frames, self.expected)

    def _landed(self) -> Generator[tuple[_Matted, dict[Kind, Tensor]]]:
        """Batch after batch, with its pictures on the host."""
        device = self.matter.device
        feed = DeviceFeed(device)
        way_back = torch.cuda.Stream(device) if device.type == "cuda" else None
        at_once, cores = batches_at_once(self.matter), cores_at_hand()
        matte = partial(self._matte, feed, way_back, Turns())
        if device.type == "cuda":  # is given batches by a thread of its own, so that it never idles
            mattes = map_ahead(matte, self._batches(), 1, name="network")
        elif at_once == 1:
            mattes = map(matte, self._batches())
        else:
            share = partial(torch.set_num_threads, cores // at_once)
            mattes = map_ahead(matte, self._batches(), at_once, name="network", prepare=share)
        for matted in mattes:
            frames = {kind: landing.wait() for kind, landing in matted.frames.items()}
            self.network_seconds += seconds_between(*matted.span) / at_once
            yield matted, frames

    def _batches(self) -> Iterator[_Numbered]:
        batches, frames, numbers = iter(self.loader), 0, count()
        while True:
            with self._waiting_for("read"):
                batch = next(batches, None)
            if batch is None:
                return
            if frames >= self.result.resumed:
                yield _Numbered(next(numbers), frames, batch)
            else:  # read for what is learned from one frame to the next
                self.result.repeated_frames += batch.repeated
                self._show_progress()
            frames += len(batch.src)

    def _matte(
        self, feed: DeviceFeed, way_back: torch.cuda.Stream | None, turns: Turns, item: _Numbered
    ) -> _Matted:
        """From a batch to its pictures; on CUDA they may not be ready yet."""
        number, first, batch = item
        start = now(feed.device)
        try:
            frames = feed(batch)
            matte = self.matter(frames.src, frames.bgr)
        except BaseException:
            with turns.turn(number):  # those behind wait for it
                raise
        with turns.turn(number):
            for step in self.steps:
                pha = matte.pha  # on the CPU, if the device could not do it
                matte = matte.with_pha(step(frames.src.to(pha.device), pha))
            if self.preview is not None:
                self.preview.add(first, frames.src, frames.bgr, matte)
        landings = {
            kind: Landing(to_levels(self.composers[kind](matte, frames.target)), way_back)
            for kind in self.sinks
        }
        return _Matted(len(batch.src), batch.repeated, landings, (start, now(feed.device)))

    @contextmanager
    def _waiting_for(self, stage: Stage) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.waited_seconds[stage] += time.perf_counter() - started

    def _save_sheet(self) -> None:
        sheet = self.preview.sheet() if self.preview is not None else None
        if sheet is not None and self.folder is not None:
            save_png(self.folder.root / PREVIEW_NAME, sheet)

    def _report(self, status: str, seconds: float) -> None:
        result, aligner, matcher = self.result, self.loader.aligner, self.loader.matcher
        result.seconds = seconds
        writing = max((sink.busy_seconds for sink in self.sinks.values()), default=0.0)
        stages = {
            "read": self.loader.busy_seconds,
            "network": self.network_seconds,
            "write": writing,
        }
        result.busy = {stage: round(busy / seconds, 3) for stage, busy in stages.items()}
        waited = {stage: spent / seconds for stage, spent in self.waited_seconds.items()}
        waited["network"] -= waited["read"]  # which is done within
        waited["read"] += self.prepare_seconds / seconds
        waited["write"] = 1 - sum(waited.values())  # handing over, and closing
        result.waited = {stage: round(share, 3) for stage, share in waited.items()}
        result.bottleneck = explain(
            result.waited,
            on_cuda=self.matter.device.type == "cuda",
            images_in=self.loader.reads_images,
            aligned=aligner is not None,
            plate=self.prepare_seconds / seconds,
            mended=result.mending is not None,
            written=self.folder.written() if self.folder is not None else (),
        )
        if result.repeated_frames:
            result.warn(
                f"{len(result.repeated_frames)} damaged frames repeat their neighbours; "
                "run.json lists them"
            )
        if aligner is not None:
            result.alignment = {
                "aligned": aligner.solved,
                "unaligned": aligner.failed,
                "largest_uncovered_share": round(aligner.uncovered, 4),
            }
        if matcher is not None:
            result.matching = {
                "matched": matcher.matched,
                "unmatched": matcher.failed,
                "largest_change": round(255 * matcher.widest, 1),
            }
        if self.folder is not None:
            facts = {
                "status": status,
                "frames": result.frames,
                "resumed": result.resumed,
                "seconds": round(seconds, 3),
                "frames_per_second": round(result.speed, 3),
                "busy": result.busy,
                "waited": result.waited,
                "bottleneck": {"stage": bottleneck(result.waited), "advice": result.bottleneck},
                "preflight": result.preflight,
                "alignment": result.alignment,
                "matching": result.matching,
                "mending": result.mending,
                "repeated_frames": result.repeated_frames,
                "warnings": result.warnings,
            }
            self.folder.finish(self.begun, facts)
