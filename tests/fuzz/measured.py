"""The program with its peak of memory, for a process of its own."""

import resource
from pathlib import Path

from inference_video import main


def run_measured(argv: list[str]) -> int:
    """Run the command line, and leave how much memory it took, in MB, in ``.peak``."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = main(argv)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    Path(".peak").write_text(str(peak // 1000))
    return status
