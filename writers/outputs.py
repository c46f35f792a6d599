"""Outputs: the files of one kind, their names, and which of them are complete."""

import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from media import FrameRange, os_errors_as, range_text

from .base import WriteError
from .files import PARTIAL, partial_name
from .formats import FORMATS, IMAGE_EXTENSIONS, IMAGE_SEQUENCES, KINDS, Format, Kind, encoder_of
from .naming import DEFAULT_PATTERN, NUMBER, is_safe_path, place_output

#: What a run may write in addition to its frames, one file each.
SideKind = Literal["plate", "homographies", "preview", "timecodes"]
SIDE_KINDS: tuple[SideKind, ...] = get_args(SideKind)
PLATE_NAME = "plate.png"
HOMOGRAPHIES_NAME = "plate.json"
#: Kinds that runs of other frames share.
PLATE_KINDS: tuple[SideKind, ...] = ("plate", "homographies")
#: What a run is called that only makes a plate.
PLATE_LABEL = "plate"


def preview_name(label: str = "") -> str:
    """The name of a contact sheet; with a label, that of a run over some frames."""
    return f"preview.{label}.png" if label else "preview.png"


def timecodes_name(label: str = "") -> str:
    """The name of a file with the times of the frames; with a label, of some frames."""
    return f"timecodes.{label}.txt" if label else "timecodes.txt"


#: Extensions of files that hold all frames.
_VIDEO_EXTENSIONS = frozenset(form.extension for form in FORMATS.values() if not form.is_images)
#: Nested values that :attr:`Output.made_from` may hold: flags, and the sizes in one of them.
_MAX_DEPTH = 4


@dataclass
class Output:
    """Files of one kind.

    Attributes:
        kind: What the frames show.
        path: Relative to the run's folder: one file, or the folder of a sequence.
        extension: Extension of the files of a sequence; None for one file.
        pattern: Name of the files of a sequence without extension, a ``#`` for each digit.
        numbers: Numbers of the frames in the video or in the sequence, as a range; during a run,
            those that it may have by now. Empty for other files.
        frames: How many these are.
        holds: Codec, pixel format, bits, alpha and transfer of the files; None if unknown.
        made_from: The inputs and settings that the frames depend on; None if unknown.
    """

    kind: Kind | SideKind
    path: str
    extension: str | None = None
    pattern: str = DEFAULT_PATTERN
    numbers: str = ""
    frames: int = 0
    holds: dict[str, Any] | None = None
    made_from: dict[str, Any] | None = None

    @property
    def held(self) -> FrameRange:
        """The numbers of its frames."""
        return FrameRange.parse(self.numbers) if self.numbers else FrameRange("", ())

    def hold(self, numbers: Sequence[int]) -> None:
        """Set the numbers of its frames, ascending."""
        self.numbers, self.frames = range_text(numbers), len(numbers)

    def file_name(self, number: int) -> str:
        """The name of a frame's file, with more digits than the pattern where needed."""
        name = NUMBER.sub(lambda digits: f"{number:0{len(digits[0])}d}", self.pattern)
        return f"{name}.{self.extension}"

    def number_of(self, name: str) -> int | None:
        """The number of a file, complete or partial; None if it is not one of a frame."""
        start, width, end = _around(self.pattern, self.extension)
        name = name.removesuffix(PARTIAL)
        digits = name[len(start) : len(name) - len(end)]
        if len(digits) == width and digits.isascii() and digits.isdecimal():  # nearly all, fast
            return int(digits) if name.startswith(start) and name.endswith(end) else None
        if not re.fullmatch(r"-?[0-9]{1,12}", digits):
            return None
        return int(digits) if self.file_name(int(digits)) == name else None

    def files(self, root: Path) -> Iterator[Path]:
        """Every existing file that may belong to this output, partial ones included.

        One file is listed even if it does not exist.
        """
        if self.extension is None:
            yield root / self.path
            yield partial_name(root / self.path)
            return
        paths = {path: self.number_of(path.name) for path in _files_in(root / self.path)}
        held = self.held.among({number for number in paths.values() if number is not None})
        yield from (path for path, number in paths.items() if number in held)

    def existing(self, root: Path) -> set[int]:
        """Numbers of a sequence's existing files, partial ones included, whoever wrote them."""
        found = map(self.number_of, _names_in(root / self.path))
        return {number for number in found if number is not None}

    def whole(self, root: Path, numbers: Iterable[int]) -> set[int]:
        """Those numbers whose files are complete."""
        folder, form = str(root / self.path), FORMATS[self.extension or ""]
        return {n for n in numbers if _is_whole(os.path.join(folder, self.file_name(n)), form)}

    def is_at(self, other: "Output") -> bool:
        """Whether both have the same file names, apart from their numbers."""
        return (self.kind, self.path, self.extension, self.pattern) == (
            *(other.kind, other.path, other.extension, other.pattern),
        )

    def conflicts(
        self,
        root: Path,
        numbers: Iterable[int] | None = None,
        known: Container[int | None] = (),
    ) -> Iterator[Path]:
        """Existing files with names of this output, whether or not this program wrote them.

        Args:
            root: The run's folder.
            numbers: Of a sequence, only files with these numbers.
            known: Numbers of files that are not asked for.
        """
        with os_errors_as(WriteError, root / self.path):
            if self.extension is None:
                existing = [path for path in self.files(root) if path.exists()]
            elif numbers is not None:
                asked = (number for number in numbers if number not in known)
                named = (root / self.path / self.file_name(number) for number in asked)
                existing = [path for path in named if path.exists()]
            else:
                usual = re.compile(r"-?[0-9]+\.\w+")
                existing = [
                    root / self.path / name
                    for name in sorted(_names_in(root / self.path))
                    if not name.endswith(PARTIAL)
                    and (number := self.number_of(name)) not in known
                    and (number is not None or usual.fullmatch(name))
                ]
        yield from existing

    def is_valid(self) -> bool:
        """Whether a report may list this output: all files are in the run's folder."""
        texts = (self.kind, self.path, self.pattern, self.numbers)
        if not all(isinstance(text, str) for text in texts) or type(self.frames) is not int:
            return False
        with suppress(ValueError):
            return (
                bool(FrameRange.parse(self.numbers) if self.numbers else True)
                and _is_own(self.kind, self.path, self.extension, self.pattern)
                and isinstance(self.holds, dict | None)
                and _is_shallow(self.holds, 1)
                and isinstance(self.made_from, dict | None)
                and _is_shallow(self.made_from, _MAX_DEPTH)
            )
        return False


