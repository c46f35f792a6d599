"""The source for a plate."""

from pathlib import Path

from dataset import (
    ClipFrame,
    ColourSpace,
    FrameSource,
    MediaError,
    open_source,
    warn_if_transparent,
)
from media import Warn, parse_time

from .auto import AutoPlate
from .diagnosis import camera_moves
from .marks import Marks
from .moving import MovingPlate
from .names import auto_clip, is_auto
from .wide import FoundPlates, homographies_beside


def open_plate(
    name: str | Path,
    src: FrameSource,
    warn: Warn,
    space: ColourSpace | None = None,
    marks: Marks | None = None,
) -> FrameSource:
    """Open a plate: a file or a folder, one frame of a clip (``CLIP@TIME``), or ``auto``.

    ``auto`` has one plate for each frame if the camera moves. ``auto:CLIP`` makes it from another
    clip. So has a wide plate that an earlier
    run made so, with its ``plate.json`` beside it.

    A file or folder whose name looks like ``CLIP@TIME`` comes first, and so does a file, but not a
    folder, that is called ``auto``.

    Args:
        name: What to open.
        src: The clip that ``auto`` looks at.
        warn: Called with one sentence for each oddity that the user should know about.
        space: The colour space of what has no profile.
        marks: What an artist knows of the frames of the clip.

    Raises:
        MediaError: There is no such plate, or what stands beside it is damaged.
    """
    if is_auto(name):
        return _made_plate(auto_clip(name), src, warn, space, marks)
    if Path(name).exists():
        plate = open_source(name, warn, space=space)
        warn_if_transparent(plate, Path(name), warn)
        beside = homographies_beside(Path(name)) if plate.still else None
        return plate if beside is None else FoundPlates.open(plate, beside)
    clip, at, moment = str(name).rpartition("@")
    time = parse_time(moment)
    if not at or (time is None and not Path(clip).is_file()):
        return open_source(name, warn, space=space)
    if not Path(clip).exists():
        raise MediaError(f"{clip}: not found; expected the clip that shows the plate")
    if time is None:
        raise MediaError(
            f"{name}: {moment!r} is not a time; expected one such as 2.5 or 00:00:02.5"
        )
    return ClipFrame(Path(clip), time, warn, space)


def _made_plate(
    other: Path | None, src: FrameSource, warn: Warn, space: ColourSpace | None, marks: Marks | None
) -> FrameSource:
    """A plate made from the clip ``src``, or for it from another one."""
    if other is None or _is_same(other, src):
        kind = MovingPlate if camera_moves(src) else AutoPlate
        return kind(src, warn, marks)
    clip = open_source(other, warn, hold=False, space=space)
    if camera_moves(clip) or (not src.once and camera_moves(src)):
        return MovingPlate(clip, warn, frames_of=src)
    return AutoPlate(clip, warn)


def _is_same(other: Path, src: FrameSource) -> bool:
    """Whether a path is that of a clip, which is named after it."""
    return Path(src.name).resolve() == other.resolve()
