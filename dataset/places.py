"""Places of frames in a clip, counted from 0, and sources of the frames at some of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from .sources import Frame, FrameSource


@dataclass(frozen=True)
class Places:
    """Places in a clip, ascending.

    Attributes:
        some: Single ones.
        onward: All from this one on belong to them, too, up to an end that may be unknown; None if
            there are no more.
    """

    some: Sequence[int] = ()
    onward: int | None = 0

    @property
    def are_all(self) -> bool:
        return self.onward == 0

    @property
    def are_none(self) -> bool:
        return self.onward is None and not self.some

    @cached_property
    def _single(self) -> frozenset[int]:
        return frozenset(self.some)

    def __contains__(self, place: int) -> bool:
        return (self.onward is not None and place >= self.onward) or place in self._single

    def __iter__(self) -> Iterator[int]:
        yield from self.some
        if self.onward is not None:
            yield from count(self.onward)

    def after(self, place: int) -> "Places":
        """Those behind a place."""
        onward = None if self.onward is None else max(self.onward, place + 1)
        return Places([other for other in self.some if other > place], onward)


class PickedFrames(FrameSource):
    """The frames at some places of a source, each as a reading of the whole source gives it.

    Args:
        source: The source.
        places: Those of the frames.
    """

    def __init__(self, source: FrameSource, places: Places):
        self.name, self.size, self.still = source.name, source.size, source.still
        self.frame_rate, self.time_base = source.frame_rate, source.time_base
        self.origin, self.consecutive = source.origin, source.consecutive
        self.deep = source.deep
        self.places, self._source = places, source
        self.length_hint = len(places.some) if places.onward is None else source.length_hint

    def __iter__(self) -> Iterator[Frame]:
        return self._source.pick(self.places)


class HeldFrames(PickedFrames):
    """The same, where the last frame of the source stands for all places behind it."""

    def __iter__(self) -> Iterator[Frame]:
        if self.still or self.places.are_all:
            return iter(self._source)
        last = self._source.length() - 1
        some = sorted({min(place, last) for place in self.places.some})
        onward = self.places.onward
        if onward is not None and onward > last:
            some, onward = sorted({*some, last}), None
        return self._source.pick(Places(some, onward))


class LoopedFrames(PickedFrames):
    """The same, where the source starts again at its end."""

    def __iter__(self) -> Iterator[Frame]:
        if self.still or self.places.are_all:
            yield from self._source
            return
        length = self._source.length()
        played: list[int] = []  # of one round
        for place in self.places:
            if played and place % length <= played[-1]:
                yield from self._source.pick(Places(played, None))
                played = []
            played.append(place % length)
        yield from self._source.pick(Places(played, None))
