"""The machine and the library versions of a measurement."""

import os
import platform
from pathlib import Path
from typing import Any

import av
import cv2
import torch

#: CPU flags that decide how fast a network runs.
_CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe(device: torch.device) -> dict[str, Any]:
    """The machine and the versions, as values for JSON."""
    facts: dict[str, Any] = {
        "cpu": _cpu_info().get("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "flags": [flag for flag in _CPU_FLAGS if flag in _cpu_info().get("flags", "").split()],
        "memory_gib": _memory_gib(),
        "device": str(device),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "av": av.__version__,
            "opencv": cv2.__version__,
        },
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts["gpu"] = properties.name
        facts["gpu_memory_gib"] = round(properties.total_memory / 2**30, 1)
        facts["versions"]["cuda"] = torch.version.cuda
    return facts


def sentence(machine: dict[str, Any]) -> str:
    """The machine on one line."""
    gpu = f"{machine['gpu']} ({machine['gpu_memory_gib']} GiB), " if "gpu" in machine else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    flags = " ".join(machine["flags"])
    missing = " ".join(flag for flag in _CPU_FLAGS if flag not in machine["flags"]) or "none"
    return (
        f"{gpu}{machine['cpu']}, {machine['cores']} cores ({flags}; without: {missing}), "
        f"{machine['memory_gib']} GiB; {machine['system']}; {versions}"
    )


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_info() -> dict[str, str]:
    """The fields of the first processor in Linux's list; empty on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
