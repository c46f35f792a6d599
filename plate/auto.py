"""A plate made from the clip itself, for a camera that stands still and a subject that moves."""

from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np

from dataset import Frame, FrameSource, MediaError, sample_with_places
from media import Warn

from .marks import MarkedFrames, Marks
from .stages import Watch, counted, watch_nothing
from .temporal_mode import by_rows, temporal_mode, temporal_mode_of_frames

#: Frames to look at.
_MAX_FRAMES = 96
#: Share of the frames that have to agree on a pixel; others get a second pass.
_MIN_AGREEMENT = 0.7
#: Nothing moves in a clip if less than this share of its pixels changes in more than a twentieth of
#: the frames.
_MIN_MOVING_SHARE, _UNCHANGED_SHARE = 0.001, 0.95
#: A pixel was free if it showed the plate in this share of the frames, and in this many.
_MIN_FREE_SHARE, _MIN_FREE_FRAMES = 0.03, 3
#: A pixel is doubtful if fewer than this share of the frames agree on it. A warning says so if
#: things with doubtful pixels take this share of the plate.
_MIN_CERTAIN_SHARE, _MIN_DOUBTFUL = 0.5, 0.01
#: Cells along the longer side in which these things are outlined, the share of doubtful pixels that
#: makes a cell one of them, and the width, in cells, of gaps that are closed.
_OUTLINE_CELLS, _MIN_DOUBTFUL_CELL, _GAP = 160, 0.3, 7
#: Cells along the longer side in which something before the plate is looked for, and the
#: difference in levels of 255 that shows it.
_CELLS, _MIN_DIFFERENCE = 160, 10
#: Longer side, in pixels, at which spots are filled.
_FILLING_SIZE = 1280


class AutoPlate(FrameSource):
    """The empty scene, made from a clip: the mode of each pixel over time.

    The mode is ambiguous where a subject stays for long. There, a second pass leaves out the frames
    in which the pixel's neighbourhood differs from the plate, since a subject covers neighbours,
    too. Pixels that were never free are filled from their surroundings.

    Args:
        src: The clip.
        warn: Told of what was filled, and of clips in which nothing moves.
        marks: What an artist knows of the frames.

    Attributes:
        spots: (H, W), bool: what was filled; None before :meth:`find`.
        doubtful: (H, W), bool: where fewer than half of the frames agree; likewise.

    Raises:
        MediaError: The clip is a single frame.
    """

    still = True

    def __init__(self, src: FrameSource, warn: Warn, marks: Marks | None = None):
        if src.length_hint == 1:
            raise _too_short(src)
        self.name = f"the plate made from {src.name}"
        self.size = src.size
        self.spots: np.ndarray | None = None
        self.doubtful: np.ndarray | None = None
        self._src = src
        self._warn, self._marks = warn, marks
        self._plate: np.ndarray | None = None

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(self.find())

    def find(self, watch: Watch = watch_nothing, *, tell: bool = True) -> np.ndarray:
        """Make the plate; a second call returns the same.

        Args:
            watch: Told of the stages of the work.
            tell: Warn of what was filled; otherwise :meth:`tell` does so later.

        Returns:
            (H, W, 3), RGB, uint8.

        Raises:
            MediaError: The clip is a single frame, or cannot be read.
        """
        if self._plate is None:
            read = counted(partial(watch, "frames read for the plate"), self._src.length_hint)
            frames, places = sample_with_places(self._src, read, most=_MAX_FRAMES)
            if len(frames) < 2:
                raise _too_short(self._src)
            marked = MarkedFrames(self._marks, places, frames.shape[1:3])
            self._plate = self._make(frames, marked, watch)
            if tell:
                self.tell()
        return self._plate

    def _make(self, frames: np.ndarray, marked: MarkedFrames, watch: Watch) -> np.ndarray:
        first, second = (partial(watch, f"rows of the plate, pass {n} of 2") for n in (1, 2))
        plate, agreement = temporal_mode_of_frames(frames, first, marked.rows if marked else None)
        known = cv2.resize(marked.known.astype(np.uint8), plate.shape[1::-1]) > 0
        disputed = (agreement < _MIN_AGREEMENT) & ~known
        self.doubtful = (agreement < _MIN_CERTAIN_SHARE) & ~known
        if (agreement < _UNCHANGED_SHARE).mean() < _MIN_MOVING_SHARE:
            self._warn(
                f"{self.name}: nothing moves in the clip, so that a subject is part of the plate"
            )
        taken = occupied(frames, plate)

        def second_pass(rows: slice) -> None:
            y, x = np.nonzero(disputed[rows])
            y += rows.start
            if len(y):
                cells = y * taken.shape[1] // plate.shape[0], x * taken.shape[2] // plate.shape[1]
                chosen = ~taken[:, cells[0], cells[1]]
                if marked:
                    chosen &= marked.at(y, x)[0]
                plate[y, x], agreement[y, x] = temporal_mode(frames[:, y, x], chosen)

        by_rows(frames, second_pass, second)
        enough = max(_MIN_FREE_SHARE, min(_MIN_FREE_FRAMES, len(frames) / 2) / len(frames))
        never_free = ((agreement < enough) & ~known).astype(np.uint8)
        self.spots = cv2.dilate(never_free, np.ones((3, 3), np.uint8)) > 0
        return filled(plate, self.spots) if self.spots.any() else plate

    def tell(self, settled: np.ndarray | None = None) -> None:
        """Warn of what was filled and of what is doubtful.

        Args:
            settled: (H, W), bool: where a repair has found out since that the plate is right, or
                made it so.
        """
        assert self.spots is not None and self.doubtful is not None
        left = np.ones_like(self.spots) if settled is None else ~settled
        spots = self.spots & left
        share = float(spots.mean())
        things = _outlined(self.doubtful & left | spots)
        doubtful = float(things.mean())
        if share > 0.2:
            self._warn(
                f"{self.name}: {share:.0%} of it was never seen free; --video-bgr auto needs a "
                "camera that stands still and a subject that moves about"
            )
            return
        found = []
        if share:
            found.append(f"{share:.2%} of it was never free and is filled from around")
        if doubtful >= _MIN_DOUBTFUL:
            found.append(
                f"in {doubtful:.0%} of it something stayed or moved on the spot, so that fewer "
                "than half of the frames agree: a subject that stays in one place becomes part of "
                "the plate"
            )
        if not found:
            return
        y, x = _largest(things if doubtful >= _MIN_DOUBTFUL else spots)
        where = f"around x {x * self.size[1]:.0f}, y {y * self.size[0]:.0f}"
        remedy = "try --mend-plate, or retouch" if settled is None else "retouch"
        self._warn(
            f"{self.name}: {', and '.join(found)}; look at plate.png, mainly {where}, and "
            f"{remedy} it and give it as --video-bgr"
        )


