"""Sinks: where mattes go."""

from .base import FrameWriter, WriteError
from .images import ImageSequenceWriter
from .memory import MemoryWriter
from .video import VideoWriter

__all__ = ["FrameWriter", "ImageSequenceWriter", "MemoryWriter", "VideoWriter", "WriteError"]
