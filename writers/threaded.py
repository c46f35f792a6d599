"""A base class for writers that encode and save on threads, behind a bounded queue."""

import atexit
import os
import sys
import time
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore, Lock

from .base import FrameWriter


class ThreadedWriter(FrameWriter):
    """A writer whose tasks run on a pool of threads.

    If the program ends without ``close``, the tasks are finished at exit and an error is printed.

    Args:
        workers: Number of threads.
        queue_size: Tasks that may wait or run at once; while there are as many, ``add_batch``
            waits.
    """

    def __init__(self, *, workers: int, queue_size: int):
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=type(self).__name__)
        self._slots = BoundedSemaphore(queue_size)
        self._lock = Lock()
        self._error: BaseException | None = None
        self._error_raised = False
        self._closed = False
        atexit.register(self._finish_at_exit)  # runs after the pool's handler, which ends all tasks

    @abstractmethod
    def _finalize(self, *, aborted: bool) -> None:
        """Finish the output after the last task; called once."""

    def close(self) -> None:
        self._close(aborted=False)

    def abort(self) -> None:
        self._close(aborted=True)

    def _close(self, *, aborted: bool) -> None:
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self._finish_at_exit)
        self._pool.shutdown(wait=True)
        self._run(self._finalize, aborted=aborted)
        if self._error is not None and not self._error_raised:
            raise self._error

    def _submit(self, task: Callable[..., None], *args: object) -> None:
        """Run ``task`` on a thread; waits while the queue is full."""
        self._slots.acquire()
        self._pool.submit(self._run_in_slot, task, *args)

    def _check(self) -> None:
        """Raise the first error of a task, or ``ValueError`` after ``close``."""
        if self._closed:
            raise ValueError(f"this {type(self).__name__} is closed")
        if self._error is not None:
            self._error_raised = True
            raise self._error

    def _run_in_slot(self, task: Callable[..., None], *args: object) -> None:
        started = time.perf_counter()
        try:
            self._run(task, *args)
        finally:
            self._slots.release()
            with self._lock:
                self.busy_seconds += (time.perf_counter() - started) / self._workers

    def _run(self, task: Callable[..., None], *args: object, **options: object) -> None:
        try:
            task(*args, **options)
        except BaseException as error:  # raised again by add_batch or close
            with self._lock:
                self._error = self._error or error

    def _finish_at_exit(self) -> None:
        try:
            self._close(aborted=False)
        except Exception as error:
            print(f"error: {error}", file=sys.stderr)


def usable_cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
