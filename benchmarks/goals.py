"""Performance goals, and whether a report meets them."""

from collections.abc import Iterator
from typing import Any

from .machine import cores

_HD_SIZE, _4K_SIZE = "1920x1080", "3840x2160"
_MIB_PER_GIB = 1024


def goals(report: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Every goal that the report has figures for.

    Returns:
        (goal, target, measured, ``reached`` or ``missed``).
    """
    on_gpu = "gpu" in report["machine"]
    whole = report.get("whole", [])
    found = [*_whole(whole, on_gpu), *_network(report.get("network", []), on_gpu)]
    found += _mp4(whole) if on_gpu else []
    for row in report.get("memory", []):
        growth = row["many_mib"] / row["few_mib"] - 1
        run = f"{row['size']}, {row['disk']}, {row['network']}"
        name = f"memory of {row['many']} frames relative to {row['few']}, {run}"
        found.append((name, "at most", 1.1, 1 + growth))
    return [
        (name, f"{relation} {target:g}", f"{measured:.2f}", _verdict(relation, target, measured))
        for name, relation, target, measured in found
    ]


Goal = tuple[str, str, float, float]


def _whole(rows: list[dict[str, Any]], on_gpu: bool) -> Iterator[Goal]:
    for row in rows:
        name = f"{row['size']} {row['outputs']} {row['backbone']} {row['precision']}"
        speed = row["ours"]["frames"] / row["ours"]["run_s"]
        is_com = row["outputs"] == "com png"
        if on_gpu:
            yield f"{name}: times the slowest stage alone", "at most", 1.15, row["to_slowest_stage"]
            if row["size"] == _4K_SIZE:
                yield f"{name}: GPU GiB", "below", 4, row["ours"]["gpu_peak_mib"] / _MIB_PER_GIB
            if is_com and row["size"] == _HD_SIZE:
                yield f"{name}: times the baseline", "at least", 8, row["ratio"]
                yield f"{name}: frames/s ({cores()} cores)", "at least", 150, speed
            elif is_com and row["size"] == _4K_SIZE:
                yield f"{name}: frames/s ({cores()} cores)", "at least", 40, speed
        elif is_com and row["size"] == _HD_SIZE:
            target = {"mobilenetv2": 1.8 if row["precision"] == "fp32" else 3.0}
            yield (
                f"{name}: times the baseline",
                "at least",
                target.get(row["backbone"], 2.5),
                row["ratio"],
            )
        if is_com and row["size"] == _4K_SIZE and row["ours"]["peak_mib"] is not None:
            yield f"{name}: host GiB", "below", 6, row["ours"]["peak_mib"] / _MIB_PER_GIB


def _mp4(rows: list[dict[str, Any]]) -> Iterator[Goal]:
    """The goals that videos are written as fast as images."""
    seconds = {
        (row["size"], row["precision"], row["outputs"]): row["ours"]["run_s"] for row in rows
    }
    for (size, precision, outputs), run in seconds.items():
        images = seconds.get((size, precision, "com png"))
        if outputs == "mp4" and images is not None:
            speed = images / run
            yield f"{size} mp4 {precision}: speed relative to com png", "at least", 1.0, speed


def _network(rows: list[dict[str, Any]], on_gpu: bool) -> Iterator[Goal]:
    plain = {
        (row["size"], row["backbone"]): row["ms"]
        for row in rows
        if (row["path"], row["precision"]) == ("plain", "fp32")
    }
    half = "fp16" if on_gpu else "bf16"
    for row in rows:
        base = plain.get((row["size"], row["backbone"]))
        if row["path"] == "fast" and row["precision"] == half and base is not None:
            name = f"network {row['size']} {row['backbone']} {half}: times plain fp32"
            yield name, "at least", 4.0 if on_gpu else 2.5, base / row["ms"]


def _verdict(relation: str, target: float, measured: float) -> str:
    reached = measured >= target if relation == "at least" else measured <= target
    return "reached" if reached else "missed"
