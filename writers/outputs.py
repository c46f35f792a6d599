"""Outputs: the files of one kind, their names, and which of them are complete."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Literal, get_args

from media import os_errors_as

from .base import WriteError
from .files import partial_name
from .formats import FORMATS, IMAGE_EXTENSIONS, IMAGE_SEQUENCES, KINDS, Format, Kind, encoder_of

#: Images that a run may write in addition to its frames, one file each.
SideKind = Literal["plate", "preview"]
SIDE_KINDS: tuple[SideKind, ...] = get_args(SideKind)
PLATE_NAME = "plate.png"
PREVIEW_NAME = "preview.png"

_FRAME_NAME = re.compile(r"\d{5,}\.\w+")
#: Nested values that :attr:`Output.made_from` may hold: flags, and the sizes in one of them.
_MAX_DEPTH = 4


@dataclass
class Output:
    """Files of one kind.

    Attributes:
        kind: What the frames show.
        path: Relative to the run's folder: one file, or the folder of a sequence.
        extension: Extension of the files of a sequence; None for one file.
        start_number: Number of the sequence's first file.
        frames: Frames in the video or files in the sequence; during a run, an upper limit.
        holds: Codec, pixel format, bits, alpha and transfer of the files; None if unknown.
        made_from: The inputs and settings that the frames depend on; None if unknown.
    """

    kind: Kind | SideKind
    path: str
    extension: str | None = None
    start_number: int = 0
    frames: int = 0
    holds: dict[str, Any] | None = None
    made_from: dict[str, Any] | None = None

    def files(self, root: Path) -> Iterator[Path]:
        """Every existing file that may belong to this output, partial ones included.

        One file is listed even if it does not exist.
        """
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
        """Number of complete files of a sequence, from its first one up to the first gap."""
        assert self.extension is not None, "not a sequence"
        folder, extension = root / self.path, self.extension
        paths = (folder / file_name(n, extension) for n in count(self.start_number))
        return sum(1 for _ in takewhile(_is_whole, paths))

    def reach(self, root: Path) -> int:
        """Length of a sequence from its first file to the last existing one, gaps included."""
        numbers = (int(path.name.partition(".")[0]) for path in self.files(root))
        return max(numbers, default=self.start_number - 1) - self.start_number + 1

    def is_at(self, other: "Output") -> bool:
        """Whether both have the same file names, apart from their number of frames."""
        return (self.kind, self.path, self.extension, self.start_number) == (
            *(other.kind, other.path, other.extension, other.start_number),
        )

    def conflicts(self, root: Path) -> Iterator[Path]:
        """Existing files with names of this output, whether or not this program wrote them."""
        if self.extension is None:
            with os_errors_as(WriteError, root / self.path):
                existing = [path for path in self.files(root) if path.exists()]
            yield from existing
            return
        yield from (p for p in _files_in(root / self.path) if _FRAME_NAME.fullmatch(p.name))

    def is_valid(self) -> bool:
        """Whether a report may list this output: all files are in the run's folder."""
        return (
            isinstance(self.path, str)
            and isinstance(self.kind, str)
            and (self.kind, self.path, self.extension) in _own_outputs()
            and type(self.start_number) is type(self.frames) is int
            and isinstance(self.holds, dict | None)
            and _is_shallow(self.holds, 1)
            and isinstance(self.made_from, dict | None)
            and _is_shallow(self.made_from, _MAX_DEPTH)
        )


def _own_outputs() -> Iterator[tuple[str, str, str | None]]:
    """Kind, path and extension of everything that a run can write."""
    yield from (("plate", PLATE_NAME, None), ("preview", PREVIEW_NAME, None))
    for kind in KINDS:
        yield from ((kind, kind, extension) for extension in IMAGE_EXTENSIONS)
        for form in FORMATS.values():
            if not form.is_images:
                yield kind, f"{kind}.{form.extension}", None


def is_own_name(path: Path) -> bool:
    """Whether a run can write a file of this path, relative to its folder, or its partial file."""
    name = path.as_posix().removesuffix(".part")
    for _, own, extension in _own_outputs():
        pattern = re.escape(own) + (rf"/[0-9]{{5,}}\.{extension}" if extension else "")
        if re.fullmatch(pattern, name):
            return True
    return False


def _is_shallow(value: object, depth: int) -> bool:
    """Whether there are at most ``depth`` lists and dictionaries within each other."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(one, depth - 1) for one in inner)


def plan_output(kind: Kind, form: Format, size: tuple[int, int], start_number: int) -> Output:
    """The output of a kind in a format, for frames of ``size`` (height, width).

    Raises:
        WriteError: The format cannot hold frames of that size.
    """
    height, width = size
    wrong = None
    if form.max_side is not None and max(size) > form.max_side:
        wrong = f"large for {form.name}, which holds {form.max_side} pixels a side; give a smaller"
    elif min(size) < form.min_side:
        wrong = f"small for {form.name}, which needs {form.min_side} pixels a side; give a larger"
    if wrong is not None:
        raise WriteError(
            f"{kind}: {width}x{height} is too {wrong} --video-resize, or --output-format "
            f"{IMAGE_SEQUENCES} --image-extension png"
        )
    if form.is_images:
        return Output(kind, kind, form.extension, start_number)
    return Output(kind, f"{kind}.{form.extension}")


def file_name(number: int, extension: str) -> str:
    """The name of a frame's file: five digits, or more if the number needs them."""
    return f"{number:05d}.{extension}"


def _is_whole(path: Path) -> bool:
    """Whether an image is whole; after a power cut, its file may hold zeros."""
    form = FORMATS[path.suffix[1:]]
    try:
        with open(path, "rb") as file:
            if form.ending is None:
                whole: bool = encoder_of(form).is_whole(file.read())
                return whole
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(form.ending)))
            return size > 0 and file.read() == form.ending
    except OSError:
        return False


def _files_in(folder: Path) -> list[Path]:
    """The entries of a folder, sorted; empty if it is not a folder."""
    with os_errors_as(WriteError, folder):
        return sorted(folder.iterdir()) if folder.is_dir() else []
