"""Work on several items of a sequence at once, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

S = TypeVar("S")
T = TypeVar("T")
#: More decode no faster: the file's own decoder has threads, too.
_MOST = 4


def spare_threads() -> int:
    """How many threads reading may take: a quarter of the cores that PyTorch uses, or none."""
    quarter = torch.get_num_threads() // 4
    return min(_MOST, quarter) if quarter > 1 else 0


def map_ahead(
    work: Callable[[S], T],
    items: Iterable[S],
    threads: int | None = None,
    *,
    name: str = "read",
    prepare: Callable[[], None] | None = None,
) -> Iterator[T]:
    """``work(item)`` for every item, in order, begun on threads before it is asked for.

    At most twice as many results as there are threads, or three, are in work or kept. What an item
    or its work raises comes after all results before it. Closing the iterator waits for what is in
    work.

    Args:
        work: Called from several threads at once, for each item after those before it.
        items: Taken by the caller's thread.
        threads: By default :func:`spare_threads`; without any, everything is done when it is asked
            for.
        name: What the names of the threads begin with.
        prepare: Called first on every thread.
    """
    threads = spare_threads() if threads is None else threads
    if not threads:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(threads, name, prepare)
    try:
        begun = (pool.submit(work, item) for item in items)
        for future in delayed(begun, max(2, 2 * threads - 1)):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def delayed(items: Iterable[T], by: int) -> Iterator[T]:
    """Hand every item on when ``by`` more were taken; all before an error come before it."""
    waiting: deque[T] = deque()
    try:
        for item in items:
            waiting.append(item)
            if len(waiting) > by:
                yield waiting.popleft()
    except Exception:
        yield from waiting
        raise
    yield from waiting
