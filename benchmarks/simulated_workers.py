"""Runs over many workers, simulated: the schedule is the program's own, the clock is not real."""

import random
from dataclasses import dataclass
from heapq import heappop, heappush

from pipeline.schedule import Schedule
from pipeline.workers import chunks_ahead

#: Seconds between two looks at whether a worker is late, as in the program.
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Costs:
    """Measured times in seconds.

    Attributes:
        start: Until Ray runs and a worker has loaded the network.
        chunk: For each chunk: seeking, and handing it over.
        frame: For a frame of a worker, on one thread.
        spread: Standard deviation of that, relative to it, from chunk to chunk.
        own: That the run itself spends on a frame: taking it over, and saving it.
    """

    start: float
    chunk: float
    frame: float
    spread: float
    own: float


@dataclass(frozen=True)
class Simulated:
    """What became of the workers' time, as shares that add up to 1.

    Attributes:
        workers: How many there were.
        seconds: Duration of the run.
        speedup: How many times as fast as one worker that needs no start, and no chunks.
        matting: Matting frames that counted.
        starting: Starting.
        chunks: The cost of chunks.
        waiting: Waiting for the run to take over what is done, or for the oldest chunk.
        ending: Waiting for the last chunk of others, or matting one of these once more.
    """

    workers: int
    seconds: float
    speedup: float
    matting: float
    starting: float
    chunks: float
    waiting: float
    ending: float


def simulate(
    costs: Costs, frames: int, workers: int, *, least: int = 4, most: int = 64, seed: int = 0
) -> Simulated:
    """Run a clip of so many frames over so many workers.

    Args:
        costs: What takes how long.
        frames: Of the clip.
        workers: Each on a core of its own.
        least, most: Frames of a chunk.
        seed: Of the differences between chunks.
    """
    chance = random.Random(seed)
    ahead = chunks_ahead(workers)
    schedule = Schedule(frames, workers, least=least, most=most, ahead=ahead)
    events: list[tuple[float, int, int, range | None]] = []  # time, tie-breaker, worker, chunk
    ties = iter(range(10**9))
    for worker in range(workers):
        begins = costs.start * chance.uniform(0.9, 1.1)
        heappush(events, (begins, next(ties), worker, None))
    idle: list[int] = []
    own_ends = [0.0, 0.0]  # when the run has taken over the last parts
    started = chunks = useful = last_new = now = 0.0
    while not schedule.is_complete:
        time, _, worker, chunk = heappop(events)
        now = max(now, time)
        if chunk is not None and schedule.finish(worker, chunk, now):
            useful += len(chunk) * costs.frame
        if chunk is None and worker >= 0:
            started += time
        if worker >= 0:
            idle.append(worker)
        for one in list(idle):
            if (new := schedule.take(one, now)) is None:
                break
            idle.remove(one)
            chunks += costs.chunk
            last_new = now
            lasts = len(new) * costs.frame * max(0.2, chance.gauss(1, costs.spread))
            heappush(events, (now + costs.chunk + lasts, next(ties), one, new))
        while (done := schedule.collect()) is not None:
            own_ends.append(max(own_ends[-1], now) + len(done) * costs.own)
            now = max(now, own_ends[-3])  # one part may wait while another one is taken over
        if idle and not any(worker < 0 for _, _, worker, _ in events[:4]):
            heappush(events, (now + _POLL_SECONDS, next(ties), -1, None))
    seconds = max(now, own_ends[-1])
    total = workers * seconds
    busy = started + chunks + useful
    ending = min(workers * (seconds - last_new), total - busy)
    return Simulated(
        workers,
        seconds,
        frames * costs.frame / seconds,
        useful / total,
        started / total,
        chunks / total,
        max(0.0, total - busy - ending) / total,
        max(0.0, ending) / total,
    )
