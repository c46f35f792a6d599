"""Opens the source for a path."""

from collections.abc import Sequence
from pathlib import Path

from media import Warn, os_errors_as

from .folder import ImageFolder
from .images import StillImage, count_images, is_image_name, is_opaque
from .sources import FrameSource, MediaError, refuse_pipe
from .video import VideoSource


def warn_if_transparent(source: FrameSource, path: Path, warn: Warn) -> None:
    """Warn if an image has transparent pixels: its alpha is not used."""
    if isinstance(source, StillImage) and not is_opaque(path):
        warn(f"{path}: is transparent in parts; its alpha is ignored, so hidden colours are used")


def open_source(
    path: str | Path,
    warn: Warn,
    *,
    hold: bool = True,
    on_card: bool = False,
    besides: Sequence[Path] = (),
) -> FrameSource:
    """Open a video file, a folder of images or an image.

    Args:
        path: The file or folder.
        warn: Called with one sentence for each oddity that the user should know about.
        hold: An image file stands for every frame; otherwise it is a clip of one frame.
        on_card: Decode a video on an NVIDIA card if there is one that can.
        besides: Images that the run uses for something else; see :meth:`ImageFolder.open`.

    Raises:
        MediaError: There is nothing that can be read.
    """
    path = Path(path)
    with os_errors_as(MediaError, path):
        if path.is_dir():
            return ImageFolder.open(path, warn, besides)
        if not path.exists():
            raise MediaError(f"{path}: not found; expected a video, an image or a folder of images")
        refuse_pipe(path)
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: the file is empty; expected a video or an image")
    if is_image_name(path):
        if (count := count_images(path)) > 1:
            warn(f"{path}: holds {count} images, and only the first is used")
        return StillImage(path) if hold else ImageFolder([path], name=str(path))
    return VideoSource(path, warn, on_card=on_card)
