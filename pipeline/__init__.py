"""The frame pipeline and what the user sees of it."""

from .console import Console
from .flags import read_flags
from .opening import Inputs, open_inputs, open_network
from .run import MattingResult, Run, logger
from .settings import Settings, UsageError

__all__ = [
    "Console",
    "Inputs",
    "MattingResult",
    "Run",
    "Settings",
    "UsageError",
    "logger",
    "open_inputs",
    "open_network",
    "read_flags",
]
