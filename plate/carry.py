"""What carries over from one frame to the next, such that each frame depends on few before it.

Averages over time begin anew every 24 frames. Each new one runs beside the old ones for 48 frames
before it counts: by then what came before has a weight of a millionth. So a run that begins in the
middle of a clip finds the same averages as one that begins at its start.
"""

from typing import Generic, TypeVar

S = TypeVar("S")

#: Frames after which an average begins anew, and frames that it takes in before it counts.
_BLOCK, _RUN_UP = 24, 48
#: Frames after which the alignment of a plate starts from nothing.
_ALIGNED_BLOCK = 48


def average_begins(place: int) -> int:
    """The first frame that the average at a place depends on."""
    return max(0, place // _BLOCK * _BLOCK - _RUN_UP)


def alignment_begins(place: int) -> int:
    """The first frame that the alignment at a place depends on."""
    return place // _ALIGNED_BLOCK * _ALIGNED_BLOCK


class Averages(Generic[S]):
    """The averages that run side by side.

    Attributes:
        follows: The frame at hand follows the one before it.
        running: The averages by the place where each began, the one that counts first; None for
            one that begins with the frame at hand.
    """

    def __init__(self) -> None:
        self.running: dict[int, S | None] = {}
        self.follows = False
        self._last: int | None = None

    def step(self, place: int) -> None:
        """Go on to the frame at a place."""
        self.follows = self._last is not None and place == self._last + 1
        self._last = place
        first = average_begins(place) if self.follows else place
        self.running = {begun: one for begun, one in self.running.items() if begun >= first}
        if not self.running or place % _BLOCK == 0:
            self.running[place] = None

    @property
    def current(self) -> S | None:
        """The average that counts."""
        return next(iter(self.running.values()))
