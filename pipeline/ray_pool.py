"""Workers on this machine or on a cluster: Ray starts them and carries what they return."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

from media import MattingError, prefetch
from model import DeviceError

from .result import NOTE, logger
from .schedule import HarmfulChunkError, Schedule
from .worker import Order, Part, Worker

#: Seconds between two looks at whether the run was stopped, or a worker is late.
_POLL_SECONDS = 0.2
#: Seconds without any worker after which a run fails, and workers that may be started for each
#: seat, as others were lost.
_MAX_ALONE, _MAX_STARTS = 120.0, 5
#: Seconds to wait for the head of a cluster to answer.
_MAX_KNOCK = 5.0


class Seat(NamedTuple):
    """Room for a worker: its device, its threads, and the GPUs that Ray gives it."""

    device: str
    threads: int
    gpus: int = 0


@dataclass(eq=False)
class _Hired:
    """A worker that was started.

    Attributes:
        seat: Where.
        actor: Its handle.
        starts: Workers that were started for this seat.
    """

    seat: Seat
    actor: Any
    starts: int = 1


def connect(address: str | None, seats: Sequence[Seat] = ()) -> Any:
    """Start Ray on this machine, or join a cluster; returns the module.

    Ray that this program already uses is used as it is.

    Args:
        address: Of the cluster; None starts Ray here.
        seats: What it is started for.

    Raises:
        DeviceError: There is no such cluster, or Ray does not start.
    """
    if address not in (None, "auto"):
        _check_reachable(str(address))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # devices are named
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # There is no public way to keep it from printing to stdout what happens to nodes.
    ray._private.worker._worker_logs_enabled = False
    on_terminate = signal.getsignal(signal.SIGTERM)
    options: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
    if address is None:
        options |= {"include_dashboard": False, "num_gpus": 0}
        options["num_cpus"] = sum(seat.threads for seat in seats)
    try:
        ray.init(address or "local", **options)
    except Exception as error:  # of many kinds, by many layers
        told = " ".join(str(error).split())
        if address is None:
            raise DeviceError(f"--workers: Ray does not start here: {told}") from error
        raise DeviceError(f"--ray-address {address}: cannot be joined: {told}") from error
    finally:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, on_terminate)  # Ray sets its own
    return ray


def _check_reachable(address: str) -> None:
    """Check that somebody listens: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _MAX_KNOCK).close()
    except (OSError, ValueError, OverflowError) as error:
        raise DeviceError(
            f"--ray-address {address}: cannot be reached ({error}); give the HOST:PORT that "
            "`ray start --head` tells"
        ) from error


