"""Frames, plates and targets: where pictures come from and how they are paired."""

from .ahead import delayed, map_ahead
from .align import PlateAligner
from .factory import open_source
from .feed import DeviceBatch, DeviceFeed
from .images import FlatColour, ImageFolder, StillImage, parse_colour, read_image
from .pairs import FrameBatch, PairLoader
from .sources import Frame, FrameSource, MediaError
from .video import VideoSource

__all__ = [
    "DeviceBatch",
    "DeviceFeed",
    "FlatColour",
    "Frame",
    "FrameBatch",
    "FrameSource",
    "ImageFolder",
    "MediaError",
    "PairLoader",
    "PlateAligner",
    "StillImage",
    "VideoSource",
    "delayed",
    "map_ahead",
    "open_source",
    "parse_colour",
    "read_image",
]
