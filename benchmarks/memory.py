"""Whether memory stays flat: the peak of a short and of a long run, onto a slow disk, too."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .clip import make_clip, make_plate
from .whole import OUTPUTS, run_program

_FEW = 10
#: Seconds that the slow disk takes for an image: longer than the stand-in takes to make one.
_SLOW = {"as it is": 0.0, "slow": 0.3}


def measure(
    sizes: dict[str, tuple[int, int]], folder: Path, many: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Peak memory of runs that write com as PNG, on the CPU.

    With a stand-in for the network, which is fast and keeps nothing, the disk is what is waited
    for; with the built-in network, it is the network.

    Args:
        sizes: (height, width) by name.
        folder: For clips and outputs.
        many: Frames of a long run.
        say: Told of each run.

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
            for label, count in (("few", _FEW), ("many", many)):
                row[label] = count
                row[f"{label}_mib"] = _peak(folder, size, count, _SLOW[disk], network == "stand-in")
                say(f"  {name} {disk} {network} {count} frames: {row[f'{label}_mib']:.0f} MiB")
            rows.append(row)
    return rows


def _peak(folder: Path, size: tuple[int, int], frames: int, slow: float, stand_in: bool) -> float:
    out = folder / "memory"
    shutil.rmtree(out, ignore_errors=True)
    flags = {
        "video_src": str(make_clip(folder, size, frames)),
        "video_bgr": str(make_plate(folder, size)),
        "output_dir": str(out),
        "device": "cpu",
        "slow_disk": slow,
        "stand_in": stand_in,
        **OUTPUTS["com png"],
    }
    facts = run_program("ours", flags)
    shutil.rmtree(out, ignore_errors=True)
    assert facts["frames"] == frames
    return float(facts["peak_mib"])
