"""Outputs: the files of one kind, how they are called, and which of them are whole."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Literal, get_args

from .base import WriteError
from .formats import FORMATS, KINDS, Format, Kind

#: Images that a run may write beside its frames, one file each.
SideKind = Literal["plate", "preview"]
SIDE_KINDS: tuple[SideKind, ...] = get_args(SideKind)
PLATE_NAME = "plate.png"
PREVIEW_NAME = "preview.png"

_NUMBERED = re.compile(r"\d{5,}\.\w+")


@dataclass
class Output:
    """Files of one kind.

    Attributes:
        kind: What they show.
        path: Relative to the run's folder: one file, or the folder of a sequence.
        extension: Of the files of a sequence; None for one file.
        start_number: Number of the sequence's first file.
        frames: Frames in the video or files in the sequence; during a run, those that it may have
            begun to write.
        made_from: The inputs and settings that its frames depend on; None if unknown.
    """

    kind: Kind | SideKind
    path: str
    extension: str | None = None
    start_number: int = 0
    frames: int = 0
    made_from: dict[str, Any] | None = None

    def files(self, root: Path) -> Iterator[Path]:
        """Every file that may belong to this output, half-written ones included."""
        if self.extension is None:
            yield root / self.path
            yield partial_name(root / self.path)
            return
        numbers = range(self.start_number, self.start_number + self.frames)
        for path in _files_in(root / self.path):
            digits = path.name.partition(".")[0]
            if digits.isdecimal() and int(digits) in numbers:
                whole = path.with_name(file_name(int(digits), self.extension))
                if path in (whole, partial_name(whole)):
                    yield path

    def finished(self, root: Path) -> int:
        """Whole files of a sequence that are there, from its first up to the first gap."""
        assert self.extension is not None, "one file is finished or not there"
        folder, extension = root / self.path, self.extension
        paths = (folder / file_name(n, extension) for n in count(self.start_number))
        return sum(1 for _ in takewhile(_is_whole, paths))

    def reach(self, root: Path) -> int:
        """Files of a sequence from its first to the last that is there, gaps included."""
        numbers = (int(path.name.partition(".")[0]) for path in self.files(root))
        return max(numbers, default=self.start_number - 1) - self.start_number + 1

    def is_at(self, other: "Output") -> bool:
        """Whether both are the same files, however many."""
        return (self.kind, self.path, self.extension, self.start_number) == (
            *(other.kind, other.path, other.extension, other.start_number),
        )

    def conflicts(self, root: Path) -> Iterator[Path]:
        """Files that are already where this output goes, whoever wrote them."""
        if self.extension is None:
            yield from (path for path in self.files(root) if path.exists())
            return
        yield from (p for p in _files_in(root / self.path) if _NUMBERED.fullmatch(p.name))

    def is_sound(self) -> bool:
        """Whether this is what a run may list: files of known names inside its folder."""
        return (
            self.kind in (*KINDS, *SIDE_KINDS)
            and isinstance(self.path, str)
            and _is_suffix(self.extension or self.path.removeprefix(f"{self.kind}."))
            and (self.extension is None or self.path == self.kind)
            and isinstance(self.start_number, int)
            and isinstance(self.frames, int)
            and isinstance(self.made_from, dict | None)
        )


def plan_output(kind: Kind, form: Format, size: tuple[int, int], start_number: int) -> Output:
    """The output of a kind in a format, for frames of ``size`` (height, width).

    Raises:
        WriteError: The format does not hold frames of that size.
    """
    height, width = size
    if form.max_side is not None and max(size) > form.max_side:
        raise WriteError(
            f"{kind}.{form.extension}: {width}x{height} is more than {form.holds} takes, "
            f"{form.max_side} pixels a side; give a smaller --video-resize, or "
            "--output-format image_sequences"
        )
    if form.is_images:
        return Output(kind, kind, form.extension, start_number)
    return Output(kind, f"{kind}.{form.extension}")


def _is_suffix(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\w+", text) is not None


def file_name(number: int, extension: str) -> str:
    """The name of a frame's file: five digits, more only where they are needed."""
    return f"{number:05d}.{extension}"


def partial_name(path: Path) -> Path:
    """Where a file is written before it gets its final name."""
    return path.with_name(f"{path.name}.part")


def _is_whole(path: Path) -> bool:
    """Whether a file ends as it should; after a power cut, a file may be empty or full of zeros."""
    form = FORMATS.get(path.suffix[1:])
    ending = form.ending if form else b""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(ending)))
            return size > 0 and file.read() == ending
    except OSError:
        return False


def _files_in(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing if it is none."""
    return sorted(folder.iterdir()) if folder.is_dir() else []
