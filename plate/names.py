"""Names of plates and of modes, as settings have them."""

from pathlib import Path
from typing import Literal

#: Whether to align the plate with each frame, or once for the whole clip.
AlignMode = Literal["frame", "static"]


def is_auto(name: str | Path) -> bool:
    """Whether the plate is made from the clip itself; a file called ``auto`` comes first."""
    return str(name) == "auto" and not Path(name).is_file()


def plate_file(name: str | Path) -> Path | None:
    """The file or folder that a plate is read from: that of the clip for ``CLIP@TIME``.

    None for ``auto``, which is read from the clip that is matted.
    """
    if is_auto(name):
        return None
    clip, at, _ = str(name).rpartition("@")
    return Path(clip) if at and not Path(name).exists() else Path(name)
