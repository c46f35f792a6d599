"""The loader: pairs frames with their plates, and reads batches of them ahead of time."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

from dataset import (
    Frame,
    FrameSource,
    HeldFrames,
    LoopedFrames,
    Places,
    check_shape,
    cover,
    resize,
    resize_frame,
)
from media import Warn, prefetch
from plate import AlignMode, PlateFit, PlateFitter

from .frames import FramePlan, Role
from .mattes import Matte, Mattes

#: Frames whose times are kept.
MAX_TIMES = 100_000


@dataclass(frozen=True)
class FrameBatch:
    """Frames and what belongs to them; images are RGB, uint8 or uint16, channels last.

    Attributes:
        src: (B, 3, H, W), the frames.
        extended: (B, 3, H, W), float32, the frames where they hold more than ``src``; else None.
        bgr: (B, 3, H, W), their plates; for a still one (1, 3, H, W), the same tensor each time.
        times: Presentation time of each frame in seconds; None where the source has no clock.
        places: Those of the frames in the clip, counted from 0.
        role: What is done with the frames.
        repeated: Places of the frames that could not be decoded and repeat a neighbour.
        target: What to composite over, (B, 3, H, W) or (1, 3, H, W) as the plate; None without one.
        homography: (B, 3, 3), maps pixels of the plate to pixels of the frame; None unless aligned.
        colour: (B, 2, 3), gain and offset for each channel of the plate, for levels in [0, 1]; None
            unless matched.
        pha: (B, 1, H, W), the alpha that the clip holds; None without it.
        garbage, core: (B, 1, H, W), mattes; for a still one (1, 1, H, W), the same tensor each
            time; None without them.
    """

    src: Tensor
    bgr: Tensor
    times: tuple[Fraction | None, ...]
    places: tuple[int, ...] = ()
    role: Role = Role.WRITTEN
    repeated: tuple[int, ...] = ()
    extended: Tensor | None = None
    target: Tensor | None = None
    homography: Tensor | None = None
    colour: Tensor | None = None
    pha: Tensor | None = None
    garbage: Tensor | None = None
    core: Tensor | None = None


class PairLoader:
    """Reads batches of frames and plates on a thread of its own.

    The source alone decides the length: a plate that ends earlier holds its last frame, a target
    that ends earlier starts again.

    Args:
        src: The clip.
        bgr: Its plate.
        target: A new background, fitted by cover.
        mattes: What an artist drew for the frames.
        align: Align the plate with each frame, or once for the whole clip.
        match: Match the plate to the exposure and white balance of each frame.
        size: (height, width) to resize source and plate to, stretched if need be; without it, a
            plate of another size but the same shape is resized to the source's.
        plan: The frames to read.
        static: (3, 3), the alignment for the whole clip, if it was found before.
        batch_size: Frames in a batch; one may have fewer, at the end or where their role changes.
        pin: Keep batches in page-locked memory, for faster copies to a CUDA device.
        ahead: Batches to hold in readiness.
        waiting: Called now and then while a batch is waited for; what it raises ends the reading.
        warn: Called with one sentence for each thing repaired or assumed.

    Attributes:
        size: (height, width) of every batch.
        src: The clip.
        fitter: Aligns and matches, and counts what it did.
        busy_seconds: Time spent on reading, without waiting for the consumer.
        times: Of the frames to write that were handed out, in seconds, up to a limit.

    Raises:
        ShapeError: The plate has another shape than the source, and no ``size`` was given.
        MediaError: While reading: a frame of the source has another size than the first one.
    """

    def __init__(
        self,
        src: FrameSource,
        bgr: FrameSource,
        *,
        target: FrameSource | None = None,
        mattes: Mattes = Mattes(),  # noqa: B008
        align: AlignMode | None = None,
        match: bool = False,
        size: tuple[int, int] | None = None,
        plan: FramePlan | None = None,
        static: np.ndarray | None = None,
        batch_size: int = 1,
        pin: bool = False,
        ahead: int = 2,
        waiting: Callable[[], None] = lambda: None,
        warn: Warn,
    ):
        stretch = size is not None
        check_shape("the plate", bgr.name, bgr.size, src.size, stretch=stretch, warn=warn)
        self.size = size or src.size
        self._plan = plan = plan or FramePlan()
        self.fitter = PlateFitter(
            src, self.size, align=align, match=match, places=plan.read, static=static, warn=warn
        )
        self.busy_seconds = 0.0
        self.times: list[Fraction] = []
        self.src, self._bgr, self._target, self._mattes = src, bgr, target, mattes
        if not plan.read.are_all:
            self._bgr = HeldFrames(bgr, plan.read)
            self._target = target and LoopedFrames(target, plan.read)
        self._batch_size = batch_size
        self._pin = pin
        self._stills: dict[str, Tensor] = {}
        self._clocks: list[deque[Fraction | None]] = []
        self._waiting, self._is_closed = waiting, False
        self._batches = self._group()
        self._prefetched = prefetch(
            self._next_batch, repeat(None), 1, ahead=ahead, name="load", waiting=self._wait
        )

    def timestamps(self) -> Iterator[Fraction | None]:
        """The times of the frames to write that are handed out from now on.

        Ask for each only after its frame.
        """
        clock: deque[Fraction | None] = deque()
        self._clocks.append(clock)
        return iter(clock.popleft, object())

    def __iter__(self) -> Iterator[FrameBatch]:
        for batch in self._prefetched:
            if batch is None:
                return
            if batch.role is Role.WRITTEN:
                self.hand_out(batch.times)
            yield batch

    def hand_out(self, times: Sequence[Fraction | None]) -> None:
        """Note the times of frames to write that come next."""
        for clock in self._clocks:
            clock.extend(times)
        known = [time for time in times if time is not None]
        self.times += known[: MAX_TIMES - len(self.times)]

    def close(self) -> None:
        """Stop reading; a read that is stuck ends by itself. Harmless a second time."""
        self._is_closed = True
        self._prefetched.close()
        with suppress(ValueError):  # a read that is stuck still uses it
            self._batches.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _next_batch(self, _: None) -> FrameBatch | None:
        started = time.perf_counter()
        try:
            return next(self._batches, None)
        finally:
            self.busy_seconds += time.perf_counter() - started

    def _wait(self) -> None:
        try:
            self._waiting()
        except BaseException:
            self._is_closed = True  # so that the thread ends, which is waited for
            raise

    def _group(self) -> Generator[FrameBatch]:
        """Pairs as batches; an error is raised only after the frames before it."""
        group: list[_Pair] = []
        try:
            for pair in self._pairs():
                if group and pair.role != group[0].role:
                    yield self._collate(group)
                    group = []
                group.append(pair)
                if len(group) == self._batch_size:
                    yield self._collate(group)
                    group = []
        except Exception:
            if group:
                yield self._collate(group)
            raise
        if group:
            yield self._collate(group)

    def _pairs(self) -> Iterator["_Pair"]:
        bgrs = _held(self._bgr, lambda image: resize(image, self.size))
        targets = _looped(self._target, lambda image: cover(image, self.size))
        garbages, cores = (
            _levels(m, self._plan.read) for m in (self._mattes.garbage, self._mattes.core)
        )
        frames = self.src if self._plan.read.are_all else self.src.pick(self._plan.read)
        is_running_up = True
        for place, frame in zip(self._plan.read, frames, strict=False):
            if is_running_up and self._plan.role(place) is Role.WRITTEN:
                is_running_up = False
                self.fitter.count_anew()
            frame, bgr = resize_frame(frame, self.size), next(bgrs)
            fit = self.fitter.fit(frame.image, bgr, self._check_open)
            mattes = next(garbages), next(cores)
            yield _Pair(place, self._plan.role(place), frame, bgr, next(targets), fit, *mattes)

    def _check_open(self) -> None:
        if self._is_closed:
            raise InterruptedError("reading was stopped")

    def _collate(self, group: list["_Pair"]) -> FrameBatch:
        targets = [pair.target for pair in group if pair.target is not None]
        return FrameBatch(
            src=self._stack([pair.frame.image for pair in group]),
            bgr=self._stack_or_still("bgr", self._bgr, [pair.bgr for pair in group]),
            times=tuple(pair.frame.time for pair in group),
            extended=self._extended(group),
            pha=self._alpha(group),
            places=tuple(pair.place for pair in group),
            role=group[0].role,
            repeated=tuple(pair.place for pair in group if pair.frame.repeated),
            target=(
                self._stack_or_still("target", self._target, targets) if self._target else None
            ),
            garbage=self._stack_matte("garbage", self._mattes.garbage, [p.garbage for p in group]),
            core=self._stack_matte("core", self._mattes.core, [p.core for p in group]),
            homography=_stacked([pair.fit.homography for pair in group]),
            colour=_stacked([pair.fit.colour for pair in group]),
        )

    def _extended(self, group: list["_Pair"]) -> Tensor | None:
        images = [pair.frame.extended for pair in group]
        there = [image for image in images if image is not None]
        return self._stack(there) if there else None

    def _alpha(self, group: list["_Pair"]) -> Tensor | None:
        alphas = [pair.frame.pha for pair in group]
        if all(alpha is None for alpha in alphas):
            return None
        opaque = np.full((*self.size, 1), 255, np.uint8)
        return self._stack([opaque if alpha is None else alpha for alpha in alphas])

    def _stack_or_still(self, role: str, source: FrameSource, images: list[np.ndarray]) -> Tensor:
        if not source.still:
            return self._stack(images)
        if role not in self._stills:
            self._stills[role] = self._stack(images[:1])
        return self._stills[role]

    def _stack_matte(
        self, role: str, matte: Matte | None, levels: list[np.ndarray | None]
    ) -> Tensor | None:
        if matte is None:
            return None
        return self._stack_or_still(role, matte.source, [x for x in levels if x is not None])

    def _stack(self, images: list[np.ndarray]) -> Tensor:
        """(B, 3, H, W), channels last in memory, as the images come."""
        if len({image.dtype for image in images}) > 1:  # bring 8 bits to the range of 16
            images = [i.astype(np.uint16) * 257 if i.dtype == np.uint8 else i for i in images]
        # a single image needs no copy
        stacked = torch.from_numpy(images[0][None] if len(images) == 1 else np.stack(images))
        return (stacked.pin_memory() if self._pin else stacked).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Pair:
    place: int
    role: Role
    frame: Frame
    bgr: np.ndarray
    target: np.ndarray | None
    fit: PlateFit
    garbage: np.ndarray | None
    core: np.ndarray | None


def _levels(matte: Matte | None, places: Places) -> Iterator[np.ndarray | None]:
    """The matte of one frame after the other; None for ever without one."""
    return repeat(None) if matte is None else matte.levels(places)


def _stacked(matrices: list[np.ndarray | None]) -> Tensor | None:
    there = [matrix for matrix in matrices if matrix is not None]
    return torch.from_numpy(np.stack(there)) if there else None


def _held(source: FrameSource, fit: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    """Every image of ``source``, fitted, and then the last one for ever."""
    image: np.ndarray | None = None
    for frame in source:
        image = fit(frame.image)
        yield image
    while image is not None:
        yield image


def _looped(
    source: FrameSource | None, fit: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray | None]:
    """Every image of ``source``, fitted, again and again; None for ever without a source."""
    while source is None:
        yield None
    if source.still:
        yield from _held(source, fit)
    while True:
        for frame in source:
            yield fit(frame.image)
