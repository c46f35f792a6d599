"""Which worker mattes which frames, and when: the decisions alone, without workers or a clock."""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from math import ceil
from statistics import median

#: Shares of what is left that each worker would get, if all came at once: chunks grow smaller
#: towards the end (guided self-scheduling: Polychronopoulos and Kuck, 1987).
_SHARES = 3
#: A chunk is given out again if it takes so many times as long as usual.
_LATE = 2.0
#: Chunks whose speed tells what is usual.
_REMEMBERED = 64
#: Workers that may be lost over one chunk: beyond that, it is the chunk.
_MAX_LOST = 3


class HarmfulChunkError(Exception):
    """A chunk over which worker after worker was lost.

    Attributes:
        chunk: The places of its frames in the run.
    """

    def __init__(self, chunk: range):
        super().__init__(chunk)
        self.chunk = chunk


@dataclass
class _Handed:
    """A chunk that was handed out.

    Attributes:
        chunk: The places of its frames in the run.
        since: Those who work on it, and when they began.
        lost: Workers that were lost over it.
        done: It is finished.
    """

    chunk: range
    since: dict[Hashable, float] = field(default_factory=dict)
    lost: int = 0
    done: bool = False


class Schedule:
    """Hands out the frames of a run, chunk by chunk, in their order.

    Chunks get smaller towards the end. Nobody runs far ahead of the oldest chunk that is missing,
    as what comes after it has to be kept. A worker for which there is nothing new takes a chunk
    that another one is late with; whoever finishes first counts.

    Args:
        count: Frames of the run.
        workers: How many there are.
        least, most: Frames of a chunk; the last one may have fewer.
        ahead: Chunks that may be handed out beyond the oldest one that is missing.
    """

    def __init__(self, count: int, workers: int, *, least: int, most: int, ahead: int):
        self._count, self._workers = count, workers
        self._least, self._most, self._ahead = least, max(least, most), ahead
        self._next = 0  # the first frame that was never handed out
        self._handed: deque[_Handed] = deque()  # since the oldest one that is missing, in order
        self._speeds: deque[float] = deque(maxlen=_REMEMBERED)  # seconds a frame

    @property
    def is_complete(self) -> bool:
        """Every chunk is finished and was collected."""
        return self._next == self._count and not self._handed

    def take(self, worker: Hashable, now: float) -> range | None:
        """The chunk for a worker that has nothing to do; None if it has to wait.

        Args:
            worker: Who it is.
            now: The time in seconds.
        """
        handed = self._abandoned() or self._new() or self._late(worker, now)
        if handed is None:
            return None
        handed.since[worker] = now
        return handed.chunk

    def finish(self, worker: Hashable, chunk: range, now: float) -> bool:
        """Note that a worker has finished its chunk; returns whether it was the first to do so."""
        handed = self._find(chunk)
        if handed is None:
            return False
        self._speeds.append((now - handed.since.pop(worker)) / len(chunk))
        is_first, handed.done = not handed.done, True
        return is_first

    def lose(self, worker: Hashable, chunk: range) -> None:
        """Note that a worker was lost over a chunk; somebody else gets it.

        Raises:
            HarmfulChunkError: That has happened too often with this chunk.
        """
        if (handed := self._find(chunk)) is not None:
            handed.since.pop(worker, None)
            handed.lost += 1
            if handed.lost >= _MAX_LOST and not handed.done:
                raise HarmfulChunkError(chunk)

    def collect(self) -> range | None:
        """The next chunk in order, if it is finished; it counts as taken away."""
        if self._handed and self._handed[0].done:
            return self._handed.popleft().chunk
        return None

    def _new(self) -> _Handed | None:
        left = self._count - self._next
        if not left or len(self._handed) >= self._ahead:
            return None
        size = min(max(ceil(left / (_SHARES * self._workers)), self._least), self._most, left)
        self._handed.append(_Handed(range(self._next, self._next + size)))
        self._next += size
        return self._handed[-1]

    def _abandoned(self) -> _Handed | None:
        return next((one for one in self._handed if not one.done and not one.since), None)

    def _late(self, worker: Hashable, now: float) -> _Handed | None:
        """The chunk that one other worker has had for longest, if that is unusually long."""
        alone = [
            one
            for one in self._handed
            if not one.done and len(one.since) == 1 and worker not in one.since
        ]
        if not alone or not self._speeds:
            return None
        oldest = min(alone, key=lambda one: min(one.since.values()))
        usual = median(self._speeds) * len(oldest.chunk)
        return oldest if now - min(oldest.since.values()) > _LATE * usual else None

    def _find(self, chunk: range) -> _Handed | None:
        return next((one for one in self._handed if one.chunk == chunk), None)
