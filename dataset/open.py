"""Opens the source for a path."""

import re
from collections.abc import Sequence
from pathlib import Path

from media import Warn, os_errors_as

from .animation import AnimatedWebp
from .colourspace import ColourSpace
from .folder import ImageFolder, beside
from .images import (
    StillImage,
    count_images,
    is_frame_name,
    is_image_name,
    is_moving_name,
    is_opaque,
)
from .patterns import is_pattern
from .pipe import STDIN, PipeSource
from .png import SIGNATURE
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
    space: ColourSpace | None = None,
    alpha: bool = False,
) -> FrameSource:
    """Open a video file, a folder of images, a sequence of images, or an image.

    Args:
        path: The file or folder, or a pattern such as ``folder/shot.%04d.png``; ``-`` for a clip on
            standard input.
        warn: Called with one sentence for each oddity that the user should know about.
        hold: An image file stands for every frame; otherwise it is a clip of one frame.
        on_card: Decode a video on an NVIDIA card if there is one that can.
        besides: Images that the run uses for something else; see :meth:`ImageFolder.open`.
        space: The colour space of what has no profile; by default that of floats is linear.
        alpha: Read the alpha of a clip, too.

    Raises:
        MediaError: There is nothing that can be read.
    """
    path, space = Path(path), space or ColourSpace()
    if path == STDIN and not hold:
        return PipeSource(warn, space=space, alpha=alpha)
    with os_errors_as(MediaError, path, ValueError):
        if path.is_dir():
            return ImageFolder.open(path, warn, besides, space, alpha=alpha)
        if not path.exists():
            if is_pattern(path) and (is_frame_name(path) or path.suffix in ("", ".*")):
                return ImageFolder.open(path, warn, besides, space, alpha=alpha)
            raise _not_found(path)
        refuse_pipe(path)
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: the file is empty; expected a video or an image")
    count = count_images(path) if is_frame_name(path) else 0
    if is_image_name(path) or (is_moving_name(path) and count == 1):
        return _open_image(path, count, warn, hold, space, alpha)
    return VideoSource(path, warn, on_card=on_card, space=space, alpha=alpha)


def _open_image(
    path: Path, count: int, warn: Warn, hold: bool, space: ColourSpace, alpha: bool
) -> FrameSource:
    """An image, or an animation in a format of images."""
    if count > 1 and not hold:
        kind = path.read_bytes()[:12]
        if kind.startswith(SIGNATURE):
            return VideoSource(path, warn, space=space, alpha=alpha)
        if kind[8:] == b"WEBP":
            return AnimatedWebp(path, warn, space, alpha=alpha)
    if count > 1:
        warn(f"{path}: holds {count} images, and only the first is used")
    if hold:
        return StillImage(path, warn, space)
    if sequence := beside(path):
        pattern = path.with_name(sequence.pattern)
        warn(
            f"{path}: only this image is read, though it is one of {len(sequence.paths)} that are "
            f"numbered as {sequence.pattern}; to read all of them, give {pattern}"
        )
    return ImageFolder([path], name=str(path), warn=warn, space=space, alpha=alpha)


def _not_found(path: Path) -> MediaError:
    """The error for a path that is not there, with what works instead."""
    if str(path) == "-":
        return MediaError("-: only the clip can come from standard input; save this one to a file")
    if url := re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+(?=[^/])", str(path)):
        rest = str(path)[url.end() :]
        return MediaError(f"{url[1]}://{rest}: a URL cannot be read; download it to a file first")
    if is_pattern(path) and path.suffix:
        return MediaError(
            f"{path}: not found, and {path.suffix} is no format of images that can be read; "
            "convert the images to PNG, or give a pattern such as shot.%04d.png"
        )
    if is_pattern(path.parent):
        return MediaError(f"{path}: not found; only the name of the file may be a pattern")
    return MediaError(f"{path}: not found; expected a video, an image or a folder of images")
