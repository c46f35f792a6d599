"""Several workers against one, and against plain processes; and a simulation of many."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from .clip import make_clip, make_plate
from .simulated_workers import Costs, simulate
from .whole import ROOT

#: (height, width) of the clip, and workers that are simulated.
_SIZE = (720, 1280)
_SIMULATED = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
#: Frames of the simulated clips: a minute, and a feature film.
_CLIPS = (1440, 144_000)
#: What is compared: flags, threads, and the parts of the clip that each process mattes.
_WAYS: dict[str, tuple[dict[str, Any], int, int]] = {
    "2 processes": ({}, 1, 2),
    "1 worker": ({"workers": 1}, 1, 1),
    "2 workers": ({"workers": 2}, 2, 1),
}


class Run(NamedTuple):
    """Seconds until the last frame is there, and seconds of CPU.

    Attributes:
        wall: By the clock.
        cpu: Of the run and its workers.
        own: Of the run alone, for the last two thirds of the frames.
        ray: Of Ray's other processes, which is nearly the same in each second.
    """

    wall: float
    cpu: float
    own: float
    ray: float


def measure(
    folder: Path, say: Callable[[str], None], *, frames: int, repeats: int
) -> dict[str, Any]:
    """Time whole runs of a short and a long clip: what they differ by is free of their starts.

    On a machine that others use, too, only the seconds of CPU mean something.

    Args:
        folder: For clips and outputs.
        say: Receives a line about each run.
        frames: Of the long clip; the short one has a third.
        repeats: Rounds, in which every way has its turn.

    Returns:
        By way: seconds and seconds of CPU for a frame, and of the start; and the simulation.
    """
    lengths = (frames // 3, frames)
    taken: dict[str, dict[int, list[Run]]] = {
        way: {length: [] for length in lengths} for way in _WAYS
    }
    for _ in range(repeats):
        for length in lengths:
            for way in _WAYS:
                run = _run(folder, way, length)
                taken[way][length].append(run)
                say(f"  {way}, {length} frames: {run.wall:.1f} s, {run.cpu:.1f} s of CPU")
    ways = {way: _per_frame(runs, *lengths) for way, runs in taken.items()}
    costs = _costs(folder, ways, frames)
    return {
        "ways": ways,
        "costs": asdict(costs),
        "simulated": {
            str(count): [asdict(simulate(costs, count, workers)) for workers in _SIMULATED]
            for count in _CLIPS
        },
    }


def _per_frame(runs: dict[int, list[Run]], short: int, long: int) -> dict[str, float]:
    """The line through the least times of both lengths: other programs only add to them."""
    found = {}
    for name in Run._fields:
        few, many = (min(getattr(run, name) for run in runs[length]) for length in (short, long))
        found[f"{name}_s_a_frame"] = (many - few) / (long - short)
        found[f"{name}_s_to_start"] = few - short * found[f"{name}_s_a_frame"]
    found["own_s_a_frame"] = min(run.own for run in runs[long]) / (long - long // 3)
    found["ray_s_a_second"] = min(run.ray / run.wall for run in runs[long])
    return found


def _run(folder: Path, way: str, frames: int) -> Run:
    flags, threads, processes = _WAYS[way]
    size = frames // processes
    started = time.perf_counter()
    children = []
    for part in range(processes):
        settings = {
            "video_src": str(make_clip(folder, _SIZE, frames)),
            "video_bgr": str(make_plate(folder, _SIZE)),
            "output_dir": str(folder / "out"),
            "output_format": "image_sequences",
            "device": "cpu",
            "preflight": False,
            "overwrite": True,
            **flags,
        }
        if processes > 1:
            settings["frames"] = f"{part * size}-{(part + 1) * size - 1}"
        command = [sys.executable, "-m", "benchmarks.workers", json.dumps(settings)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        children.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        )
    told = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise OSError(f"a run of {way} failed")
    cpu, own, ray = (sum(json.loads(text)[n] for text in told) for n in range(3))
    return Run(time.perf_counter() - started, cpu, own, ray)


def _costs(folder: Path, ways: dict[str, dict[str, float]], frames: int) -> Costs:
    """What the simulation is told, from the runs and from chunks of one worker."""
    seconds = _chunks_of_a_worker(folder, frames)
    small, large = sorted(seconds)
    few, many = statistics.median(seconds[small]), statistics.median(seconds[large])
    frame = (many - few) / (large - small)
    return Costs(
        start=ways["1 worker"]["cpu_s_to_start"],
        chunk=max(0.0, few - small * frame),
        frame=frame,
        spread=statistics.pstdev(seconds[large]) / many,
        own=max(0.0, ways["2 workers"]["own_s_a_frame"]),
    )


def _chunks_of_a_worker(folder: Path, frames: int) -> dict[int, list[float]]:
    """Seconds of CPU that chunks of two sizes take, without Ray."""
    from pipeline import matte_video
    from pipeline.worker import Worker

    sizes = (8, 32)
    found: dict[int, list[float]] = {size: [] for size in sizes}

    class Timed:
        """Stands where Ray's workers stand, and mattes some chunks."""

        seats = (None,)

        def parts(self, order: Any, places: Sequence[int], *_: object) -> Any:
            worker = Worker()
            worker.open(order, "cpu", 1)
            worker.matte(places[:4], 0)
            for size in sizes:
                for first in range(0, frames - size, max(size, frames // 6)):
                    started = time.process_time()
                    worker.matte(places[first : first + size], first)
                    found[size].append(time.process_time() - started)
            yield from ()

        def close(self) -> None:
            pass

    import pipeline.matte as matte

    real, matte.open_pool = matte.open_pool, lambda job: (job, Timed())  # type: ignore
    try:
        matte_video(
            video_src=make_clip(folder, _SIZE, frames),
            video_bgr=make_plate(folder, _SIZE),
            output_dir=folder / "chunks",
            output_format="image_sequences",
            device="cpu",
            workers=1,
            preflight=False,
            overwrite=True,
        )
    finally:
        matte.open_pool = real
    return found


def table(report: dict[str, Any]) -> str:
    """The figures as Markdown."""
    ways = report["ways"]
    lines = [
        "| | s a frame | CPU-s a frame | CPU-s of the run's own | CPU-s to start | Ray besides |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    names = ("wall_s_a_frame", "cpu_s_a_frame", "own_s_a_frame", "cpu_s_to_start")
    for way, figures in ways.items():
        shown = " | ".join(f"{figures[name]:.{1 if 'start' in name else 4}f}" for name in names)
        lines.append(f"| {way} | {shown} | {100 * figures['ray_s_a_second']:.1f} % of a core |")
    costs = ", ".join(f"{name} {value:.3f}" for name, value in report["costs"].items())
    parts = ["### Workers", "\n".join(lines), f"Costs: {costs} (seconds)."]
    for count, rows in report["simulated"].items():
        lines = [
            f"| workers, {int(count):,} frames | minutes | speed-up | matting | starting | chunks "
            "| waiting | last range |",
            "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for row in rows:
            shares = ("matting", "starting", "chunks", "waiting", "ending")
            shown = " | ".join(f"{100 * row[share]:.0f} %" for share in shares)
            minutes = f"{row['seconds'] / 60:.1f}"
            lines.append(f"| {row['workers']} | {minutes} | {row['speedup']:.1f} | {shown} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _child(settings: dict[str, Any]) -> None:
    """Matte, and print the CPU time of this process and of those that it started."""
    from inference_video import matte_video

    seconds = [0.0, 0.0, 0.0]

    def note(done: int, expected: int | None) -> None:
        if expected and done == expected // 3:
            seconds[1] = -time.process_time()
        elif done == expected:  # the workers are still there
            workers, others = _cpu_of_family(os.getpid())
            own = time.process_time()
            seconds[:] = own + workers, own + seconds[1], others

    matte_video(**settings, progress=note)
    print(json.dumps(seconds))


def _cpu_of_family(root: int) -> tuple[float, float]:
    """Seconds of CPU of the workers that a process has, and of its other descendants, on Linux."""
    found: dict[int, tuple[int, float, bool]] = {}  # parent, seconds, whether it is a worker
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            is_worker = (path / "cmdline").read_bytes().startswith(b"ray::Worker")
        except OSError:
            continue
        seconds = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        found[int(path.name)] = int(fields[1]), seconds, is_worker
    family = {root}
    while more := {pid for pid, (parent, *_) in found.items() if parent in family} - family:
        family |= more
    sums = [0.0, 0.0]
    for pid in family - {root}:
        _, seconds, is_worker = found[pid]
        sums[not is_worker] += seconds
    return sums[0], sums[1]


if __name__ == "__main__":
    _child(json.loads(sys.argv[1]))
