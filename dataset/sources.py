"""The frame source: the base class of every reader."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from media import MattingError


class MediaError(MattingError, OSError):
    """Media that cannot be read; the message names the path and what was expected."""


def refuse_pipe(path: Path) -> None:
    """Refuse what can be read only once: files are opened more often.

    Raises:
        MediaError: The path is neither a file nor a folder, and there is something.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise MediaError(f"{path}: a pipe or a device, which can be read only once; give a file")


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        image: (H, W, 3), RGB, uint8 or uint16 over the full range of the type.
        time: Presentation time in seconds; None where the source has no clock.
        repeated: The frame could not be decoded, and repeats a neighbour.
    """

    image: np.ndarray
    time: Fraction | None = None
    repeated: bool = False


class FrameSource(ABC):
    """Frames in presentation order; every iteration starts again at the first.

    Attributes:
        name: Name of the source in messages.
        size: (height, width) of the first frame, after rotation.
        frame_rate: Frames per second; None where there is no clock.
        time_base: Tick in seconds, of which every ``Frame.time`` is a multiple; None without a
            clock.
        origin: Time of the source's beginning on its own clock, in seconds. It differs from 0 only
            where the clock runs independently of the file, as in a broadcast, or starts below 0.
        length_hint: Expected number of frames, which may be wrong; None if unknown or endless.
        consecutive: Each frame follows the one before without a gap.
        still: There is one frame, which is used for as long as it is needed.
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
        """Read from first to last; closing the iterator closes the files."""


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
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        return (Frame(image) for image in self._frames)
