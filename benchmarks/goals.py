"""What is asked of the program, and whether a report reaches it."""

from collections.abc import Iterator
from typing import Any

from .machine import cores

_HD, _4K = "1920x1080", "3840x2160"
_GIB = 1024  # in MiB


def goals(report: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Every goal that the report's figures say something about.

    Returns:
        (what, asked for, measured, ``reached`` or ``missed``).
    """
    on_gpu = "gpu" in report["machine"]
    whole = report.get("whole", [])
    found = [*_whole(whole, on_gpu), *_network(report.get("network", []), on_gpu)]
    found += _mp4(whole) if on_gpu else []
    for row in report.get("memory", []):
        growth = row["many_mib"] / row["few_mib"] - 1
        run = f"{row['size']}, {row['disk']}, {row['network']}"
        name = f"memory of {row['many']} frames beside {row['few']}, {run}"
        found.append((name, "at most", 1.1, 1 + growth))
    return [
        (name, f"{relation} {asked:g}", f"{measured:.2f}", _verdict(relation, asked, measured))
        for name, relation, asked, measured in found
    ]


Goal = tuple[str, str, float, float]


def _whole(rows: list[dict[str, Any]], on_gpu: bool) -> Iterator[Goal]:
    for row in rows:
        name = f"{row['size']} {row['outputs']} {row['backbone']} {row['precision']}"
        speed = row["ours"]["frames"] / row["ours"]["run_s"]
        is_com = row["outputs"] == "com png"
        if on_gpu:
            yield f"{name}: times the slowest stage alone", "at most", 1.15, row["to_slowest_stage"]
            if row["size"] == _4K:
                yield f"{name}: GPU GiB", "below", 4, row["ours"]["gpu_peak_mib"] / _GIB
            if is_com and row["size"] == _HD:
                yield f"{name}: times the baseline", "at least", 8, row["ratio"]
                yield f"{name}: frames/s ({cores()} cores)", "at least", 150, speed
            elif is_com and row["size"] == _4K:
                yield f"{name}: frames/s ({cores()} cores)", "at least", 40, speed
        elif is_com and row["size"] == _HD:
            asked = {"mobilenetv2": 1.8 if row["precision"] == "fp32" else 3.0}
            yield (
                f"{name}: times the baseline",
                "at least",
                asked.get(row["backbone"], 2.5),
                row["ratio"],
            )
        if is_com and row["size"] == _4K and row["ours"]["peak_mib"] is not None:
            yield f"{name}: host GiB", "below", 6, row["ours"]["peak_mib"] / _GIB


def _mp4(rows: list[dict[str, Any]]) -> Iterator[Goal]:
    """Whether videos are as fast as images."""
    seconds = {
        (row["size"], row["precision"], row["outputs"]): row["ours"]["run_s"] for row in rows
    }
    for (size, precision, outputs), run in seconds.items():
        images = seconds.get((size, precision, "com png"))
        if outputs == "mp4" and images is not None:
            yield f"{size} mp4 {precision}: speed beside com png", "at least", 1.0, images / run


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


def _verdict(relation: str, asked: float, measured: float) -> str:
    reached = measured >= asked if relation == "at least" else measured <= asked
    return "reached" if reached else "missed"
