"""The frame pipeline and what the user sees of it."""

from .console import Console
from .flags import HD_LIMIT, read_flags
from .run import MattingResult, Run

__all__ = ["HD_LIMIT", "Console", "MattingResult", "Run", "read_flags"]
