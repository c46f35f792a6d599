"""The folder of a run: what may be written there, and what an earlier run left."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Literal, get_args

from .base import WriteError

Kind = Literal["com", "pha", "fgr", "err", "ref"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Pictures that a run may write beside its frames, one file each.
SideKind = Literal["plate", "preview"]
SIDE_KINDS: tuple[SideKind, ...] = get_args(SideKind)
PLATE_NAME = "plate.png"
PREVIEW_NAME = "preview.png"

REPORT_NAME = "run.json"
#: The last bytes of whole files, by extension.
_ENDINGS = {"png": b"IEND\xaeB`\x82", "jpg": b"\xff\xd9", "jpeg": b"\xff\xd9"}
_NUMBERED = re.compile(r"\d{5,}\.\w+")


@dataclass
class Output:
    """Files of one kind.

    Attributes:
        kind: What they show.
        path: Relative to the run's folder: one file, or the folder of a sequence.
        extension: Of the files of a sequence; None for one file.
        start_number: Number of the sequence's first file.
        frames: Frames in the video or files in the sequence; while a run goes on, those that it may
            have begun to write.
        made_from: The inputs and settings that make its frames what they are; None if unknown.
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
    ending = _ENDINGS.get(path.suffix[1:], b"")
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


class OutputsExistError(FileExistsError):
    """The folder holds outputs that would be mixed with new ones or overwritten."""


def read_report(root: Path) -> dict[str, Any]:
    """What ``run.json`` says; empty if there is none.

    Raises:
        OutputsExistError: The file is not one that this program wrote.
        WriteError: There is no access to it.
    """
    path = root / REPORT_NAME
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise WriteError(f"{path}: {error.strerror}") from error
    except ValueError:
        report = None
    if not isinstance(report, dict) or "bgmv2" not in (report.get("versions") or ()):
        raise OutputsExistError(
            f"{path}: was not written by this program and would be lost; "
            "move it away, or give another --output-dir"
        )
    return report


def write_report(root: Path, report: dict[str, Any]) -> None:
    """Write ``run.json``, whole or not at all."""
    partial = partial_name(root / REPORT_NAME)
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(json.dumps(report, indent=2, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave it empty: --resume reads it
        partial.replace(root / REPORT_NAME)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise WriteError(f"{root / REPORT_NAME}: {error.strerror}") from error


def listed_outputs(report: dict[str, Any]) -> list[Output]:
    """The outputs that a report lists; an entry that does not look like one is passed over."""
    entries = report.get("outputs")
    listed = []
    for entry in entries if isinstance(entries, list) else []:
        with suppress(TypeError):
            output = Output(**entry)
            if output.is_sound():
                listed.append(output)
    return listed


def prepare_folder(
    root: Path,
    outputs: Sequence[Output],
    *,
    overwrite: bool,
    resume: bool = False,
    inputs: Sequence[Path] = (),
) -> list[Output]:
    """Make room for new outputs.

    Args:
        root: The run's folder; it is created if it is not there.
        outputs: What is to be written.
        overwrite: Remove what an earlier run listed in its ``run.json``, and nothing else.
        resume: Leave what an earlier run listed there to be gone on with.
        inputs: What the run reads, which must not be removed.

    Returns:
        Outputs of earlier runs that stay; a preview makes room for the next one, and so does a
        plate beside it that nobody has touched.

    Raises:
        OutputsExistError: Something there would be lost or mixed up; nothing was removed.
        WriteError: The folder cannot be created.
    """
    folders = [root, *(root / output.path for output in outputs if output.extension)]
    for folder in folders:
        if folder.exists() and any(path.resolve() == folder.resolve() for path in inputs):
            raise OutputsExistError(
                f"{folder}: is read from, and what is written there would be taken for frames; "
                "give another --output-dir"
            )
    earlier = listed_outputs(read_report(root))
    makes_room = ["preview"]
    if all(output.kind in SIDE_KINDS for output in earlier) and _plate_is_as_it_was(root, inputs):
        makes_room.append("plate")
    kept = [] if overwrite else [o for o in earlier if resume or o.kind not in makes_room]
    gone = [output for output in earlier if output not in kept]
    removable = {path for output in gone for path in output.files(root)}
    _refuse_inputs(removable, inputs)
    new = [o for o in outputs if not (resume and any(map(o.is_at, kept)))]
    _refuse_conflicts(root, new, removable, overwrite=overwrite, resume=resume)
    try:
        for path in removable:
            path.unlink(missing_ok=True)
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{error.filename}: {error.strerror}") from error
    return kept


def _plate_is_as_it_was(root: Path, inputs: Sequence[Path]) -> bool:
    """Whether the plate in a folder is older than its report, and no input."""
    plate, report = root / PLATE_NAME, root / REPORT_NAME
    if any(path.resolve() == plate.resolve() for path in inputs):
        return False
    try:
        return plate.stat().st_mtime_ns <= report.stat().st_mtime_ns
    except OSError:
        return False


def _refuse_inputs(removable: set[Path], inputs: Sequence[Path]) -> None:
    doomed = {path.resolve() for path in removable}
    doomed |= {folder for path in doomed for folder in (path, path.parent)}
    for path in inputs:
        if path.resolve() in doomed:
            raise OutputsExistError(
                f"{path}: was written by the earlier run, and would be removed for this one; "
                "give another --output-dir"
            )


def _refuse_conflicts(
    root: Path, outputs: Sequence[Output], removable: set[Path], *, overwrite: bool, resume: bool
) -> None:
    for output in outputs:
        for path in output.conflicts(root):
            if path in removable:
                continue
            name = path.relative_to(root)
            if overwrite or resume:
                flag = "--overwrite" if overwrite else "--resume"
                raise OutputsExistError(
                    f"{root}: {name} was not written by an earlier run, so that {flag} "
                    "leaves it alone; move it away, or give another --output-dir"
                )
            flags = "--overwrite" if output.extension is None else "--resume, --overwrite"
            raise OutputsExistError(
                f"{root}: {name} is there already; give {flags}, or another --output-dir"
            )
