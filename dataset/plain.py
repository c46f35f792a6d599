"""Folders that hold one plain sequence and nothing else, which are read fast."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, overload

from .images import IMAGE_EXTENSIONS

#: A name that ends with a number and an extension. Before the number there may be no hyphen, which
#: may be a minus, and nothing by which copies of a file are told.
_NAME = re.compile(r"((?:[^(]*[^-(\d])?)(\d+)(\.[A-Za-z0-9]+)", re.ASCII)


class PathsIn(Sequence[Path]):
    """Paths in a folder, each made when it is asked for.

    Args:
        folder: The folder.
        names: Names of files in it.
    """

    def __init__(self, folder: Path, names: list[str]):
        self.folder, self.names = folder, names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, at: int) -> Path: ...
    @overload
    def __getitem__(self, at: slice) -> "PathsIn": ...
    def __getitem__(self, at: int | slice) -> "Path | PathsIn":
        if isinstance(at, slice):
            return PathsIn(self.folder, self.names[at])
        return self.folder / self.names[at]

    def file(self, at: int) -> str:
        """A path as text, which is made several times as fast."""
        return os.path.join(self.folder, self.names[at])


class PlainSequence(NamedTuple):
    """The images of a folder, in order: their paths, their numbers, and the digits of these."""

    paths: PathsIn
    numbers: list[int]
    digits: int


def plain_sequence(folder: Path, besides: Sequence[Path]) -> PlainSequence | None:
    """The images of a folder that holds nothing else, with names that are plainly numbered.

    They differ in their last number alone, which has as many digits in each. What
    :func:`dataset.folder.frames_in` finds in such a folder is the same, and takes longer.

    Args:
        folder: The folder.
        besides: Images that the run uses for something else.

    Returns:
        None for any other folder.

    Raises:
        OSError: The folder cannot be read.
    """
    with os.scandir(folder) as entries:
        seen = [entry for entry in entries if entry.name[0] != "."]
    match = _NAME.fullmatch(seen[0].name) if len(seen) > 1 else None
    if match is None or match[3].lower() not in IMAGE_EXTENSIONS or "copy" in match[1].lower():
        return None
    before, digits, after = match.groups()
    length, start, stop = len(match[0]), len(before), len(match[0]) - len(after)
    names = sorted(entry.name for entry in seen)
    for name in names:
        number = name[start:stop]
        is_alike = len(name) == length and name.startswith(before) and name.endswith(after)
        if not (is_alike and number.isascii() and number.isdecimal()):
            return None
    if not all(entry.is_file(follow_symlinks=False) for entry in seen):
        return None
    if any(_is_in(path, folder) for path in besides):
        return None
    numbers = [int(name[start:stop]) for name in names]
    return PlainSequence(PathsIn(folder, names), numbers, len(digits) if len(digits) > 1 else 0)


def _is_in(path: Path, folder: Path) -> bool:
    return os.path.dirname(os.path.realpath(path)) == os.path.realpath(folder)
