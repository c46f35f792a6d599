"""Names of outputs in the folder of a run."""

import re
from pathlib import PurePosixPath

from .formats import Format, Kind

#: The number in the name of a frame's file, as one # for each digit.
NUMBER = re.compile("#+")
DEFAULT_PATTERN = "#####"
#: What a folder or a file may be called: nothing that leads elsewhere, and no hidden one.
_PART = r"[^./\\\\:\x00-\x1f\x7f][^/\\\\:\x00-\x1f\x7f]*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_MAX_LENGTH = 200
#: What the program writes besides.
_TAKEN = re.compile(r"(run|preview|plate)\b.*", re.IGNORECASE)


def is_safe_path(path: str) -> bool:
    """Whether a relative path, with slashes, stays within its folder."""
    return len(path) <= _MAX_LENGTH and bool(_PATH.fullmatch(path))


def place_output(
    name: str | None,
    kind: Kind,
    form: Format,
    *,
    digits: int = len(DEFAULT_PATTERN),
    label: str = "",
) -> tuple[str, str]:
    """The path and the pattern of an output, as :class:`writers.Output` has them.

    Args:
        name: As in ``--output-name``; None for the usual names.
        kind: Takes the place of ``{kind}``.
        form: Its extension takes the place of ``{ext}``.
        digits: Digits of a number in the usual names.
        label: The frames of the run, which the name of a video tells; empty for a whole clip.

    Raises:
        ValueError: The name leads out of the folder, or is none.
    """
    if name is None:
        name = f"{{kind}}/{digits * '#'}.{{ext}}" if form.is_images else "{kind}.{ext}"
    path = name.replace("{kind}", kind).replace("{ext}", form.extension)
    place = PurePosixPath(path)
    if not is_safe_path(path):
        raise ValueError("is no name within --output-dir; expected one such as {kind}/####.{ext}")
    if _TAKEN.fullmatch(path):
        raise ValueError("is what the program calls its report, its plate or its preview")
    if place.suffix != f".{form.extension}":
        raise ValueError(f"expected .{{ext}} or .{form.extension} at the end")
    found = NUMBER.findall(path)
    if form.is_images and (len(found) != 1 or "#" not in place.name):
        raise ValueError("expected one #### for the number, in the name of the file")
    if not form.is_images and found:
        raise ValueError("has #### for the number of a frame, and a video is one file")
    if form.is_images:
        return str(place.parent), place.stem
    return str(place.with_suffix(f".{label}{place.suffix}") if label else place), DEFAULT_PATTERN
