"""The frame source: the base class of every reader."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from media import MattingError, os_errors_as

if TYPE_CHECKING:
    from .places import Places


class MediaError(MattingError, OSError):
    """Media that cannot be read; the message names the path and what was expected."""


def refuse_pipe(path: Path) -> None:
    """Refuse a path that can be read only once; files are opened several times.

    Raises:
        MediaError: The path is a pipe or a device, or cannot be accessed.
    """
    with os_errors_as(MediaError, path):
        is_pipe = path.exists() and not (path.is_file() or path.is_dir())
    if is_pipe:
        raise MediaError(f"{path}: a pipe or a device, which can be read only once; give a file")


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        image: (H, W, 3), RGB, uint8 or uint16 over the full range of the type: levels of sRGB.
        time: Presentation time in seconds; None where the source has no clock.
        repeated: The frame could not be decoded; ``image`` is that of a neighbour.
        extended: ``image`` as float32, where the source holds more than levels do: below 0 and
            above 1, the curve of sRGB goes on. None elsewhere.
        pha: The alpha that the source holds: (H, W, 1), uint8 or uint16 over the full range of the
            type. None without one, and where nobody asked for it.
    """

    image: np.ndarray
    time: Fraction | None = None
    repeated: bool = False
    extended: np.ndarray | None = None
    pha: np.ndarray | None = None

    @classmethod
    def of(cls, pixels: np.ndarray, pha: np.ndarray | None = None) -> "Frame":
        """A frame of the pixels that a :class:`ColourSpace` returns, and of alpha."""
        if pixels.dtype != np.float32:
            return cls(pixels, pha=pha)
        return cls(to_levels(pixels), extended=pixels, pha=pha)


def to_levels(pixels: np.ndarray) -> np.ndarray:
    """Pixels as uint8 or uint16: floats are clamped to [0, 1] and rounded to 16 bits."""
    if pixels.dtype != np.float32:
        return pixels
    levels: np.ndarray = np.clip(pixels, 0, 1)
    levels *= 65535
    return np.rint(levels, out=levels).astype(np.uint16)


class FrameSource(ABC):
    """Frames in presentation order; every iteration starts at the first.

    Attributes:
        name: Name of the source in messages.
        size: (height, width) of the first frame, after rotation.
        frame_rate: Frames per second; None without a clock.
        time_base: Tick in seconds; every ``Frame.time`` is a multiple of it. None without a clock.
        origin: Start of the source on its own clock, in seconds. It is 0 unless the clock runs
            independently of the file, as in a broadcast, or starts below 0.
        length_hint: Expected number of frames, which may be wrong; None if unknown or endless.
        consecutive: Each frame follows the one before without a gap.
        still: There is one frame, which stands for every frame of a clip.
        deep: Frames have more than 8 bits a level.
        has_alpha: Frames come with alpha.
        once: It can be read only once.
    """

    name: str
    size: tuple[int, int]
    frame_rate: Fraction | None = None
    time_base: Fraction | None = None
    origin: Fraction = Fraction(0)
    length_hint: int | None = None
    consecutive: bool = True
    still: bool = False
    deep: bool = False
    has_alpha: bool = False
    once: bool = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Read from the first frame to the last; closing the iterator closes the files."""

    def pick(self, places: "Places") -> Iterator[Frame]:
        """Read the frames at some places, each as a reading of all frames gives it.

        Places behind the last frame are left out.
        """
        if places.are_all:
            yield from self
            return
        wanted = iter(places)
        place = next(wanted, None)
        for number, frame in enumerate(self):
            if number == place:
                yield frame
                place = next(wanted, None)
            if place is None:
                return

    def length(self) -> int:
        """The number of frames, which may take as long as reading them."""
        return sum(1 for _ in self)


class MemorySource(FrameSource):
    """Frames in memory.

    Args:
        frames: (N, H, W, 3), RGB, uint8 or uint16.
        name: Name in messages.
        consecutive, still: As in :class:`FrameSource`.
    """

    def __init__(
        self, frames: np.ndarray, name: str, *, consecutive: bool = True, still: bool = False
    ):
        self.name, self.consecutive, self.still = name, consecutive, still
        self.size = frames.shape[1], frames.shape[2]
        self.length_hint = len(frames)
        self.deep = frames.dtype != np.uint8
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        return (Frame(image) for image in self._frames)
