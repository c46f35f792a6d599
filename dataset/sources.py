"""What a frame source is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

#: Takes one sentence for the user about something that was mended or assumed.
Warn = Callable[[str], None]


class MediaError(OSError):
    """Media that cannot be read; the message names the path and what was expected."""


def refuse_pipe(path: Path) -> None:
    """Refuse what can be read only once: files are opened more often.

    Raises:
        MediaError: The path is neither a file nor a folder, and there is something.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise MediaError(f"{path}: a pipe or a device, which can be read only once; give a file")


def exact_rate(rate: Fraction | float) -> Fraction:
    """The rate that is meant: 29.97 stands for 30000/1001, and so do its kin."""
    for nominal in (24, 30, 48, 60, 120, 240):
        broadcast = Fraction(nominal * 1000, 1001)
        if abs(float(rate) - float(broadcast)) < 0.005:
            return broadcast
    return Fraction(rate).limit_denominator(1_000_000)


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3), RGB, uint8 or uint16 over the whole range of the type.
        time: Presentation time in seconds; None where the source has no clock.
        repeated: This is a neighbour's picture, standing in for one that could not be decoded.
    """

    image: np.ndarray
    time: Fraction | None = None
    repeated: bool = False


class FrameSource(ABC):
    """Pictures in presentation order; every iteration starts again at the first.

    Attributes:
        name: What to call the source in messages.
        size: (height, width) of the first frame, after rotation.
        frame_rate: Frames per second; None where there is no clock.
        time_base: Tick in seconds, of which every ``Frame.time`` is a multiple; None likewise.
        origin: Time in seconds at which the clock says that the source begins: other than 0 only
            where such a clock runs on by itself, as that of a broadcast does, or begins before 0.
        length_hint: Frames to expect, and not to be trusted; None if unknown or endless.
        consecutive: Each picture follows the one before without a gap.
        still: There is one picture, and it holds for as long as it is needed.
    """

    name: str
    size: tuple[int, int]
    frame_rate: Fraction | None = None
    time_base: Fraction | None = None
    origin: Fraction = Fraction(0)
    length_hint: int | None = None
    consecutive: bool = True
    still: bool = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Read from first to last; what is opened is closed with the iterator."""


class HeldPictures(FrameSource):
    """Pictures in memory.

    Args:
        pictures: (N, H, W, 3), RGB, uint8 or uint16.
        name: What to call them in messages.
        consecutive, still: As in :class:`FrameSource`.
    """

    def __init__(
        self, pictures: np.ndarray, name: str, *, consecutive: bool = True, still: bool = False
    ):
        self.name, self.consecutive, self.still = name, consecutive, still
        self.size = pictures.shape[1], pictures.shape[2]
        self.length_hint = len(pictures)
        self._pictures = pictures

    def __iter__(self) -> Iterator[Frame]:
        return (Frame(picture) for picture in self._pictures)
