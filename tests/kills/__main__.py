"""Runs that are killed, or stopped by Ctrl-C twice, at random moments.

``python tests/kills --kills 500 --interrupts 100 --seed 1`` kills runs and continues them with
``--resume`` until they are done, and compares what they wrote with undisturbed runs. Then it stops
runs by pressing Ctrl-C twice. It prints what went wrong, and is not part of the suite.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT)]

import footage  # noqa: E402
from processes import start_program  # noqa: E402

FRAMES = 30
IMAGES = ["--output-format", "image_sequences"]
#: What is asked of the runs that are killed, by name.
JOBS = {
    "com": IMAGES,
    "com, pha and fgr": [*IMAGES, "--output-types", "com", "pha", "fgr"],
    "auto": [*IMAGES, "--video-bgr", "auto"],
    "matched": [*IMAGES, "--match-plate", "--batch-size", "2"],
    "mended": [*IMAGES, "--mend-plate"],
    "16 bits": [*IMAGES, "--bit-depth", "16", "--despeckle"],
}
#: Seconds after which a run hangs.
MAX_SECONDS = 120


def flags(out: Path, job: list[str]) -> list[str]:
    paths = {
        "video-src": "clip.mp4",
        "video-bgr": "plate.png",
        "model-checkpoint": "half.pth",
        "output-dir": out,
        "device": "cpu",
    }
    return [part for name, path in paths.items() for part in (f"--{name}", str(path))] + job


def contents(out: Path) -> dict[str, bytes]:
    """The frames and the plate of an output folder, by name."""
    names = [*out.glob("*/*.png"), *out.glob("plate.png")]
    return {str(path.relative_to(out)): path.read_bytes() for path in names}


def kill(folder: Path, count: int, chance: random.Random) -> list[str]:
    """Kill runs ``count`` times; what went wrong, a line each."""
    wrong, kills, number = [], 0, 0
    whole: dict[str, tuple[dict[str, bytes], float]] = {}
    for name, job in JOBS.items():
        started = time.monotonic()
        start_program(*flags(folder / "whole", job), cwd=folder).wait(MAX_SECONDS)
        whole[name] = contents(folder / "whole"), time.monotonic() - started
        shutil.rmtree(folder / "whole")
    while kills < count:
        name = list(JOBS)[number % len(JOBS)]
        expected, seconds = whole[name]
        out, here = folder / "out", 0
        shutil.rmtree(out, ignore_errors=True)
        while True:
            run = start_program(*flags(out, [*JOBS[name], "--resume"]), cwd=folder)
            end = time.monotonic() + chance.uniform(0, 1.2 * seconds)
            while run.running and time.monotonic() < end and kills < count:
                time.sleep(0.002)
            if run.running and kills < count:
                run.send_signal(signal.SIGKILL)
                kills, here = kills + 1, here + 1
            finished = run.wait(MAX_SECONDS)
            partly = contents(out)
            bad = [path for path, data in partly.items() if expected.get(path) != data]
            if bad:
                wrong.append(f"{name}: after {here} kills {bad} differ")
                break
            if finished.returncode == 0:
                status = json.loads((out / "run.json").read_text())["status"]
                if partly != expected or status != "done":
                    wrong.append(f"{name}: done with {len(partly)} files, status {status}")
                break
            if finished.returncode != -signal.SIGKILL:
                wrong.append(f"{name}: {finished.returncode}, {finished.stderr[-300:]}")
                break
        number += 1
    print(f"{kills} kills of {number} runs", flush=True)
    return wrong


def interrupt(folder: Path, count: int, chance: random.Random) -> list[str]:
    """Press Ctrl-C twice in ``count`` runs; what went wrong, a line each."""
    wrong, ends = [], Counter[int]()
    jobs = [["--output-format", "video"], *JOBS.values()]
    command = [sys.executable, str(ROOT / "inference_video.py")]
    seconds = 0.0
    for number in range(-1, count):
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        started = time.monotonic()
        run = subprocess.Popen(
            [*command, *flags(out, jobs[number % len(jobs)])],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        _wait_for_main(run.pid)
        if number >= 0:  # the first run shows how long one takes
            time.sleep(chance.uniform(0, seconds))
            for _ in range(2):
                run.send_signal(signal.SIGINT)
                time.sleep(chance.choice((0, 0.01, 0.1, 0.5)))
        try:
            _, errors = run.communicate(timeout=MAX_SECONDS)
        except subprocess.TimeoutExpired:
            run.kill()
            _, errors = run.communicate()
            wrong.append(f"Ctrl-C {number}: hangs, {errors[-500:]}")
            continue
        seconds = seconds or time.monotonic() - started
        ends[run.returncode] += 1
        report = out / "run.json"
        status = json.loads(report.read_text())["status"] if report.exists() else None
        is_clean = run.returncode in (0, 130, -signal.SIGINT) and status != "running"
        if not is_clean or "Traceback" in errors or "Exception" in errors:
            wrong.append(f"Ctrl-C {number}: {run.returncode}, {status}, {errors[-500:]}")
    print(f"Ctrl-C twice: {dict(ends)}", flush=True)
    return wrong


def _wait_for_main(pid: int) -> None:
    """Wait until Python has started: it catches Ctrl-C by itself until ``main`` begins."""
    was_caught = False
    while True:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = next((int(x.split()[1], 16) for x in lines if x.startswith("SigCgt")), 0)
        is_caught = bool(caught >> (signal.SIGINT - 1) & 1)
        if was_caught and not is_caught:
            return
        was_caught = was_caught or is_caught
        time.sleep(0.002)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="how often to kill runs")
    parser.add_argument("--interrupts", type=int, default=20, help="runs to stop by Ctrl-C twice")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        footage.make_clip(folder / "clip.mp4", FRAMES)
        footage.make_plate(folder / "plate.png")
        footage.make_checkpoint(folder / "half.pth")
        chance = random.Random(args.seed)
        wrong = kill(folder, args.kills, chance) if args.kills else []
        wrong += interrupt(folder, args.interrupts, chance) if args.interrupts else []
    print(*wrong, f"{len(wrong)} went wrong", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
