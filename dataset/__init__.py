"""Frames, plates and targets: where pictures come from and how they are paired."""

from .ahead import delayed, map_ahead
from .align import PlateAligner
from .autoplate import AutoPlate, sample_evenly
from .colour import FlatColour, parse_colour
from .decode import open_media
from .densest import densest_of_clip
from .factory import open_plate, open_source, plate_file, warn_if_transparent
from .feed import DeviceBatch, DeviceFeed
from .fit import check_plate, resize
from .folder import ImageFolder, frames_in
from .glance import PickedFrames, glance, spread
from .images import StillImage, is_opaque, read_image
from .match import PlateMatcher
from .pairs import ALIGN_MODES, AlignMode, FrameBatch, PairLoader
from .rgb import LeftSited
from .sources import Frame, FrameSource, HeldPictures, MediaError, exact_rate
from .video import VideoSource

__all__ = [
    "ALIGN_MODES",
    "AlignMode",
    "AutoPlate",
    "DeviceBatch",
    "DeviceFeed",
    "FlatColour",
    "Frame",
    "FrameBatch",
    "FrameSource",
    "HeldPictures",
    "ImageFolder",
    "LeftSited",
    "MediaError",
    "PairLoader",
    "PickedFrames",
    "PlateAligner",
    "PlateMatcher",
    "StillImage",
    "VideoSource",
    "check_plate",
    "delayed",
    "densest_of_clip",
    "exact_rate",
    "frames_in",
    "glance",
    "is_opaque",
    "map_ahead",
    "open_media",
    "open_plate",
    "open_source",
    "parse_colour",
    "plate_file",
    "read_image",
    "resize",
    "sample_evenly",
    "spread",
    "warn_if_transparent",
]
