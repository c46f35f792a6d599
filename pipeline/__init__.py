"""The frame pipeline and what the user sees of it."""

from .console import Console
from .flags import read_flags
from .run import MattingResult, Run

__all__ = ["Console", "MattingResult", "Run", "read_flags"]