def _outlined(doubtful: np.ndarray) -> np.ndarray:
    """The things (h, w), bool, in cells, that doubtful pixels (H, W) belong to.

    What stands on the spot is doubtful where it moves, and encloses what hardly does.
    """
    height, width = doubtful.shape
    scale = min(1.0, _OUTLINE_CELLS / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shares = cv2.resize(doubtful.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    cells = (shares >= _MIN_DOUBTFUL_CELL).astype(np.uint8)
    closed = cv2.morphologyEx(cells, cv2.MORPH_CLOSE, np.ones((_GAP, _GAP), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(closed, outlines, -1, 1, cv2.FILLED) > 0)


def _largest(mask: np.ndarray) -> tuple[float, float]:
    """Centre (y, x) of the largest connected part of a mask, as shares of height and width."""
    _, _, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    x, y = centres[1 + stats[1:, cv2.CC_STAT_AREA].argmax()]
    return (y + 0.5) / mask.shape[0], (x + 0.5) / mask.shape[1]


def _too_short(src: FrameSource) -> MediaError:
    return MediaError(
        f"{src.name}: --video-bgr auto needs a clip in which the subject moves, and this is one "
        "frame; give the path of a plate"
    )


def occupied(frames: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """Where something stands before the plate, in cells so coarse that moving leaves do not count.

    Args:
        frames: (N, H, W, 3), uint8.
        plate: (H, W, 3), uint8.

    Returns:
        (N, h, w), bool: a cell, or one next to it, differs.
    """
    height, width = plate.shape[:2]
    scale = min(1.0, _CELLS / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))

    def coarse(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small, (3, 3), 0)

    empty, around = coarse(plate), np.ones((3, 3), np.uint8)
    apart = (cv2.absdiff(coarse(frame), empty).max(axis=2) > _MIN_DIFFERENCE for frame in frames)
    return np.stack([cv2.dilate(cells.astype(np.uint8), around) > 0 for cells in apart])


def filled(image: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """The image (H, W, 3), uint8, with its spots (H, W) filled from their surroundings."""
    height, width = spots.shape
    scale = min(1.0, _FILLING_SIZE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    holes = cv2.resize(spots.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.inpaint(small, (holes > 0).astype(np.uint8), 5, cv2.INPAINT_TELEA)
    patch = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(spots[..., None], patch, image)
