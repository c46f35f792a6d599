"""Prefetch: process the items of a sequence ahead of time, on threads, in order."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

#: Seconds to wait for threads at the end; a read from a network disk can hang.
_MAX_JOIN_SECONDS = 5.0
#: Seconds between calls of ``waiting``.
_POLL_SECONDS = 0.5

#: Does its work, unless the thread could not be prepared.
_Task = Callable[[BaseException | None], None]


def prefetch(
    work: Callable[[S], T],
    items: Iterable[S],
    threads: int,
    *,
    ahead: int | None = None,
    name: str,
    prepare: Callable[[], None] = lambda: None,
    waiting: Callable[[], None] = lambda: None,
) -> Generator[T]:
    """Call ``work(item)`` for every item on threads, ahead of time; yields the results in order.

    An error of ``items`` or ``work`` is raised after all earlier results. Closing the iterator
    waits up to 5 seconds for calls in progress; a call that hangs does not keep the program from
    ending, as the threads are daemons.

    Args:
        work: Called on several threads at once; calls start in the order of the items.
        items: Iterated on the caller's thread.
        threads: Number of threads; with 0, each call is made when its result is requested.
        ahead: Results to hold or compute beyond the requested one; by default about twice the
            number of threads, at least 2.
        name: Prefix for the names of the threads.
        prepare: Called first on every thread.
        waiting: Called every half second while a result is not ready; its errors are raised here.
    """
    if not threads:
        yield from map(work, items)
        return
    tasks: SimpleQueue[_Task | None] = SimpleQueue()
    workers = [
        Thread(target=_serve, args=(tasks, prepare), name=f"{name} {n}", daemon=True)
        for n in range(threads)
    ]
    try:
        for worker in workers:
            worker.start()
        started = (_start(tasks, work, item) for item in items)
        for future in delayed(started, max(2, 2 * threads - 1) if ahead is None else ahead):
            while not future.done():
                _wait(future, waiting)
            yield future.result()
    finally:
        _discard(tasks)
        for _ in workers:
            tasks.put(None)
        deadline = time.monotonic() + _MAX_JOIN_SECONDS
        for worker in workers:
            if worker.ident is not None:  # it was started
                worker.join(max(0, deadline - time.monotonic()))


def delayed(items: Iterable[T], by: int) -> Iterator[T]:
    """Yield each item after ``by`` more were taken; an error comes after all earlier items."""
    held: deque[T] = deque()
    try:
        for item in items:
            held.append(item)
            if len(held) > by:
                yield held.popleft()
    except Exception:
        yield from held
        raise
    yield from held


def _serve(tasks: SimpleQueue[_Task | None], prepare: Callable[[], None]) -> None:
    failure: BaseException | None = None
    try:
        prepare()
    except BaseException as error:  # raised where a result is requested
        failure = error
    while (task := tasks.get()) is not None:
        task(failure)
        del task  # its result may be large, and the next task may not come soon


def _start(tasks: SimpleQueue[_Task | None], work: Callable[[S], T], item: S) -> Future[T]:
    future: Future[T] = Future()

    def task(failure: BaseException | None) -> None:
        try:
            if failure is not None:
                raise failure
            future.set_result(work(item))
        except BaseException as error:  # raised where the result is requested
            future.set_exception(error)

    tasks.put(task)
    return future


def _wait(future: Future[T], waiting: Callable[[], None]) -> None:
    try:
        future.exception(timeout=_POLL_SECONDS)
    except TimeoutError:
        waiting()


def _discard(tasks: SimpleQueue[_Task | None]) -> None:
    try:
        while True:
            tasks.get_nowait()
    except Empty:
        return
