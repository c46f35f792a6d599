"""How time and memory grow with frames, pixels and refined pixels, with a plot."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .machine import sentence
from .weights import random_checkpoint
from .whole import run_once

_SMALL_SIZE = (270, 480)
_HD_SIZE = (1080, 1920)
#: (height, width), multiples of 4, from 0.25 to 8.3 megapixels.
_SIZES = (
    (376, 672),
    (540, 960),
    (768, 1360),
    (1080, 1920),
    (1440, 2560),
    (1800, 3200),
    (2160, 3840),
)
_REFINED_PIXELS = (0, 40_000, 80_000, 160_000, 240_000, 320_000)

Say = Callable[[str], None]


def measure(
    folder: Path,
    device: str,
    say: Say,
    *,
    longest: int = 3000,
    short: int = 12,
    sizes: tuple[tuple[int, int], ...] = _SIZES,
    refined: tuple[int, ...] = _REFINED_PIXELS,
) -> dict[str, Any]:
    """Run the program along each of three axes; it writes com as PNG.

    Args:
        folder: For clips and outputs.
        device: As for ``--device``.
        say: Receives a line about each run.
        longest: Frames of the longest clip; the others have a third, a tenth and a thirtieth.
        short: Frames of the clips for seconds per frame.
        sizes: (height, width) of these clips; the backbone scale is 1/4, and 80,000 pixels are
            refined.
        refined: Pixels to refine, in frames of HD or of the largest of ``sizes`` if smaller.

    Returns:
        By axis: ``x``, ``seconds`` (of a run, or of a frame), ``mib`` (the peak), and the straight
        line through the times: ``fit`` (start, slope) and ``r2``.
    """
    frames = [longest // 30, longest // 10, longest // 3, longest]
    fixed = {"model_backbone_scale": 0.25, "model_refine_sample_pixels": 80_000}
    medium = min(_HD_SIZE, max(sizes))
    checkpoint = str(random_checkpoint(folder, "mobilenetv2"))  # the built-in weights refine fewer
    runs: dict[str, list[tuple[float, float, float]]] = {"frames": [], "megapixels": []}
    runs["refined pixels"] = []
    for count in frames:
        run = run_once(folder, _SMALL_SIZE, count, device=device, **fixed)
        runs["frames"].append((count, run["run_s"], run["peak_mib"]))
    for size in sizes:
        seconds, mib = _per_frame(folder, size, short, device, fixed)
        runs["megapixels"].append((size[0] * size[1] / 1e6, seconds, mib))
    for pixels in refined:
        flags = fixed | {"model_refine_sample_pixels": pixels, "model_checkpoint": checkpoint}
        runs["refined pixels"].append((pixels, *_per_frame(folder, medium, short, device, flags)))
    for name, points in runs.items():
        for x, seconds, mib in points:
            say(f"  {name} {x:,g}: {seconds:.3f} s, {mib:.0f} MiB")
    return {name: series(points) for name, points in runs.items()}


def _per_frame(
    folder: Path, size: tuple[int, int], frames: int, device: str, flags: dict[str, Any]
) -> tuple[float, float]:
    """Seconds per frame (median of three runs), and peak memory in MiB."""
    runs = [run_once(folder, size, frames, device=device, **flags) for _ in range(3)]
    return (
        statistics.median(run["steady_s_a_frame"] for run in runs),
        max(run["peak_mib"] for run in runs),
    )


def series(points: list[tuple[float, float, float]]) -> dict[str, Any]:
    """The points (x, seconds, MiB) of one axis, with a straight line fitted to the times."""
    x, seconds, mib = (list(column) for column in zip(*points, strict=True))
    slope, start = np.polyfit(x, seconds, 1)
    residual = np.var(np.array(seconds) - (start + slope * np.array(x)))
    return {
        "x": x,
        "seconds": seconds,
        "mib": mib,
        "fit": [float(start), float(slope)],
        "r2": float(1 - residual / np.var(seconds)),
    }


def write_docs(report: dict[str, Any], table: str, folder: Path) -> None:
    """Write ``scaling.png`` and ``speed.md`` to ``folder``."""
    folder.mkdir(exist_ok=True)
    plot(report["scaling"], folder / "scaling.png")
    text = _TEXT.format(table=table, date=report["date"], machine=sentence(report["machine"]))
    (folder / "speed.md").write_text(text, encoding="utf-8")


def plot(series: dict[str, Any], path: Path) -> None:
    """Plot time and memory along each axis, with the fitted lines, to ``path``."""
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
        time.set_ylabel("seconds per run" if name == "frames" else "seconds per frame")
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

Time grows linearly with the number of frames, with the pixels of a frame, and with the number of
refined pixels. Memory grows with the pixels of a frame, but not with the length of the clip.

![Time and memory against frames, pixels and refined pixels](scaling.png)

{table}

- Frames: clips of 480x270; seconds per run, without imports.
- Megapixels: seconds per frame, with a backbone scale of 1/4 and 80,000 refined pixels, which are
  the defaults up to a width of 2880 pixels. Above that the defaults are 1/8 and 320,000, which
  makes 4K faster than shown here.
- Refined pixels: seconds per frame of 1920x1080, with random weights that predict an error
  everywhere. The built-in weights skip patches without a predicted error, and refine fewer than
  320,000 pixels.

Every run writes `com` as PNG in its own process; memory is the peak. Measured {date} on {machine}.
`python -m benchmarks scaling` repeats the measurement and writes this page; it needs
`pip install '.[benchmarks]'`.
"""
