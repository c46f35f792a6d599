"""The figures of a report as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

from . import workers
from .goals import goals
from .machine import sentence


def markdown(report: dict[str, Any]) -> str:
    """All tables of a report, with its date, its machine and its command."""
    parts = [f"## {report['date']}", sentence(report["machine"])]
    parts.append(f"`python -m benchmarks {report['command']}`".replace(" `", "`"))
    for name, table in (
        ("network", _network),
        ("whole", _whole),
        ("precision", _precision),
        ("memory", _memory),
        ("scaling", _scaling),
        ("workers", workers.table),
    ):
        if name in report:
            parts.append(table(report[name]))
    if rows := goals(report):
        parts.append(_table(("goal", "target", "measured", ""), rows))
    return "\n\n".join(parts) + "\n"


def _network(rows: list[dict[str, Any]]) -> str:
    text = _table(
        ("size", "backbone", "precision", "path", "ms per frame", "times plain", "first frame, s"),
        (
            (
                row["size"],
                row["backbone"],
                row["precision"],
                row["path"],
                f"{row['ms']:.0f}" if row["ms"] >= 20 else f"{row['ms']:.1f}",
                f"{_plain(rows, row) / row['ms']:.2f}",
                f"{row['first_s']:.2f}",
            )
            for row in rows
        ),
    )
    patches = sorted({row["patches"] for row in rows})
    note = (
        "Times plain: speed relative to the plain network in float32. Patches refined: "
        f"{', '.join(f'{count:,}' for count in patches)}. Weights: built-in for mobilenetv2, "
        "random ones that see the difference to the plate for the others."
    )
    return f"### Network\n\n{text}\n\n{note}"


def _precision(rows: list[dict[str, Any]]) -> str:
    text = _table(
        ("clip", "frames", "precision", "mean", "99.9th percentile", "largest", "other patches"),
        (
            (
                row["clip"],
                str(row["frames"]),
                row["precision"],
                f"{row['mean']:.3f}",
                f"{row['p99.9']:.2f}",
                f"{row['largest']:.1f}",
                f"{row['other_patches']:.2%}",
            )
            for row in rows
        ),
    )
    note = (
        "Absolute difference of alpha from float32, in levels of 255, with the built-in weights. "
        "Other patches: those that only one of the two refines."
    )
    return f"### Half precision\n\n{text}\n\n{note}"


def _plain(rows: list[dict[str, Any]], row: dict[str, Any]) -> float:
    """Milliseconds of the plain network in float32; NaN if that was not measured."""
    for other in rows:
        same = all(other[key] == row[key] for key in ("size", "backbone"))
        if same and (other["path"], other["precision"]) == ("plain", "fp32"):
            return float(other["ms"])
    return float("nan")


def _whole(rows: list[dict[str, Any]]) -> str:
    def rate(row: dict[str, Any], program: str) -> tuple[str, ...]:
        run = row[program]
        frames = run["frames"]
        speeds = (frames / run["run_s"], 1 / run["steady_s_a_frame"], frames / run["process_s"])
        return tuple(f"{speed:.2f}" for speed in speeds)

    speeds = _table(
        (
            *("size", "outputs", "network", "frames"),
            *("baseline: run", "steady", "process", "ours: run", "steady", "process"),
            *("ratio", "steady", "process"),
        ),
        (
            (
                *(row["size"], row["outputs"], f"{row['backbone']} {row['precision']}"),
                *(str(row["frames"]), *rate(row, "baseline"), *rate(row, "ours")),
                f"**{row['ratio']:.2f}**",
                f"{row['ratio_steady']:.2f}",
                f"{row['ratio_with_imports']:.2f}",
            )
            for row in rows
        ),
    )
    stages = _table(
        (
            *("size", "outputs", "network", "busy: read", "network", "write"),
            *("alone, ms: read", "network", "write", "ours, ms", "to slowest alone"),
            *("peak MiB: baseline", "ours", "GPU peak MiB"),
        ),
        (
            (
                *(row["size"], row["outputs"], f"{row['backbone']} {row['precision']}"),
                *(f"{row['busy'][stage]:.0%}" for stage in ("read", "network", "write")),
                *(f"{row['alone_ms'][stage]:.1f}" for stage in ("read", "network", "write")),
                f"{row['ours']['steady_s_a_frame'] * 1000:.1f}",
                f"{row['to_slowest_stage']:.2f}",
                *(_mib(row[program]["peak_mib"]) for program in ("baseline", "ours")),
                _mib(row["ours"]["gpu_peak_mib"]),
            )
            for row in rows
        ),
    )
    note = (
        f"Frames per second, medians of {rows[0]['pairs']} pairs. Run: the program's own time "
        "without imports, from opening the inputs to closing the last file; the ratio uses it. "
        "Steady: without the first tenth of the frames. Process: with imports."
    )
    return f"### Whole runs\n\n{speeds}\n\n{note}\n\n### Stages\n\n{stages}"


def _memory(rows: list[dict[str, Any]]) -> str:
    table = _table(
        ("size", "disk", "network", "frames", "peak MiB", "frames", "peak MiB", "growth"),
        (
            (
                *(row["size"], row["disk"], row["network"]),
                *(str(row["few"]), f"{row['few_mib']:.0f}"),
                *(str(row["many"]), f"{row['many_mib']:.0f}"),
                f"{row['many_mib'] / row['few_mib'] - 1:+.1%}",
            )
            for row in rows
        ),
    )
    return f"### Memory\n\n{table}"


def _scaling(series: dict[str, Any]) -> str:
    return f"### Scaling\n\n{scaling(series)}"


def scaling(series: dict[str, Any]) -> str:
    """The fitted lines of the times, and the range of the memory."""
    return _table(
        ("against", "from", "to", "time", "R²", "memory, MiB: minimum", "maximum"),
        (
            (
                name,
                f"{part['x'][0]:,g}",
                f"{part['x'][-1]:,g}",
                f"{part['fit'][0]:.3g} s + {part['fit'][1]:.3g} s each",
                f"{part['r2']:.4f}",
                f"{min(part['mib']):.0f}",
                f"{max(part['mib']):.0f}",
            )
            for name, part in series.items()
        ),
    )


def _mib(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
