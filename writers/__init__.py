"""Sinks: where mattes go."""

from .base import FrameWriter, WriteError
from .composite import error_map
from .factory import FORMATS
from .formats import Clip, Composer, Format, composer
from .images import ENCODERS, ImageSequenceWriter, save_png
from .memory import MemoryWriter
from .outputs import (
    KINDS,
    PLATE_NAME,
    PREVIEW_NAME,
    Kind,
    Output,
    OutputsExistError,
    listed_outputs,
    read_report,
)
from .quantize import to_levels
from .report import RunFolder
from .video import VideoWriter

__all__ = [
    "ENCODERS",
    "FORMATS",
    "KINDS",
    "PLATE_NAME",
    "PREVIEW_NAME",
    "Clip",
    "Composer",
    "Format",
    "FrameWriter",
    "ImageSequenceWriter",
    "Kind",
    "MemoryWriter",
    "Output",
    "OutputsExistError",
    "RunFolder",
    "VideoWriter",
    "WriteError",
    "composer",
    "error_map",
    "listed_outputs",
    "read_report",
    "save_png",
    "to_levels",
]
