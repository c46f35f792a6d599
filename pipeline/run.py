"""The way of a frame: loader, network, composer, sink."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from dataset import DeviceFeed, PairLoader
from model import DeviceError, Matter, is_out_of_memory
from writers import PREVIEW_NAME, Composer, FrameWriter, Kind, RunFolder, save_png

from .preview import Preview

logger = logging.getLogger("bgmv2")


@dataclass
class MattingResult:
    """What a run did.

    Attributes:
        frames: Frames matted.
        seconds: Time that took, from the first frame read to the last file closed.
        outputs: The videos and folders written.
        warnings: Everything that was mended or assumed, one sentence each.
        repeated_frames: Numbers of frames that could not be decoded; each repeats the one before,
            or at the start of the clip the first that could.
        busy: Share of the time, in [0, 1], that each stage was at work: read, network, write.
        preflight: What the look before the run found; see :class:`pipeline.Look`. None without it.
        alignment: With alignment, the frames aligned, those left unaligned, and the largest share
            of a frame that its plate left uncovered.
        matching: With matched colours, the frames fitted, those that were not, and the largest
            change of a medium grey, in levels of 255.
    """

    frames: int = 0
    seconds: float = 0.0
    outputs: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    repeated_frames: list[int] = field(default_factory=list)
    busy: dict[str, float] = field(default_factory=dict)
    preflight: dict[str, Any] | None = None
    alignment: dict[str, float] | None = None
    matching: dict[str, float] | None = None

    def warn(self, message: str) -> None:
        """Keep a warning, and log it, once."""
        if message not in self.warnings:
            self.warnings.append(message)
            logger.warning(message)


@dataclass
class Run:
    """One run over a clip.

    Attributes:
        loader: Gives batches of frames with their plates.
        matter: Mattes them.
        composers: How to make the frames of each kind of output.
        folder: Where ``run.json`` goes; None keeps none.
        result: Filled in as the run goes on.
        prepare: Done before the first frame.
        steps: What is done to alpha (B, 1, H, W), given the frames (B, 3, H, W), batch by batch.
        preview: Collects pictures for the contact sheet, which goes to the folder.
        expected: Frames to expect, if known.
        progress: Called after every batch with the frames done and the frames expected.
        sinks: The open sinks, by kind.
        begun: Frames that each sink was given.
        network_seconds: Time spent in the network.
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
    network_seconds: float = 0.0

    def matte(self, opening: Iterable[tuple[Kind, FrameWriter]]) -> None:
        """Matte every frame, close everything, and report, however it ends."""
        started = time.perf_counter()
        try:
            with ExitStack() as stack:
                if self.prepare is not None:
                    self.prepare()
                for kind, writer in opening:
                    self.sinks[kind] = stack.enter_context(writer)
                stack.enter_context(self.loader)
                self._loop()
        except BaseException as error:
            status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
            with suppress(OSError):  # what ended the run matters more
                self._report(status, time.perf_counter() - started)
            if is_out_of_memory(error):  # the network has remedies of its own
                raise DeviceError(
                    f"out of memory on {self.matter.device}; try a smaller --batch-size or "
                    "--video-resize, --precision fp16, or another --device"
                ) from error
            raise
        self._report("done", time.perf_counter() - started)

    def _loop(self) -> None:
        feed = DeviceFeed(self.matter.device)
        for batch in self.loader:
            started = time.perf_counter()
            frames = feed(batch)
            matte = self.matter(frames.src, frames.bgr)
            for step in self.steps:
                matte = matte.with_pha(step(frames.src, matte.pha))
            self.network_seconds += time.perf_counter() - started
            done = self.result.frames + len(batch.src)
            if self.folder is not None:
                self.folder.claim(done)
            if self.preview is not None:
                self.preview.add(self.result.frames, frames.src, frames.bgr, matte)
            for kind, writer in self.sinks.items():
                self.begun[kind] = done
                writer.add_batch(self.composers[kind](matte, frames.target))
            self.result.frames = done
            self.result.repeated_frames += batch.repeated
            if self.progress is not None:
                self.progress(done, self.expected)

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
                "seconds": round(seconds, 3),
                "frames_per_second": round(result.frames / seconds, 3),
                "busy": result.busy,
                "preflight": result.preflight,
                "alignment": result.alignment,
                "matching": result.matching,
                "repeated_frames": result.repeated_frames,
                "warnings": result.warnings,
            }
            self.folder.finish(self.begun, facts)
            sheet = self.preview.sheet() if self.preview is not None else None
            if sheet is not None:
                save_png(self.folder.root / PREVIEW_NAME, sheet)
