"""Batches that are matted at once, on the cores of one processor."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import torch

from model import Matter

#: More take more memory than they save time.
_MOST = 4


def batches_at_once(matter: Matter) -> int:
    """How many batches to matte at once.

    On a CPU threads that share one batch wait for each other after every layer, and for any core
    that an encoder took; on two cores, two batches on a thread each take a third less time. A
    network that is not ours may not bear it.
    """
    cores = torch.get_num_threads()
    if matter.device.type != "cpu" or matter.path != "fast" or cores == 1:
        return 1
    return min(_MOST, max(2, cores // 4))


@contextmanager
def threads_kept() -> Iterator[None]:
    """PyTorch's number of threads is afterwards what it was; one thread's choice is for all."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Turns:
    """Lets threads do something one after another, in the order of what they work on."""

    def __init__(self) -> None:
        self._next = 0
        self._passed = Condition()

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Wait until 0 to ``number - 1`` are through; each number must come, and comes once."""
        with self._passed:
            self._passed.wait_for(lambda: self._next == number)
        try:
            yield
        finally:
            with self._passed:
                self._next += 1
                self._passed.notify_all()
