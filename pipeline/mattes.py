"""Mattes that an artist drew: what is background for certain, and what is the subject."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dataset import (
    ColourSpace,
    FrameSource,
    HeldFrames,
    ImageFolder,
    Places,
    ShapeError,
    StillImage,
    VideoSource,
    check_shape,
    is_opaque,
    open_source,
    resize,
)
from media import Warn
from plate.marks import FREE, TAKEN, UNKNOWN

from .frames import Numbering, numbering_of
from .settings import Settings

#: Levels of the mattes, in [0, 1], below which the scene is free, and above which it is not.
_FREE_BELOW, _TAKEN_ABOVE = 0.05, 0.95
_SHORT = "ends before the clip; its last image holds"
_MEAN = np.full((1, 3), 1 / 3, np.float32)


@dataclass(frozen=True)
class Matte:
    """A matte: an image, or one for each frame of the clip.

    Attributes:
        source: Where it is read.
        size: (height, width) to resize it to.
        warn: Told that it ends before the clip.
        numbering: Of the frames of the clip, if the images of the matte have such numbers.
        shown: Places in the clip of the frames of a part of it.
    """

    source: FrameSource
    size: tuple[int, int]
    warn: Warn
    numbering: Numbering | None = None
    shown: Sequence[int] | None = None

    @property
    def still(self) -> bool:
        return self.source.still

    def levels(self, places: Places) -> Iterator[np.ndarray]:
        """The matte of one frame after the other: (H, W, 1), uint8 or uint16, without an end.

        Where there is none, the one before holds, or at the start the first one.

        Args:
            places: Those of the frames in the clip.
        """
        if self.shown is not None:
            places = Places(
                [self.shown[place] for place in places.some or range(len(self.shown))], None
            )
        image: np.ndarray | None = None
        if isinstance(self.source, ImageFolder):
            last = -1
            for place in places:
                number = self._number(self.source, place)
                if image is None or number != last:
                    image, last = self._grey(self.source.read(number)), number
                yield image
        else:
            for frame in HeldFrames(self.source, places):
                image = self._grey(frame.image)
                yield image
        if not self.still and places.are_all:
            self.warn(f"{self.source.name}: {_SHORT}")
        while image is not None:
            yield image

    def _number(self, folder: ImageFolder, place: int) -> int:
        """Which image of a folder belongs to a frame of the clip."""
        if self.numbering is not None:
            return max(0, bisect_right(folder.numbers, self.numbering[place]) - 1)
        if place >= len(folder.paths):
            self.warn(f"{folder.name}: {_SHORT}")
        return min(place, len(folder.paths) - 1)

    def _grey(self, image: np.ndarray) -> np.ndarray:
        return cv2.transform(resize(image, self.size), _MEAN)[..., None]


@dataclass(frozen=True)
class Mattes:
    """The mattes of a run.

    Attributes:
        garbage: Black is background for certain.
        core: White is the subject for certain.
    """

    garbage: Matte | None = None
    core: Matte | None = None

    def __bool__(self) -> bool:
        return self.garbage is not None or self.core is not None

    def at(self, shown: Sequence[int]) -> "Mattes":
        """The mattes of a part of the clip, whose places are given."""
        garbage, core = (m and replace(m, shown=shown) for m in (self.garbage, self.core))
        return Mattes(garbage, core)

    def marks(self, places: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Where the empty scene shows; see :data:`plate.Marks`."""
        found = np.full((len(places), *size), UNKNOWN, np.uint8)
        for matte, mark in ((self.garbage, FREE), (self.core, TAKEN)):
            if matte is None:
                continue
            levels = matte.levels(Places(places, None))
            for marks, image in zip(found, levels, strict=False):
                small = resize(image, size)[..., 0] / np.iinfo(image.dtype).max
                marks[small > _TAKEN_ABOVE if mark == TAKEN else small < _FREE_BELOW] = mark
        return found


def open_mattes(settings: Settings, src: FrameSource, size: tuple[int, int], warn: Warn) -> Mattes:
    """Open the mattes that the settings name.

    Args:
        settings: Name them.
        src: The clip.
        size: (height, width) of the frames.
        warn: Told of what is resized, or missing.

    Raises:
        MediaError: A matte cannot be read.
        ShapeError: It has another shape than the frames, or transparent parts.
    """
    numbering = numbering_of(settings, src)
    found = []
    for what, path in (
        ("the garbage matte", settings.garbage_matte),
        ("the core matte", settings.core_matte),
    ):
        matte = None
        if path is not None:
            source = open_source(path, warn, space=ColourSpace("srgb"))  # floats are levels: data
            _check(what, source, size, settings, warn)
            _tell_if_short(source, src, warn)
            has_numbers = bool(numbering.own) or settings.start_number is not None
            by_number = _by_number(what, source, src, numbering if has_numbers else None, warn)
            matte = Matte(source, size, warn, numbering if by_number else None)
        found.append(matte)
    return Mattes(*found)


def _check(
    what: str, source: FrameSource, size: tuple[int, int], settings: Settings, warn: Warn
) -> None:
    """Refuse a matte that cannot be used.

    Raises:
        ShapeError: It has another shape than the frames, or transparent parts.
    """
    image = None
    if isinstance(source, StillImage):
        image = source.path
        if what == "the garbage matte" and not next(iter(source)).image.any():
            warn(f"{image}: {what} is black everywhere, so that nothing is left of any frame")
    elif isinstance(source, ImageFolder):
        image = source.paths[0]
    if image is not None and not is_opaque(image):
        raise ShapeError(
            f"{image}: {what} has transparent parts, which are neither black nor white; save it "
            "without alpha"
        )
    stretch = settings.video_resize is not None
    check_shape(what, source.name, source.size, size, stretch=stretch, warn=warn)


def _tell_if_short(source: FrameSource, src: FrameSource, warn: Warn) -> None:
    """Warn if a video ends before the clip; where that is not known yet, reading it does so."""
    is_video = isinstance(source, VideoSource) and source.index is not None
    if is_video and _is_counted(src) and source.length() < src.length():
        warn(f"{source.name}: {_SHORT}")


def _is_counted(src: FrameSource) -> bool:
    """Whether the number of frames is known without reading them."""
    return isinstance(src, ImageFolder) or (isinstance(src, VideoSource) and src.index is not None)


def _by_number(
    what: str, source: FrameSource, src: FrameSource, numbering: Numbering | None, warn: Warn
) -> bool:
    """Whether the images of a matte belong to frames by their numbers, rather than in order."""
    if not isinstance(source, ImageFolder) or not source.numbers or numbering is None:
        return False
    known = _is_counted(src)
    count = src.length() if known else src.length_hint or 1
    frames = [numbering[place] for place in range(count)]
    missing = sorted(set(frames) - set(source.numbers))
    if len(missing) == len(frames):
        warn(
            f"{source.name}: {what} has numbers from {source.numbers[0]} on, the clip from "
            f"{frames[0]} on; they are paired in order, the first with the first"
        )
        return False
    if missing and known:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        warn(f"{source.name}: {what} lacks frame {missing[0]}{more}; the one before holds there")
    return True
