"""Which frames of a clip a run reads, mattes and writes, and the numbers that they have."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import cached_property

from dataset import FrameSource, ImageFolder, Places, VideoSource
from media import FrameRange, UsageError, Warn, format_time, range_text
from plate import alignment_begins, average_begins
from writers import PLATE_LABEL, label_of

from .settings import Settings

#: Digits of a number where the clip has none.
_DIGITS = 5
#: Share of a clip by which it may be longer than its header says, where its frames are not counted.
_MAX_EXCESS = 0.1


class Role(IntEnum):
    """What a run does with a frame: read it, to fit plates after it; matte it, for alpha after it;
    or write it.
    """

    READ = 0
    MATTED = 1
    WRITTEN = 2


@dataclass(frozen=True)
class Numbering:
    """The numbers of a clip's frames.

    Attributes:
        first: That of the first one; they count up from there.
        own: Those that the files of a sequence have, used instead.
        digits: Digits of a number in a name, at least.
    """

    first: int = 0
    own: Sequence[int] = ()
    digits: int = _DIGITS

    def __getitem__(self, place: int) -> int:
        return self.own[place] if self.own else self.first + place


def numbering_of(settings: Settings, src: FrameSource) -> Numbering:
    """The numbers of frames in the names of outputs: those of a sequence, unless others are set."""
    start = settings.start_number
    if isinstance(src, ImageFolder) and src.numbers:
        if start is None:
            return Numbering(own=src.numbers, digits=src.digits or _DIGITS)
        return Numbering(start, digits=max(_DIGITS, src.digits))
    return Numbering(start or 0)


@dataclass(frozen=True)
class FramePlan:
    """What a run does with which frames, by their places in the clip.

    Attributes:
        written: The frames that it writes.
        matted: Those and the ones before whose alpha is averaged with theirs.
        read: Those and the ones before that tell how their plates lie, and in which light.
    """

    written: Places = Places()  # noqa: RUF009
    matted: Places = Places()  # noqa: RUF009
    read: Places = Places()  # noqa: RUF009

    def role(self, place: int) -> Role:
        if place in self.written:
            return Role.WRITTEN
        return Role.MATTED if place in self.matted else Role.READ


def plan_frames(settings: Settings, written: Places) -> FramePlan:
    """The plan for writing the frames at some places."""

    def matted_from(place: int) -> int:
        return average_begins(place) if settings.smooth_alpha else place

    def read_from(place: int) -> int:
        first = matted_from(place)
        if settings.match_plate:
            first = average_begins(first)
        return alignment_begins(first) if settings.align == "frame" else first

    matted = _with_run_up(written, matted_from)
    return FramePlan(written, matted, _with_run_up(written, read_from))


def _with_run_up(places: Places, begins: Callable[[int], int]) -> Places:
    if places.are_all:
        return places
    some: list[int] = []
    for place in places.some:
        some += range(max(begins(place), some[-1] + 1 if some else 0), place + 1)
    onward = places.onward
    if onward is None:
        return Places(some, None)
    onward = begins(onward)
    return Places([place for place in some if place < onward], onward)


def choose_frames(
    frames: FrameRange | None, src: FrameSource, numbering: Numbering, rate: Fraction, warn: Warn
) -> "FrameNumbers":
    """The frames that ``--frames`` names; all without it.

    Args:
        frames: The range, which names the frames of a sequence by their own numbers.
        src: The clip.
        numbering: Of its frames in the names of outputs.
        rate: Frames per second of a clip without a clock.
        warn: Told that the range is longer than the clip.

    Raises:
        UsageError: The clip has none of these frames.
        MediaError: The clip cannot be read.
    """
    if frames is None:
        return FrameNumbers(numbering)
    own = src.numbers if isinstance(src, ImageFolder) else ()
    index = src.index if isinstance(src, VideoSource) else None
    known = isinstance(src, ImageFolder) or index is not None
    count = src.length() if known else round((src.length_hint or 0) * (1 + _MAX_EXCESS)) + 1
    numbers: Sequence[int] = own or range(numbering.first, numbering.first + count)

    def time_of(place: int) -> Fraction:
        return src.time_at(place) if isinstance(src, VideoSource) and known else place / rate

    places = frames.places(numbers, time_of)
    end = f"{numbers[-1]} ({format_time(time_of(count - 1))})" if frames.has_times else numbers[-1]
    if not places:
        raise UsageError(
            f"--frames {frames}: {src.name} has none of these; its frames are {numbers[0]} to {end}"
        )
    if known and frames.last is not None and frames.last > numbers[-1]:
        warn(f"--frames {frames}: {src.name} ends with frame {end}, and so does the range")
    clip = range_text(numbering[place] for place in range(count)) if known else None
    return FrameNumbers(numbering, Places(places, None), clip)


@dataclass(frozen=True)
class FrameNumbers:
    """The frames of a run by their numbers.

    Attributes:
        numbering: Of the clip's frames.
        places: Those of the run's frames.
        clip: The numbers of the clip's frames, as a range; None if their end is not known.
    """

    numbering: Numbering = Numbering()
    places: Places = Places()  # noqa: RUF009
    clip: str | None = None

    @property
    def is_whole(self) -> bool:
        """The run was not asked for a range."""
        return self.places.are_all

    @cached_property
    def text(self) -> str:
        """The numbers as a range; empty for a whole clip."""
        return "" if self.is_whole else range_text(self.numbers())

    @property
    def label(self) -> str:
        """What the run is called in names of files; empty for a whole clip."""
        return PLATE_LABEL if self.places.are_none else label_of(self.text)

    def numbers(self, places: Places | None = None) -> Iterator[int]:
        """The numbers of the run's frames, or of some; without an end where none is known."""
        own = self.numbering.own
        for place in self.places if places is None else places:
            if own and place >= len(own):
                return
            yield self.numbering[place]

    def without(self, numbers: frozenset[int]) -> Places:
        """The places of the run's frames, without those that have some numbers."""
        if not numbers:
            return self.places
        if not self.is_whole:
            left = [p for p in self.places.some if self.numbering[p] not in numbers]
            return Places(left, None)
        own = self.numbering.own
        done = (
            {place for place, number in enumerate(own) if number in numbers}
            if own
            else {number - self.numbering.first for number in numbers}
        )
        onward = max(done) + 1
        return Places([place for place in range(onward) if place not in done], onward)

    def check_end(self, clip: str, count: int, warn: Warn) -> None:
        """Tell that a clip had fewer frames than the run asked for.

        Args:
            clip: Its name.
            count: Frames that were matted.
            warn: Told that the range was longer than the clip.

        Raises:
            UsageError: The clip has none of the frames.
        """
        if self.is_whole or count >= len(self.places.some):
            return
        if not count:
            raise UsageError(f"--frames {self.text}: {clip} ends before them")
        last = self.numbering[self.places.some[count - 1]]
        warn(f"--frames {self.text}: {clip} ends with frame {last}, and so does the range")
