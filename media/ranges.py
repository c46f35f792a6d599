"""Frame ranges: numbers of frames, or times, in the notation of studios.

Ranges stay as they are written and are never expanded, so that 1-99999999 takes no memory;
libraries for this notation list every number.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain

from .timing import parse_time

#: Parts of one range, and digits of a number, that are read at most.
_MAX_PARTS, _MAX_DIGITS = 1000, 12
_NUMBER = rf"-?[0-9]{{1,{_MAX_DIGITS}}}"
_NUMBERS = re.compile(rf"({_NUMBER})(?:-({_NUMBER})(?:x([0-9]{{1,{_MAX_DIGITS}}}))?)?")
#: Seconds by which a time may be off: users write milliseconds, and this is half of one.
_ROUNDING = Fraction(1, 2000)

#: First and last moment in seconds since the first frame; one moment twice is a single frame.
Span = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class FrameRange:
    """Numbers of frames, as a user wrote them.

    Attributes:
        text: The notation: ``1001-1100``, ``1001-1100x5``, ``1-20,40-60``, ``-5-10``, and times:
            ``00:00:02.5-00:00:04``.
        parts: Ascending ranges of numbers, and spans of time; they may overlap.
    """

    text: str
    parts: tuple[range | Span, ...]

    @classmethod
    def parse(cls, text: str) -> "FrameRange":
        """Read the notation.

        Raises:
            ValueError: It is something else; the message says what was expected.
        """
        parts = text.split(",")
        if len(parts) > _MAX_PARTS:
            raise ValueError(f"{text[:40]}...: more than {_MAX_PARTS} parts")
        return cls(text, tuple(_part(part.strip(), text) for part in parts))

    def __str__(self) -> str:
        return self.text

    def __contains__(self, number: object) -> bool:
        return any(isinstance(part, range) and number in part for part in self.parts)

    def __iter__(self) -> Iterator[int]:
        """The numbers, part by part."""
        return chain.from_iterable(part for part in self.parts if isinstance(part, range))

    def among(self, numbers: frozenset[int] | set[int]) -> set[int]:
        """Those of some numbers that are in this range; as fast for many parts or numbers."""
        found: set[int] = set()
        for part in self.parts:
            if isinstance(part, range):
                few = len(part) <= len(numbers)
                found.update(
                    numbers.intersection(part) if few else filter(part.__contains__, numbers)
                )
        return found

    @cached_property
    def has_times(self) -> bool:
        return any(not isinstance(part, range) for part in self.parts)

    def places(
        self, numbers: Sequence[int], time_of: Callable[[int], Fraction] | None = None
    ) -> list[int]:
        """Where the numbers of this range stand in a clip, ascending.

        Args:
            numbers: Those of the clip's frames, ascending.
            time_of: The time of the frame at a place, in seconds since the first one.
        """
        found: set[int] = set()
        for part in self.parts:
            if isinstance(part, range):
                between = range(bisect_left(numbers, part[0]), bisect_left(numbers, part[-1] + 1))
                found.update(n for n in between if part.step == 1 or numbers[n] in part)
            elif time_of is not None:
                found.update(_shown(part, range(len(numbers)), time_of))
        return sorted(found)

    @property
    def last(self) -> int | None:
        """The largest number; None if there are only times."""
        return max((part[-1] for part in self.parts if isinstance(part, range)), default=None)

    def overlaps(self, other: "FrameRange") -> bool:
        """Whether a number may be in both; True in doubt."""
        mine, others = ([p for p in r.parts if isinstance(p, range)] for r in (self, other))
        return any(_meet(a, b) for a in mine for b in others)


def _part(text: str, whole: str) -> range | Span:
    expected = f"{whole!r}: expected frames such as 1001-1100, 1001-1100x5 or 1-20,40-60"
    if ":" in text:
        ends = [parse_time(end) for end in text.split("-")]
        first, last = ends[0], ends[-1]
        if first is None or last is None or len(ends) > 2:
            raise ValueError(f"{expected}, or times such as 00:00:02.5-00:00:04")
        if len(ends) == 2 and last <= first:
            raise ValueError(f"{whole!r}: {text} ends before it begins")
        return first, last
    match = _NUMBERS.fullmatch(text)
    if match is None:
        raise ValueError(expected)
    first_number, step = int(match[1]), int(match[3] or 1)
    last_number = first_number if match[2] is None else int(match[2])
    if step == 0:
        raise ValueError(f"{whole!r}: a step of 0 leads nowhere")
    if last_number < first_number:
        raise ValueError(f"{whole!r}: {text} ends before it begins")
    return range(first_number, last_number + 1, step)


def _shown(span: Span, places: range, time_of: Callable[[int], Fraction]) -> range:
    """The frames of a span: those that begin in it, or the one that is shown at a single time."""
    first = bisect_left(places, span[0] - _ROUNDING, key=time_of)
    if span[0] == span[1]:
        shown = bisect_left(places, span[0] + _ROUNDING, key=time_of)
        return range(max(0, shown - 1), min(shown, len(places))) if shown else range(0)
    return range(first, bisect_left(places, span[1] - _ROUNDING, key=time_of))


def _meet(a: range, b: range) -> bool:
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if low > high:
        return False
    if a.step == 1 or b.step == 1 or a.step == b.step:
        few = a if len(a) < len(b) or b.step == 1 else b
        start = low + (few[0] - low) % few.step
        return start <= high and start in a and start in b if few.step > 1 else True
    return True


def range_text(numbers: Iterable[int]) -> str:
    """Ascending numbers in the notation, such as ``1-20,30-60x10``; empty without any."""
    parts: list[list[int]] = []  # first, last, step, count
    for number in numbers:
        if parts:
            part = parts[-1]
            if part[3] == 1 or number - part[1] == part[2]:
                part[2], part[1] = number - part[1], number
                part[3] += 1
                continue
            if part[3] == 2 and part[2] > 1:  # two numbers are no step
                last = part[1]
                part[1], part[3] = part[0], 1
                parts.append([last, number, number - last, 2])
                continue
        parts.append([number, number, 0, 1])
    return ",".join(_text(*part) for part in parts)


def _text(first: int, last: int, step: int, count: int) -> str:
    if count == 1:
        return str(first)
    if count == 2 and step > 1:
        return f"{first},{last}"
    return f"{first}-{last}" + (f"x{step}" if step > 1 else "")
