"""Whether memory stays flat: the peak of a short and a long run, also with a slow disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .whole import run_once

_SHORT_RUN_FRAMES = 10
#: Delay per image of each disk; the slow one takes longer than the stand-in network.
_SECONDS_PER_IMAGE = {"as it is": 0.0, "slow": 0.3}


def measure(
    sizes: dict[str, tuple[int, int]], folder: Path, many: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Peak memory of runs that write com as PNG, on the CPU.

    With the stand-in network, which is fast and allocates little, the disk is the bottleneck; with
    the built-in network, the network is.

    Args:
        sizes: (height, width) by name.
        folder: For clips and outputs.
        many: Frames of a long run.
        say: Receives a line about each run.

    Returns:
        One row for each size, disk and network, with the peaks in MiB.
    """
    rows = []
    for name, size in sizes.items():
        for disk, network in (
            ("as it is", "stand-in"),
            ("slow", "stand-in"),
            ("as it is", "built-in"),
        ):
            row: dict[str, Any] = {"size": name, "disk": disk, "network": network}
            for label, count in (("few", _SHORT_RUN_FRAMES), ("many", many)):
                row[label] = count
                row[f"{label}_mib"] = _peak(
                    folder, size, count, _SECONDS_PER_IMAGE[disk], network == "stand-in"
                )
                say(f"  {name} {disk} {network} {count} frames: {row[f'{label}_mib']:.0f} MiB")
            rows.append(row)
    return rows


def _peak(folder: Path, size: tuple[int, int], frames: int, slow: float, stand_in: bool) -> float:
    facts = run_once(folder, size, frames, device="cpu", slow_disk=slow, stand_in=stand_in)
    assert facts["frames"] == frames
    return float(facts["peak_mib"])
