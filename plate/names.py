"""Names of plates and of modes, as settings have them."""

from pathlib import Path
from typing import Literal

#: Whether to align the plate with each frame, or once for the whole clip.
AlignMode = Literal["frame", "static"]


#: Stands before the clip that a plate is made from, if it is not the one that is matted.
_AUTO_OF = "auto:"


def is_auto(name: str | Path) -> bool:
    """Whether the plate is made from a clip; a file of that name comes first."""
    text = str(name)
    return (text == "auto" or text.startswith(_AUTO_OF)) and not Path(name).is_file()


def auto_clip(name: str | Path) -> Path | None:
    """The clip of ``auto:CLIP``; None for ``auto``, which is the one that is matted."""
    text = str(name)
    return Path(text.removeprefix(_AUTO_OF)) if text.startswith(_AUTO_OF) else None


def plate_file(name: str | Path) -> Path | None:
    """The file or folder that a plate is read from: that of the clip for ``CLIP@TIME``.

    That of ``auto:CLIP`` is the clip, too; None for ``auto``, which is read from the clip that is
    matted.
    """
    if is_auto(name):
        return auto_clip(name)
    clip, at, _ = str(name).rpartition("@")
    return Path(clip) if at and not Path(name).exists() else Path(name)
