"""Whole runs, from clip to closed files, against the baseline and each stage alone."""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import Backbone, Precision

from .clip import make_clip, make_plate
from .stages import time_stages
from .weights import checkpoint

ROOT = Path(__file__).parent.parent
_IMAGES = {"output_format": "image_sequences", "image_extension": "png"}
#: Settings of each set of outputs, by name.
OUTPUTS: dict[str, dict[str, Any]] = {
    "com png": {"output_types": ["com"], **_IMAGES},
    "com+pha+fgr png": {"output_types": ["com", "pha", "fgr"], **_IMAGES},
    "mp4": {"output_types": ["com"], "output_format": "video"},
}


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        size: (height, width).
        frames: Length of the clip.
        outputs: A key of ``OUTPUTS``.
        backbone: Of the network.
        precision: Of the program; the baseline's is float32.
        pairs: Number of runs each of baseline and program, alternating.
    """

    size: tuple[int, int]
    frames: int
    outputs: str
    backbone: Backbone
    precision: Precision
    pairs: int


def compare(
    case: Case,
    folder: Path,
    device: str,
    *,
    exact: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run baseline and program alternately, then each stage alone.

    Args:
        case: What to run.
        folder: For the clip and the outputs; those of the last pair stay, in ``baseline`` and
            ``ours``.
        device: As for ``--device``.
        exact: Use a lossless clip, which every decoder reads alike.
        say: Receives a line about each run.

    Returns:
        Medians over the pairs. ``ratio`` compares run times without imports.
    """
    flags = {
        "video_src": str(make_clip(folder, case.size, case.frames, exact=exact)),
        "video_bgr": str(make_plate(folder, case.size)),
        "device": device,
        **OUTPUTS[case.outputs],
    }
    weights = checkpoint(folder, case.backbone)
    flags["model_checkpoint"] = str(weights) if weights else None
    runs: dict[str, list[dict[str, Any]]] = {"baseline": [], "ours": []}
    for _ in range(case.pairs):
        for program, done in runs.items():
            out = folder / program
            shutil.rmtree(out, ignore_errors=True)
            given = flags | {"output_dir": str(out)}
            if program == "ours":
                given |= {"precision": case.precision, "fgr": "network"}  # as the baseline's
            else:
                given.pop("image_extension", None)
            done.append(run_program(program, given))
            say(f"  {program}: {done[-1]['frames'] / done[-1]['run_s']:.2f} frames/s")
    alone_in = folder / "alone"
    shutil.rmtree(alone_in, ignore_errors=True)
    few = min(case.frames, 10 if device == "cpu" else case.frames)
    given = flags | {"output_dir": str(alone_in), "precision": case.precision}
    alone = time_stages(given, case.frames, few)
    shutil.rmtree(alone_in, ignore_errors=True)
    return _summary(case, runs, alone)


def run_program(program: str, flags: dict[str, Any]) -> dict[str, Any]:
    """Run ``ours`` or ``baseline`` in its own process; ``process_s`` is the time of the process."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.program", program, json.dumps(flags)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr.strip()[-2000:]}")
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    facts["process_s"] = time.perf_counter() - started
    return facts


def run_once(folder: Path, size: tuple[int, int], frames: int, **settings: Any) -> dict[str, Any]:
    """Run the program on the scaled sample, com as PNG, and remove its output.

    Args:
        folder: For clips and outputs.
        size: (height, width) of the clip.
        frames: Length of the clip.
        settings: Further settings; see :mod:`benchmarks.program`.

    Returns:
        As :func:`run_program`.
    """
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    flags = {
        "video_src": str(make_clip(folder, size, frames)),
        "video_bgr": str(make_plate(folder, size)),
        "output_dir": str(out),
        **OUTPUTS["com png"],
        **settings,
    }
    facts = run_program("ours", flags)
    shutil.rmtree(out, ignore_errors=True)
    return facts


def _summary(
    case: Case, runs: dict[str, list[dict[str, Any]]], alone: dict[str, float]
) -> dict[str, Any]:
    programs: dict[str, dict[str, Any]] = {
        name: {key: _median([run[key] for run in done]) for key in done[0] if key != "busy"}
        for name, done in runs.items()
    }
    pairs = list(zip(runs["baseline"], runs["ours"], strict=True))

    def ratio(key: str) -> float:
        return statistics.median(slow[key] / fast[key] for slow, fast in pairs)

    ours, frames = programs["ours"], programs["ours"]["frames"]
    busy = {
        stage: statistics.median(run["busy"][stage] for run in runs["ours"])
        for stage in runs["ours"][0]["busy"]
    }
    return {
        "size": f"{case.size[1]}x{case.size[0]}",
        "outputs": case.outputs,
        "backbone": case.backbone,
        "precision": case.precision,
        "frames": frames,
        "pairs": case.pairs,
        "ratio": ratio("run_s"),
        "ratio_with_imports": ratio("process_s"),
        "ratio_steady": ratio("steady_s_a_frame"),
        "busy": busy,
        "alone_ms": alone,
        "to_slowest_stage": ours["steady_s_a_frame"] * 1000 / max(alone.values()),
        **programs,
    }


def _median(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return statistics.median(numbers) if numbers else None
