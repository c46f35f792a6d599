"""What a run reports."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .bottleneck import Stage

logger = logging.getLogger("bgmv2")

#: Level of what a run says it does or did, such as a long wait: shown, but no warning.
NOTE = logging.WARNING + 1
logging.addLevelName(NOTE, "NOTE")


@dataclass
class MattingResult:
    """What a run did.

    Attributes:
        frames: Frames matted, including those of an earlier run that this one resumed.
        resumed: How many the earlier run had matted.
        seconds: Duration from the first frame read to the last file closed.
        outputs: The videos and folders written.
        warnings: Everything that was repaired or assumed, one sentence each.
        repeated_frames: Numbers of frames that could not be decoded; each repeats the frame before,
            or at the start of the clip the first one that could be decoded.
        times: With images of a clip whose frame rate varies, the time of each frame in seconds
            since the first one. None otherwise, and for more than 100,000 frames.
        busy: Share of the time, in [0, 1], that each stage was at work: the thread that reads
            (``read``), the device from receiving a batch to returning its frames (``network``),
            and the threads of the busiest sink, on average (``write``). They overlap.
        waited: Share of the time, in [0, 1], that the run waited for each stage; they add up to 1.
            ``write`` is for room in the queues of the sinks, and for the last file to be closed.
        bottleneck: The stage that was waited for longest, and what would help, as a sentence.
        note: What the user should know of the output, as a sentence; None without such a thing.
        coding: The matrix and the range that a video was read with, by name, and what decided each
            (``matrix_by``, ``range_by``): a ``flag``, its ``tags``, the ``plate`` or the
            ``convention``. None for images.
        preflight: What the preflight found; see :class:`plate.Diagnosis`. None without it.
        alignment: With alignment, the frames aligned, those left unaligned, and the largest share
            of a frame that its plate left uncovered.
        matching: With matched colours, the frames fitted, those that were not, and the largest
            change of a medium grey, in levels of 255.
        region: With a region of interest, the mean share of a frame that was looked at, and how
            many frames had which backbone scale.
        mending: With a repaired plate, the share of it, in [0, 1], that the clip replaced.
    """

    frames: int = 0
    resumed: int = 0
    seconds: float = 0.0
    outputs: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    repeated_frames: list[int] = field(default_factory=list)
    times: list[float] | None = None
    busy: dict[str, float] = field(default_factory=dict)
    waited: dict[Stage, float] = field(default_factory=dict)
    bottleneck: str = ""
    note: str | None = None
    coding: dict[str, str | None] | None = None
    preflight: dict[str, Any] | None = None
    alignment: dict[str, float] | None = None
    matching: dict[str, float] | None = None
    region: dict[str, Any] | None = None
    mending: dict[str, float] | None = None

    @property
    def speed(self) -> float:
        """Frames per second, of those that this run matted; 0 before its end."""
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0

    def warn(self, message: str) -> None:
        """Keep a warning, and log it, once."""
        if message not in self.warnings:
            self.warnings.append(message)
            logger.warning(message)