class RayPool:
    """Workers that Ray starts.

    A worker that is lost is started again, and somebody else gets its frames.

    Args:
        ray: The module, connected.
        seats: Of the workers.
        is_ours: End Ray at the end.
    """

    def __init__(self, ray: Any, seats: Sequence[Seat], *, is_ours: bool):
        self.seats, self._ray, self._is_ours = seats, ray, is_ours
        self._hired: list[_Hired] = []
        self._is_closed = False

    def __str__(self) -> str:
        devices = ", ".join(dict.fromkeys(seat.device for seat in self.seats))
        return f"{len(self.seats)} workers on {devices}"

    def ask(self, question: Callable[[str], Any]) -> Any:
        """What a function answers, for a device, where the first worker will be."""
        seat = self.seats[0]
        options = {"num_cpus": seat.threads, "num_gpus": seat.gpus}
        task = self._ray.remote(**options)(question)
        return self._ray.get(task.remote(seat.device))

    def parts(
        self,
        order: Order,
        places: Sequence[int],
        schedule: Schedule,
        waiting: Callable[[], None],
    ) -> Generator[Part]:
        """Let the workers matte frames; yields what they made of them, in order.

        Args:
            order: What the workers are told.
            places: Those of the frames in the clip.
            schedule: Says who gets which.
            waiting: Called every half second while nothing comes; its errors are raised here.

        Raises:
            MattingError: A worker cannot open something, or no worker is left.
        """
        found = self._work(order, places, schedule)
        # On a thread of its own, which hands out frames while the sinks take those that are done.
        fetched = prefetch(
            lambda _: next(found, None), repeat(None), 1, ahead=1, name="workers", waiting=waiting
        )
        try:
            for part in fetched:
                if part is None:
                    return
                yield part
        finally:
            self._is_closed = True  # before the thread is waited for
            fetched.close()

    def _work(self, order: Order, places: Sequence[int], schedule: Schedule) -> Generator[Part]:
        told = self._ray.put(order)
        busy: dict[Any, tuple[_Hired, range | None]] = {}  # by what Ray will return
        for seat in self.seats:
            self._start(seat, told, busy)
        idle: list[_Hired] = []
        made: dict[range, Part] = {}
        alone_since = time.monotonic()
        while not schedule.is_complete:
            for worker in list(idle):
                chunk = schedule.take(worker, time.monotonic())
                if chunk is None:  # nor is there one for the others
                    break
                idle.remove(worker)
                some = places[chunk.start : chunk.stop]
                busy[worker.actor.matte.remote(some, chunk.start)] = worker, chunk
            done, _ = self._ray.wait(list(busy), timeout=_POLL_SECONDS)
            now = time.monotonic()
            for ref in done:
                worker, chunk = busy.pop(ref)
                result = self._result(ref)
                if result is None:
                    self._replace(worker, chunk, told, busy, schedule)
                    continue
                if isinstance(result, MattingError):
                    raise result
                idle.append(worker)
                if chunk is not None and schedule.finish(worker, chunk, now):
                    made[chunk] = result
            if idle or any(chunk is not None for _, chunk in busy.values()):
                alone_since = now
            if self._is_closed:
                raise InterruptedError("the run was stopped")
            if now - alone_since > _MAX_ALONE:
                raise DeviceError(
                    f"no worker could be started within {_MAX_ALONE:.0f} s; look at the cluster "
                    "with `ray status`, or give fewer --workers"
                )
            while (chunk := schedule.collect()) is not None:
                part = made.pop(chunk)
                yield part
                if part.count < len(chunk):  # the clip ends before it should
                    return

    def _start(self, seat: Seat, told: Any, busy: dict[Any, Any], starts: int = 1) -> None:
        options = {"num_cpus": seat.threads, "num_gpus": seat.gpus, "max_restarts": 0}
        actor = self._ray.remote(**options, scheduling_strategy="SPREAD")(Worker).remote()
        worker = _Hired(seat, actor, starts)
        self._hired.append(worker)
        busy[actor.open.remote(told, seat.device, seat.threads)] = worker, None

    def _replace(
        self,
        worker: _Hired,
        chunk: range | None,
        told: Any,
        busy: dict[Any, Any],
        schedule: Schedule,
    ) -> None:
        """Start another worker in place of one that was lost, and give its chunk back."""
        logger.log(NOTE, "a worker was lost; its frames go to another one")
        self._hired.remove(worker)
        if chunk is not None:
            try:
                schedule.lose(worker, chunk)
            except HarmfulChunkError as error:
                raise DeviceError(
                    f"several workers were killed over the same {len(chunk)} frames, perhaps as "
                    "memory ran out; give fewer --workers, or a smaller --batch-size"
                ) from error
        if worker.starts < _MAX_STARTS:
            self._start(worker.seat, told, busy, worker.starts + 1)
        elif not busy and not self._hired:
            raise DeviceError("every worker was lost, again and again; give fewer --workers")

    def _result(self, ref: Any) -> Any:
        """What a worker returned, or the error that a user can mend; None if it was lost."""
        errors = self._ray.exceptions
        try:
            found = self._ray.get(ref)
            return True if found is None else found
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, MattingError):
                return cause
            raise
        except errors.RayError:
            return None

    def close(self) -> None:
        """End the workers. A second call is harmless."""
        self._is_closed = True
        for worker in self._hired:
            with suppress(Exception):
                self._ray.kill(worker.actor)
        self._hired.clear()
        if self._is_ours:
            with suppress(Exception):
                self._ray.shutdown()
            self._is_ours = False
