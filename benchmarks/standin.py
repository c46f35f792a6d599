"""Stand-ins for memory measurements of long runs: a network without weights, a slow disk."""

import time
from pathlib import Path

from torch import Tensor, nn

from model import BaseOutput
from writers import ImageSequenceWriter


class DifferenceNetwork(nn.Module):
    """A network whose alpha is the difference between frame and plate."""

    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        pha = (src[:, :1] - bgr[:, :1]).abs_().mul_(4).clamp_(0, 1)
        return BaseOutput(pha, src, pha, pha)


class SlowImages(ImageSequenceWriter):
    """Saves PNGs like a disk that takes ``seconds`` for each."""

    def __init__(self, path: str | Path, seconds: float):
        self._seconds = seconds
        super().__init__(path, "png")

    def _save(self, frame: Tensor, number: int) -> None:
        time.sleep(self._seconds)
        super()._save(frame, number)
