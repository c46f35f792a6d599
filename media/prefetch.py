"""Prefetch: work on the items of a sequence ahead of time, on threads, in order."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

#: Seconds to wait, at the end, for work that is stuck, as a read from a network disk can be.
_STUCK_SECONDS = 5.0
#: Seconds to wait for a result before ``waiting`` is called.
_POLL_SECONDS = 0.5

_Task = Callable[[], None]


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
    """``work(item)`` for every item, in order, started on threads before it is asked for.

    An error of an item or of its work is raised after all results before it. Closing the iterator
    waits for the work in progress, but not for long: the threads are daemons, so that work that is
    stuck does not keep the program from ending.

    Args:
        work: Called from several threads at once; items are started in order.
        items: Taken on the caller's thread.
        threads: Without any, each item is worked on when its result is asked for.
        ahead: Results to hold or work on beyond the one asked for; by default about twice as many
            as there are threads, and at least two.
        name: Prefix for the names of the threads.
        prepare: Called first on every thread.
        waiting: Called now and then while a result is waited for; what it raises is raised here.
    """
    if not threads:
        yield from map(work, items)
        return
    tasks: SimpleQueue[_Task | None] = SimpleQueue()
    workers = [
        Thread(target=_serve, args=(tasks, prepare), name=f"{name} {n}", daemon=True)
        for n in range(threads)
    ]
    for worker in workers:
        worker.start()
    try:
        started = (_start(tasks, work, item) for item in items)
        for future in delayed(started, max(2, 2 * threads - 1) if ahead is None else ahead):
            while not future.done():
                _wait(future, waiting)
            yield future.result()
    finally:
        _discard(tasks)
        for _ in workers:
            tasks.put(None)
        give_up = time.monotonic() + _STUCK_SECONDS
        for worker in workers:
            worker.join(max(0, give_up - time.monotonic()))


def delayed(items: Iterable[T], by: int) -> Iterator[T]:
    """Each item after ``by`` more were taken; all items before an error come before it."""
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
    prepare()
    while (task := tasks.get()) is not None:
        task()
        del task  # it holds a result, which may be large, while the next task is waited for


def _start(tasks: SimpleQueue[_Task | None], work: Callable[[S], T], item: S) -> Future[T]:
    future: Future[T] = Future()

    def task() -> None:
        try:
            future.set_result(work(item))
        except BaseException as error:  # any: it must reach whoever asks for the result
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
