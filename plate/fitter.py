"""Fitting the plate to each frame: where it lies, and in which light."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from dataset import FrameSource, resize, sample_evenly
from media import Warn

from .align import PlateAligner
from .carry import alignment_begins
from .colour_match import PlateMatcher
from .names import AlignMode

#: Frames from the whole clip whose median stands for all of them where the camera stands still.
_STATIC_FRAMES = 9
_IDENTITY = np.eye(3)
_SAME_LIGHT = np.array([[1.0] * 3, [0.0] * 3])


class PlateFit(NamedTuple):
    """What makes a plate fit a frame.

    Attributes:
        homography: (3, 3), maps pixels of the plate to pixels of the frame; None unless aligned.
        colour: (2, 3), gain and offset of each channel for levels in [0, 1]; None unless matched.
    """

    homography: np.ndarray | None
    colour: np.ndarray | None


@dataclass
class FitCounts:
    """What was aligned and matched.

    Attributes:
        aligned, unaligned: Frames whose plate was aligned, and those where that failed.
        uncovered: Largest share of a frame, in [0, 1], that an aligned plate left uncovered.
        matched, unmatched: Frames whose colours were matched, and those where that failed.
        change: Largest change of a level of one half, in [0, 1].
    """

    aligned: int = 0
    unaligned: int = 0
    uncovered: float = 0.0
    matched: int = 0
    unmatched: int = 0
    change: float = 0.0

    def __add__(self, other: "FitCounts") -> "FitCounts":
        return FitCounts(
            self.aligned + other.aligned,
            self.unaligned + other.unaligned,
            max(self.uncovered, other.uncovered),
            self.matched + other.matched,
            self.unmatched + other.unmatched,
            max(self.change, other.change),
        )


class PlateFitter:
    """Aligns the plate with the frames of a clip and matches its colours, if asked to.

    Args:
        src: The clip.
        size: (height, width) of frames and plates.
        align: Align the plate with each frame, or once for the whole clip.
        match: Match the plate to the exposure and white balance of each frame.
        places: Those of the frames in the clip, in order; by default they count up from 0.
        static: (3, 3), the alignment for the whole clip, if it was found before.
        warn: Told of frames that could not be fitted.

    Attributes:
        aligner: Counts the frames aligned; None unless ``align``.
        matcher: Counts the frames matched; None unless ``match``.
        elsewhere: What others have fitted for the same run.
    """

    def __init__(
        self,
        src: FrameSource,
        size: tuple[int, int],
        *,
        align: AlignMode | None = None,
        match: bool = False,
        places: Iterable[int] | None = None,
        static: np.ndarray | None = None,
        warn: Warn,
    ):
        self._places = count() if places is None else iter(places)
        self._last_place: int | None = None
        self.aligner = PlateAligner() if align else None
        self.matcher = PlateMatcher(smooth=src.consecutive, places=places) if match else None
        self._src, self._size, self._warn = src, size, warn
        self._is_static = align == "static"
        self._static = static
        self.elsewhere = FitCounts()

    def fit(self, src: np.ndarray, bgr: np.ndarray, between: Callable[[], None]) -> PlateFit:
        """Fit a plate to the next frame.

        Args:
            src: (H, W, 3), RGB, uint8 or uint16: the frame.
            bgr: (H, W, 3), likewise: its plate.
            between: Called now and then during long work; what it raises ends the work.
        """
        place = next(self._places)
        follows = self._last_place is not None and place == self._last_place + 1
        if self.aligner is not None and (not follows or alignment_begins(place) == place):
            self.aligner.start_anew()
        self._last_place = place
        homography = self._align(src, bgr, between)
        return PlateFit(homography, self._match(src, bgr, homography))

    def _align(
        self, src: np.ndarray, bgr: np.ndarray, between: Callable[[], None]
    ) -> np.ndarray | None:
        if self.aligner is None or self._static is not None:
            return self._static
        if self._is_static:
            return self.align_once(bgr, between)
        return self._solved(src, bgr, "some frames")

    def align_once(self, bgr: np.ndarray, between: Callable[[], None]) -> np.ndarray:
        """Align a plate (H, W, 3) with the whole clip; returns the homography (3, 3)."""
        assert self.aligner is not None
        if self._static is None:
            frames = sample_evenly(self._src, between, most=_STATIC_FRAMES)
            frames.sort(axis=0)  # a subject that moves hardly shows in the median
            src = resize(frames[len(frames) // 2], self._size)
            self._static = self._solved(src, bgr, "the clip")
        return self._static

    def _solved(self, src: np.ndarray, bgr: np.ndarray, which: str) -> np.ndarray:
        assert self.aligner is not None
        homography = self.aligner.solve(src, bgr)
        if homography is None:
            self._warn(f"{which} could not be aligned; there the plate is used as it is")
            return _IDENTITY
        return homography

    def _match(
        self, src: np.ndarray, bgr: np.ndarray, homography: np.ndarray | None
    ) -> np.ndarray | None:
        if self.matcher is None:
            return None
        colour = self.matcher.solve(src, bgr, homography)
        if colour is None:
            self._warn("some frames share no colours with their plate, which is used as it is")
            return _SAME_LIGHT
        return colour

    def count_anew(self) -> None:
        """Forget the frames so far, which are only there for those after them."""
        if self.aligner is not None and not self._is_static:
            self.aligner.solved, self.aligner.failed, self.aligner.uncovered = 0, 0, 0.0
        if self.matcher is not None:
            self.matcher.matched, self.matcher.failed, self.matcher.widest = 0, 0, 0.0

    @property
    def counts(self) -> FitCounts:
        """What was aligned and matched."""
        found = FitCounts()
        if (aligner := self.aligner) is not None:
            found += FitCounts(aligner.solved, aligner.failed, aligner.uncovered)
        if (matcher := self.matcher) is not None:
            found += FitCounts(0, 0, 0.0, matcher.matched, matcher.failed, matcher.widest)
        return found + self.elsewhere

    def report(self) -> dict[str, dict[str, float] | None]:
        """What was aligned and matched, as ``run.json`` has it."""
        found: dict[str, dict[str, float] | None] = {"alignment": None, "matching": None}
        counts = self.counts
        if self.aligner is not None:
            found["alignment"] = {
                "aligned": counts.aligned,
                "unaligned": counts.unaligned,
                "largest_uncovered_share": round(counts.uncovered, 4),
            }
        if self.matcher is not None:
            found["matching"] = {
                "matched": counts.matched,
                "unmatched": counts.unmatched,
                "largest_change": round(255 * counts.change, 1),
            }
        return found
