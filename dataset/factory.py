"""Choosing the source for a path."""

from collections.abc import Sequence
from pathlib import Path

from .autoplate import AutoPlate
from .clipframe import ClipFrame, parse_time
from .folder import ImageFolder
from .images import StillImage, is_image_name, is_opaque, pictures_in
from .sources import FrameSource, MediaError, Warn, refuse_pipe
from .video import VideoSource


def open_plate(name: str | Path, src: FrameSource, warn: Warn) -> FrameSource:
    """Open a plate: a file or a folder, one frame of a clip (``CLIP@TIME``), or ``auto``.

    A file that is really called so comes first, and a folder, but for one called ``auto``.

    Args:
        name: What to open.
        src: The clip that ``auto`` looks at.
        warn: Called with one sentence for each oddity that the user should know about.

    Raises:
        MediaError: There is no such plate.
    """
    if _is_auto(name):
        return AutoPlate(src, warn)
    if Path(name).exists():
        plate = open_source(name, warn)
        warn_if_transparent(plate, Path(name), warn)
        return plate
    clip, at, moment = str(name).rpartition("@")
    time = parse_time(moment)
    if not at or (time is None and not Path(clip).is_file()):
        return open_source(name, warn)
    if not Path(clip).exists():
        raise MediaError(f"{clip}: not found; expected the clip to take a frame of as the plate")
    if time is None:
        raise MediaError(f"{name}: {moment!r} is no time; expected one such as 2.5 or 00:00:02.5")
    return ClipFrame(Path(clip), time, warn)


def warn_if_transparent(source: FrameSource, path: Path, warn: Warn) -> None:
    """Tell of an image that is used as if it had no alpha, and has some."""
    if isinstance(source, StillImage) and not is_opaque(path):
        warn(f"{path}: is transparent in parts; the colours that are hidden there are used")


def plate_file(name: str | Path) -> Path | None:
    """The file or folder that a plate is read from: that of the clip for ``CLIP@TIME``.

    None for ``auto``, which is read from the clip that is matted.
    """
    if _is_auto(name):
        return None
    clip, at, _ = str(name).rpartition("@")
    return Path(clip) if at and not Path(name).exists() else Path(name)


def _is_auto(name: str | Path) -> bool:
    return str(name) == "auto" and not Path(name).is_file()


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
        path: What to open.
        warn: Called with one sentence for each oddity that the user should know about.
        hold: Whether an image file stands for as many frames as needed; else it is one frame.
        on_card: Decode a video on an NVIDIA card, where there is one that can.
        besides: Images that the run uses for something else; see :meth:`ImageFolder.open`.

    Raises:
        MediaError: Nothing can be read there.
    """
    path = Path(path)
    if path.is_dir():
        return ImageFolder.open(path, warn, besides)
    if not path.exists():
        raise MediaError(f"{path}: not found; expected a video, an image or a folder of images")
    refuse_pipe(path)
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty; expected a video or an image")
    if is_image_name(path):
        if (count := pictures_in(path)) > 1:
            warn(f"{path}: holds {count} pictures, and only the first is used")
        return StillImage(path) if hold else ImageFolder([path], name=str(path))
    return VideoSource(path, warn, on_card=on_card)
