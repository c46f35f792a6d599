"""Pairing frames with their plates, and reading batches of them ahead of time."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor

from .align import PlateAligner
from .autoplate import sample_evenly
from .fit import check_plate, cover, resize
from .match import PlateMatcher
from .sources import Frame, FrameSource, Warn

#: Seconds to wait at the end for a read in progress, as from a network disk.
_PATIENCE = 5.0
#: Seconds that a batch is waited for before somebody is told.
_IMPATIENCE = 0.5
#: Frames from the whole clip that speak for all of them where the camera stands still.
_STATIC_FRAMES = 9

#: Whether to find the plate's place in each frame, or once for the whole clip.
AlignMode = Literal["frame", "static"]
ALIGN_MODES: tuple[AlignMode, ...] = get_args(AlignMode)


@dataclass(frozen=True)
class FrameBatch:
    """Frames and what belongs to them; all pictures are RGB, uint8 or uint16, channels last.

    Attributes:
        src: (B, 3, H, W), the frames.
        bgr: (B, 3, H, W), their plates; for a still one (1, 3, H, W), the same tensor each time.
        times: Presentation time of each frame in seconds; None where the source has no clock.
        repeated: Numbers of the frames that could not be decoded and repeat a neighbour.
        target: What to composite over, (B, 3, H, W) or (1, 3, H, W) as the plate; None without one.
        homography: (B, 3, 3), maps pixels of the plate to pixels of the frame; None unless aligned.
        colour: (B, 2, 3), gain and offset for each channel of the plate, for levels in [0, 1]; None
            unless matched.
    """

    src: Tensor
    bgr: Tensor
    times: tuple[Fraction | None, ...]
    repeated: tuple[int, ...] = ()
    target: Tensor | None = None
    homography: Tensor | None = None
    colour: Tensor | None = None


class PairLoader:
    """Reads batches of paired frames in the background, at most ``ahead`` of them.

    The source alone decides the length: a plate that ends earlier holds its last frame, a target
    that ends earlier starts again.

    Args:
        src: The clip.
        bgr: Its plate.
        target: A new background, fitted by cover.
        size: (height, width) to resize source and plate to, stretched if need be; without it, a
            plate of another size but the same shape is resized to the source's.
        batch_size: Frames in a batch; the last one may have fewer.
        align: Find where the plate lies in each frame, or once where the camera stands still.
        match: Find the exposure and white balance of each frame, for its plate.
        pin: Keep batches in page-locked memory, for faster copies to a CUDA device.
        ahead: Batches to hold in readiness.
        warn: Called with one sentence for each thing mended.

    Attributes:
        size: (height, width) of every batch.
        aligner: Counts what was aligned; None unless ``align``.
        reads_images: The clip is no video.
        matcher: Counts what was matched; None unless ``match``.
        busy_seconds: Time spent on reading, without waiting for the consumer.
        waiting: Called now and then while a batch is waited for; what it raises comes instead.

    Raises:
        ValueError: The plate has another shape than the source, and no ``size`` was given.
        MediaError: While reading: a frame of the source has another size than the first one.
    """

    def __init__(
        self,
        src: FrameSource,
        bgr: FrameSource,
        *,
        target: FrameSource | None = None,
        size: tuple[int, int] | None = None,
        batch_size: int = 1,
        align: AlignMode | None = None,
        match: bool = False,
        pin: bool = False,
        ahead: int = 2,
        warn: Warn,
    ):
        self.size = size or src.size
        self.aligner = PlateAligner() if align else None
        self.reads_images = src.time_base is None
        self.matcher = PlateMatcher(smooth=src.consecutive) if match else None
        self.busy_seconds = 0.0
        self.waiting: Callable[[], None] = lambda: None
        self._src, self._bgr, self._target = src, bgr, target
        self._batch_size = batch_size
        self._static = align == "static"
        self._fixed: np.ndarray | None = None
        self._pin = pin
        self._warn = warn
        self._stills: dict[str, Tensor] = {}
        self._clocks: list[deque[Fraction | None]] = []
        self._queue: Queue[FrameBatch | BaseException | None] = Queue(ahead)
        self._stop = Event()
        self._thread = Thread(target=self._read, name="read ahead", daemon=True)
        check_plate(bgr.name, bgr.size, src.size, stretch=size is not None, warn=warn)

    def timestamps(self) -> Iterator[Fraction | None]:
        """The times of the frames handed out from now on; ask for each only after its frame."""
        clock: deque[Fraction | None] = deque()
        self._clocks.append(clock)
        return iter(clock.popleft, object())

    def __iter__(self) -> Iterator[FrameBatch]:
        self._thread.start()
        while True:
            item = self._get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            for clock in self._clocks:
                clock.extend(item.times)
            yield item

    def _get(self) -> "FrameBatch | BaseException | None":
        while True:
            try:
                return self._queue.get(timeout=_IMPATIENCE)
            except Empty:
                self.waiting()

    def close(self) -> None:
        """Stop reading; a read that is stuck is left to end by itself. Harmless a second time."""
        self._stop.set()
        give_up = time.monotonic() + _PATIENCE
        while self._thread.is_alive() and time.monotonic() < give_up:
            try:
                self._queue.get_nowait()
            except Empty:
                self._thread.join(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> None:
        """The background thread: batches, then None or the error that ended them."""
        try:
            batches = self._batches()
            while True:
                started = time.perf_counter()
                batch = next(batches, None)
                self.busy_seconds += time.perf_counter() - started
                if not self._put(batch) or batch is None:
                    return
        except BaseException as error:
            self._put(error)

    def _put(self, item: FrameBatch | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def _batches(self) -> Iterator[FrameBatch]:
        """Group pairs; an error is raised only after the frames before it were handed over."""
        pairs = self._pairs()
        group: list[_Pair] = []
        try:
            for pair in pairs:
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
        for number, frame in enumerate(self._src):
            src, bgr = resize(frame.image, self.size), next(bgrs)
            homography = self._align(src, bgr)
            colour = self._match(src, bgr, homography)
            yield _Pair(number, frame, src, bgr, next(targets), homography, colour)

    def _align(self, src: np.ndarray, bgr: np.ndarray) -> np.ndarray | None:
        if self.aligner is None or self._fixed is not None:
            return self._fixed
        if self._static:
            frames = sample_evenly(self._src, self._go_on, most=_STATIC_FRAMES)
            frames.sort(axis=0)  # a subject that moves is hardly in the median
            src = resize(frames[len(frames) // 2], self.size)
        homography = self.aligner.solve(src, bgr)
        if homography is None:
            which = "the clip" if self._static else "some frames"
            self._warn(f"{which} could not be aligned; there the plate is used as it is")
            homography = np.eye(3)
        if self._static:
            self._fixed = homography
        return homography

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise InterruptedError("reading was stopped")

    def _match(
        self, src: np.ndarray, bgr: np.ndarray, homography: np.ndarray | None
    ) -> np.ndarray | None:
        if self.matcher is None:
            return None
        colour = self.matcher.solve(src, bgr, homography)
        if colour is None:
            self._warn("some frames share no colours with their plate, which is used as it is")
            return np.array([[1.0] * 3, [0.0] * 3])
        return colour

    def _collate(self, group: list["_Pair"]) -> FrameBatch:
        targets = [pair.target for pair in group if pair.target is not None]
        return FrameBatch(
            src=self._stack([pair.src for pair in group]),
            bgr=self._stack_or_still("bgr", self._bgr, [pair.bgr for pair in group]),
            times=tuple(pair.frame.time for pair in group),
            repeated=tuple(pair.number for pair in group if pair.frame.repeated),
            target=(
                self._stack_or_still("target", self._target, targets) if self._target else None
            ),
            homography=_stacked([pair.homography for pair in group]),
            colour=_stacked([pair.colour for pair in group]),
        )

    def _stack_or_still(self, role: str, source: FrameSource, images: list[np.ndarray]) -> Tensor:
        if not source.still:
            return self._stack(images)
        if role not in self._stills:
            self._stills[role] = self._stack(images[:1])
        return self._stills[role]

    def _stack(self, images: list[np.ndarray]) -> Tensor:
        """(B, 3, H, W) over memory in the order (B, H, W, 3), as the pictures come."""
        if len({image.dtype for image in images}) > 1:  # bring bytes to the range of the others
            images = [i.astype(np.uint16) * 257 if i.dtype == np.uint8 else i for i in images]
        # one alone needs no copy
        stacked = torch.from_numpy(images[0][None] if len(images) == 1 else np.stack(images))
        return (stacked.pin_memory() if self._pin else stacked).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Pair:
    number: int
    frame: Frame
    src: np.ndarray
    bgr: np.ndarray
    target: np.ndarray | None
    homography: np.ndarray | None
    colour: np.ndarray | None


def _stacked(matrices: list[np.ndarray | None]) -> Tensor | None:
    there = [matrix for matrix in matrices if matrix is not None]
    return torch.from_numpy(np.stack(there)) if there else None


def _held(source: FrameSource, fit: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    """Every picture of ``source``, fitted, and then the last one for ever."""
    image: np.ndarray | None = None
    for frame in source:
        image = fit(frame.image)
        yield image
    while image is not None:
        yield image


def _looped(
    source: FrameSource | None, fit: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray | None]:
    """Every picture of ``source``, fitted, again and again; None for ever without a source."""
    while source is None:
        yield None
    if source.still:
        yield from _held(source, fit)
    while True:
        for frame in source:
            yield fit(frame.image)
