"""Choosing the source for a path."""

from pathlib import Path

from .images import ImageFolder, StillImage, is_image_name
from .sources import FrameSource, MediaError, Warn
from .video import VideoSource


def open_source(path: str | Path, warn: Warn, *, hold: bool = True) -> FrameSource:
    """Open a video file, a folder of images or an image.

    Args:
        path: What to open.
        warn: Called with one sentence for each oddity that the user should know about.
        hold: Whether an image file stands for as many frames as needed; else it is one frame.

    Raises:
        MediaError: Nothing can be read there.
    """
    path = Path(path)
    if path.is_dir():
        return ImageFolder.open(path)
    if not path.exists():
        raise MediaError(f"{path}: not found; expected a video, an image or a folder of images")
    if path.is_file() and path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty; expected a video or an image")
    if is_image_name(path):
        return StillImage(path) if hold else ImageFolder([path], name=str(path))
    return VideoSource(path, warn)