def _is_own(kind: str, path: str, extension: str | None, pattern: str) -> bool:
    """Whether a run can write such an output."""
    if kind in SIDE_KINDS:
        label = r"(\.[0-9,x~a-f-]+)?"
        names = {
            "plate": r"plate\.png",
            "homographies": r"plate\.json",
            "preview": rf"preview{label}\.png",
            "timecodes": rf"timecodes{label}\.txt",
        }
        return extension is None and bool(re.fullmatch(names[kind], path))
    if kind not in KINDS or not is_safe_path(path if path != "." else kind):
        return False
    if extension is None:
        return Path(path).suffix[1:] in _VIDEO_EXTENSIONS
    named = is_safe_path(pattern) and "/" not in pattern and len(NUMBER.findall(pattern)) == 1
    return extension in IMAGE_EXTENSIONS and named


def _is_shallow(value: object, depth: int) -> bool:
    """Whether there are at most ``depth`` lists and dictionaries within each other."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(one, depth - 1) for one in inner)


def plan_output(
    kind: Kind,
    form: Format,
    size: tuple[int, int],
    *,
    name: str | None = None,
    digits: int = len(DEFAULT_PATTERN),
    label: str = "",
) -> Output:
    """The output of a kind in a format, for frames of ``size`` (height, width).

    Other arguments are those of :func:`writers.naming.place_output`.

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
    path, pattern = place_output(name, kind, form, digits=digits, label=label)
    return Output(kind, path, form.extension if form.is_images else None, pattern)


@lru_cache(maxsize=8)
def _around(pattern: str, extension: str | None) -> tuple[str, int, str]:
    """What stands before the number in the name of a file, its digits, and what stands behind."""
    before, _, after = pattern.rpartition("#")
    start = before.rstrip("#")
    return start, len(before) + 1 - len(start), f"{after}.{extension}"


def _is_whole(path: str, form: Format) -> bool:
    """Whether an image is whole; after a power cut, its file may hold zeros."""
    try:
        if form.ending is None:
            with open(path, "rb") as file:
                whole: bool = encoder_of(form).is_whole(file.read())
                return whole
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            os.lseek(descriptor, max(0, size - len(form.ending)), os.SEEK_SET)
            return size > 0 and os.read(descriptor, len(form.ending)) == form.ending
        finally:
            os.close(descriptor)
    except OSError:
        return False


def _names_in(folder: Path) -> list[str]:
    """The names of the entries of a folder; empty if it is not a folder."""
    with os_errors_as(WriteError, folder):
        return os.listdir(folder) if folder.is_dir() else []


def _files_in(folder: Path) -> list[Path]:
    """The entries of a folder, sorted; empty if it is not a folder."""
    with os_errors_as(WriteError, folder):
        return sorted(folder.iterdir()) if folder.is_dir() else []
