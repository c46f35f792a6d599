"""How many batches are matted at once on a CPU, and in which order their results are used."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock

import torch

from model import Predictor

#: More batches at once cost more memory than they save time.
_MAX_BATCHES = 4


def batches_at_once(predictor: Predictor) -> int:
    """How many batches to matte at once.

    On a CPU, threads that share one batch wait for each other after every layer, and for any core
    that an encoder uses: on two cores, two batches on one thread each take a third less time. A
    network that is not ours may not allow several threads.
    """
    cores = cores_at_hand()
    if predictor.device.type != "cpu" or predictor.path != "fast" or cores == 1:
        return 1
    return min(_MAX_BATCHES, max(2, cores // 4))


def cores_at_hand() -> int:
    """PyTorch's number of threads, as it was before any run changed it."""
    with _kept.lock:
        return _kept.threads if _kept.runs else torch.get_num_threads()


@contextmanager
def threads_kept() -> Iterator[None]:
    """Restore PyTorch's number of threads afterwards: a thread that sets it sets it for all.

    Of runs that overlap, the first one's number is restored when the last one ends.
    """
    with _kept.lock:
        _kept.runs += 1
        if _kept.runs == 1:
            _kept.threads = torch.get_num_threads()
    try:
        yield
    finally:
        with _kept.lock:
            _kept.runs -= 1
            if not _kept.runs:
                torch.set_num_threads(_kept.threads)


class _Kept:
    def __init__(self) -> None:
        self.lock, self.runs, self.threads = Lock(), 0, 1


_kept = _Kept()


class Turns:
    """Lets threads do something one after another, in the order of the batches they work on."""

    def __init__(self) -> None:
        self._next = 0
        self._passed = Condition()

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Wait until 0 to ``number - 1`` are through; each number must be used exactly once."""
        with self._passed:
            self._passed.wait_for(lambda: self._next == number)
        try:
            yield
        finally:
            with self._passed:
                self._next += 1
                self._passed.notify_all()
