"""How time and memory grow with frames, pixels and refined pixels, and the plot of it."""

import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .clip import make_clip, make_plate
from .machine import sentence
from .weights import random_checkpoint
from .whole import OUTPUTS, run_program

_SMALL = (270, 480)
_HD = (1080, 1920)
#: Multiples of 4, from 0.25 to 8.3 megapixels.
_SIZES = (
    (376, 672),
    (540, 960),
    (768, 1360),
    (1080, 1920),
    (1440, 2560),
    (1800, 3200),
    (2160, 3840),
)
_REFINED = (0, 40_000, 80_000, 160_000, 240_000, 320_000)

Say = Callable[[str], None]


def measure(
    folder: Path,
    device: str,
    say: Say,
    *,
    longest: int = 3000,
    short: int = 12,
    sizes: tuple[tuple[int, int], ...] = _SIZES,
    refined: tuple[int, ...] = _REFINED,
) -> dict[str, Any]:
    """Run the program, com as PNG, along each of three axes.

    Args:
        folder: For clips and outputs.
        device: As ``--device`` has it.
        say: Told of each run.
        longest: Frames of the longest clip; the others have a third, a tenth and a thirtieth.
        short: Frames of the clips whose time a frame is measured.
        sizes: (height, width) of these; the base sees a quarter, and 80,000 pixels are refined.
        refined: Pixels to refine in frames of HD, or of the largest size, if that is smaller.

    Returns:
        By axis: ``x``, ``seconds`` (a run, or a frame), ``mib`` (the peak), and of the straight
        line through the times ``fit`` (start, slope) and ``r2``.
    """
    frames = [longest // 30, longest // 10, longest // 3, longest]
    fixed = {"model_backbone_scale": 0.25, "model_refine_sample_pixels": 80_000}
    medium = min(_HD, max(sizes))
    willing = str(random_checkpoint(folder, "mobilenetv2"))  # the built-in one refines no more
    runs: dict[str, list[tuple[float, float, float]]] = {"frames": [], "megapixels": []}
    runs["refined pixels"] = []
    for count in frames:
        run = _run(folder, _SMALL, count, device, fixed)
        runs["frames"].append((count, run["run_s"], run["peak_mib"]))
    for size in sizes:
        seconds, mib = _a_frame(folder, size, short, device, fixed)
        runs["megapixels"].append((size[0] * size[1] / 1e6, seconds, mib))
    for pixels in refined:
        flags = fixed | {"model_refine_sample_pixels": pixels, "model_checkpoint": willing}
        runs["refined pixels"].append((pixels, *_a_frame(folder, medium, short, device, flags)))
    for name, points in runs.items():
        for x, seconds, mib in points:
            say(f"  {name} {x:,g}: {seconds:.3f} s, {mib:.0f} MiB")
    return {name: series(points) for name, points in runs.items()}


def _a_frame(
    folder: Path, size: tuple[int, int], frames: int, device: str, flags: dict[str, Any]
) -> tuple[float, float]:
    """Seconds a frame, the median of three runs, and the peak in MiB."""
    runs = [_run(folder, size, frames, device, flags) for _ in range(3)]
    return (
        statistics.median(run["steady_s_a_frame"] for run in runs),
        max(run["peak_mib"] for run in runs),
    )


def _run(
    folder: Path, size: tuple[int, int], frames: int, device: str, flags: dict[str, Any]
) -> dict[str, Any]:
    out = folder / "scaling"
    shutil.rmtree(out, ignore_errors=True)
    paths = {
        "video_src": str(make_clip(folder, size, frames)),
        "video_bgr": str(make_plate(folder, size)),
        "output_dir": str(out),
    }
    facts = run_program("ours", paths | OUTPUTS["com png"] | {"device": device} | flags)
    shutil.rmtree(out, ignore_errors=True)
    return facts


def series(points: list[tuple[float, float, float]]) -> dict[str, Any]:
    x, seconds, mib = (list(column) for column in zip(*points, strict=True))
    slope, start = np.polyfit(x, seconds, 1)
    left = np.var(np.array(seconds) - (start + slope * np.array(x)))
    return {
        "x": x,
        "seconds": seconds,
        "mib": mib,
        "fit": [float(start), float(slope)],
        "r2": float(1 - left / np.var(seconds)),
    }


def write_docs(report: dict[str, Any], table: str, folder: Path) -> None:
    """Write ``scaling.png`` and ``speed.md``."""
    folder.mkdir(exist_ok=True)
    plot(report["scaling"], folder / "scaling.png")
    text = _TEXT.format(table=table, date=report["date"], machine=sentence(report["machine"]))
    (folder / "speed.md").write_text(text, encoding="utf-8")


def plot(series: dict[str, Any], path: Path) -> None:
    """Draw time and memory along each axis; the lines are straight fits."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, len(series), figsize=(11, 5.5), sharex="col", squeeze=False)
    for column, (name, part) in enumerate(series.items()):
        time, memory = grid[0, column], grid[1, column]
        start, slope = part["fit"]
        ends = np.array([0, part["x"][-1]])
        time.plot(ends, start + slope * ends, color="0.7")
        time.plot(part["x"], part["seconds"], "o", color="C0")
        time.set_title(f"R² = {part['r2']:.4f}", fontsize=10)
        time.set_ylabel("seconds a run" if name == "frames" else "seconds a frame")
        memory.plot(part["x"], part["mib"], "o-", color="C1")
        memory.set_ylabel("peak memory, MiB")
        memory.set_xlabel(name)
        for axes, highest in ((time, max(part["seconds"])), (memory, max(part["mib"]))):
            axes.set_ylim(0, 1.1 * highest)
            axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


_TEXT = """# What speed and memory depend on

Time grows in a straight line with the frames of a clip, with their pixels, and with the pixels that
are refined. Memory grows with the pixels of a frame, and not with the length of the clip.

![Time and memory against frames, pixels and refined pixels](scaling.png)

{table}

- Frames: clips of 480x270; seconds a run, without imports.
- Megapixels: seconds a frame, with the base network at a quarter of the size and 80,000 pixels
  refined, as by default up to 2880 pixels of width. Above that the defaults are an eighth and
  320,000, which makes 4K faster than shown here.
- Refined pixels: seconds a frame of 1920x1080, with random weights that expect an error everywhere;
  the built-in ones leave alone what they are sure of, and stop at fewer than 320,000.

Every run writes `com` as PNG, in a process of its own; memory is the most that it had. Measured
{date} on {machine}. `python -m benchmarks scaling` measures again and writes this page; it needs
`pip install '.[benchmarks]'`.
"""
