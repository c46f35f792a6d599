"""The frame pipeline and what the user sees of it."""

from .console import Console
from .finish import AlphaSmoother, Despeckler, alpha_steps
from .flags import read_flags
from .heap import tidy_heap
from .mend import MendedPlate, with_mended_plate
from .opening import Inputs, open_inputs, open_network, pick_frames
from .preflight import Look, PlateError, look, look_first
from .preview import FRAMES as PREVIEW_FRAMES
from .preview import Preview
from .result import MattingResult, logger
from .resume import check_resumable, made_from
from .run import Run
from .settings import Settings, UsageError

__all__ = [
    "PREVIEW_FRAMES",
    "AlphaSmoother",
    "Console",
    "Despeckler",
    "Inputs",
    "Look",
    "MattingResult",
    "MendedPlate",
    "PlateError",
    "Preview",
    "Run",
    "Settings",
    "UsageError",
    "alpha_steps",
    "check_resumable",
    "logger",
    "look",
    "look_first",
    "made_from",
    "open_inputs",
    "open_network",
    "pick_frames",
    "read_flags",
    "tidy_heap",
    "with_mended_plate",
]
