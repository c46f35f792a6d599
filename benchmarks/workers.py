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
from typing import Any

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
    "1 process": ({}, 1, 1),
    "2 processes": ({}, 1, 2),
    "1 worker": ({"workers": 1}, 1, 1),
    "2 workers": ({"workers": 2}, 2, 1),
}


def measure(folder: Path, say: Callable[[str], None], *, frames: int, repeats: int) -> dict:
    """Time whole runs of a short and a long clip: what they differ by is free of their starts.

    Args:
        folder: For clips and outputs.
        say: Receives a line about each run.
        frames: Of the long clip; the short one has a third.
        repeats: Rounds, in which every way has its turn.

    Returns:
        By way: seconds and seconds of CPU for a frame, and of the start; and the simulation.
    """
    lengths = (frames // 3, frames)
    taken: dict[str, dict[int, list[tuple[float, float]]]] = {
        way: {length: [] for length in lengths} for way in _WAYS
    }
    for _ in range(repeats):
        for length in lengths:
            for way in _WAYS:
                run = _run(folder, way, length)
                taken[way][length].append(run)
                say(f"  {way}, {length} frames: {run[0]:.1f} s, {run[1]:.1f} s of CPU")
    ways = {way: _per_frame(runs, *lengths) for way, runs in taken.items()}
    costs = _costs(folder, ways, lengths[0])
    return {
        "ways": ways,
        "costs": asdict(costs),
        "simulated": {
            str(count): [asdict(simulate(costs, count, workers)) for workers in _SIMULATED]
            for count in _CLIPS
        },
    }


def _per_frame(
    runs: dict[int, list[tuple[float, float]]], short: int, long: int
) -> dict[str, float]:
    """The line through the least times of both lengths: other programs only add to them."""
    found = {}
    for n, name in enumerate(("wall", "cpu")):
        few, many = (min(run[n] for run in runs[length]) for length in (short, long))
        found[f"{name}_s_a_frame"] = (many - few) / (long - short)
        found[f"{name}_s_to_start"] = few - short * found[f"{name}_s_a_frame"]
    return found


def _run(folder: Path, way: str, frames: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU of all processes, until the last frame is there."""
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
    cpu = sum(json.loads(child.communicate()[0])["cpu_s"] for child in children)
    if any(child.returncode for child in children):
        raise OSError(f"a run of {way} failed")
    return time.perf_counter() - started, cpu


def _costs(folder: Path, ways: dict[str, dict[str, float]], frames: int) -> Costs:
    """What the simulation is told, from the runs and from chunks of one worker."""
    seconds = _chunks_of_a_worker(folder, frames)
    few, many = (statistics.median(seconds[size]) for size in sorted(seconds))
    sizes = sorted(seconds)
    frame = (many - few) / (sizes[1] - sizes[0])
    one, two = ways["1 worker"], ways["2 workers"]
    return Costs(
        start=one["wall_s_to_start"],
        chunk=max(0.0, few - sizes[0] * frame),
        frame=frame,
        spread=statistics.pstdev(seconds[sizes[1]]) / many,
        own=max(0.0, two["cpu_s_a_frame"] - ways["2 processes"]["cpu_s_a_frame"]) if one else 0.0,
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
        "| | s a frame | CPU-s a frame | s to start | CPU-s to start |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for way, figures in ways.items():
        shown = " | ".join(
            f"{figures[f'{name}']:.3f}" if "frame" in name else f"{figures[name]:.1f}"
            for name in ("wall_s_a_frame", "cpu_s_a_frame", "wall_s_to_start", "cpu_s_to_start")
        )
        lines.append(f"| {way} | {shown} |")
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

    seconds = [0.0]

    def note(done: int, expected: int | None) -> None:
        if done == expected:  # the workers are still there
            seconds[0] = _cpu_of_family(os.getpid())

    matte_video(**settings, progress=note)
    print(json.dumps({"cpu_s": seconds[0]}))


def _cpu_of_family(root: int) -> float:
    """Seconds of CPU of a process and its descendants, living or waited for, on Linux."""
    parents: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = sum(map(int, fields[11:15]))
        parents[int(path.parent.name)] = int(fields[1]), ticks / os.sysconf("SC_CLK_TCK")
    family, total = {root}, 0.0
    while True:
        more = {pid for pid, (parent, _) in parents.items() if parent in family} - family
        if not more:
            break
        family |= more
    for pid in family:
        total += parents.get(pid, (0, 0.0))[1]
    return total


if __name__ == "__main__":
    _child(json.loads(sys.argv[1]))
