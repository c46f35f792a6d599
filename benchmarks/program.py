"""Runs the program or the baseline in its own process, and prints its figures as JSON."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: The steady state starts after 1 / this of the frames.
_WARM_UP_DIVISOR = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``ours`` or ``baseline`` with ``settings``: keywords of ``matte_video`` as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.program", description=main.__doc__)
    parser.add_argument("program", choices=("ours", "baseline"))
    parser.add_argument("settings", type=json.loads)
    args = parser.parse_args(argv)
    started = time.perf_counter()
    run = _ours if args.program == "ours" else _baseline
    ticks: list[tuple[int, float]] = []
    imported, facts = run(args.settings, lambda done, _: ticks.append((done, time.perf_counter())))
    ended = time.perf_counter()
    frames = ticks[-1][0]
    warm, warm_at = next(tick for tick in ticks if tick[0] * _WARM_UP_DIVISOR >= frames)
    facts |= {
        "frames": frames,
        "imports_s": imported - started,
        "run_s": ended - imported,
        "first_frame_s": ticks[0][1] - imported,
        "steady_s_a_frame": (ended - warm_at) / max(frames - warm, 1),
        "peak_mib": peak_mib(),
        "gpu_peak_mib": gpu_peak_mib(),
    }
    print(json.dumps(facts))
    return 0


def _ours(settings: dict[str, Any], progress: Any) -> tuple[float, dict[str, Any]]:
    """Run the program; ``stand_in`` and ``slow_disk`` in the settings replace parts of it."""
    from cli.allocator import configure_allocator
    from inference_video import matte_video

    imported = time.perf_counter()
    configure_allocator()
    if settings.pop("stand_in", False):
        from .standin import DifferenceNetwork

        settings["network"] = DifferenceNetwork()
    if slow := settings.pop("slow_disk", 0.0):
        from .standin import SlowImages

        settings["writers"] = {"com": SlowImages(Path(settings["output_dir"]) / "com", slow)}
    result = matte_video(**settings, progress=progress)
    return imported, {"busy": result.busy}


def _baseline(settings: dict[str, Any], progress: Any) -> tuple[float, dict[str, Any]]:
    from .baseline import matte

    imported = time.perf_counter()
    paths = {
        name: Path(value) if value else None
        for name, value in settings.items()
        if name in ("video_src", "video_bgr", "output_dir", "model_checkpoint")
    }
    matte(**settings | paths, progress=progress)
    return imported, {}


def peak_mib() -> float | None:
    """Peak memory of this process so far, in MiB; None where the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage on Linux starts with the peak of the parent process
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def gpu_peak_mib() -> float | None:
    """Peak memory that PyTorch reserved on the CUDA device, in MiB; None without one."""
    torch = sys.modules["torch"]
    return torch.cuda.max_memory_reserved() / 2**20 if torch.cuda.is_available() else None


if __name__ == "__main__":
    sys.exit(main())
