"""The folder of a run: what may be written there, and what an earlier run left."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from . import images, video
from .base import WriteError

Kind = Literal["com", "pha", "fgr", "err", "ref"]
KINDS: tuple[Kind, ...] = get_args(Kind)

REPORT_NAME = "run.json"
_NUMBERED = re.compile(r"\d{5,}\.\w+")


@dataclass
class Output:
    """Files of one kind.

    Attributes:
        kind: What they show.
        path: Relative to the run's folder: a video, or the folder of a sequence.
        extension: Of the files of a sequence; None for a video.
        start_number: Number of the sequence's first file.
        frames: Frames in the video or files in the sequence; while a run goes on, those that it may
            have begun to write.
    """

    kind: Kind
    path: str
    extension: str | None = None
    start_number: int = 0
    frames: int = 0

    def files(self, root: Path) -> Iterator[Path]:
        """Every file that may belong to this output, half-written ones included."""
        if self.extension is None:
            yield root / self.path
            yield video.partial_name(root / self.path)
            return
        for number in range(self.start_number, self.start_number + self.frames):
            path = root / self.path / images.file_name(number, self.extension)
            yield path
            yield images.partial_name(path)

    def conflicts(self, root: Path) -> Iterator[Path]:
        """Files that are already where this output goes, whoever wrote them."""
        if self.extension is None:
            yield from (path for path in self.files(root) if path.exists())
            return
        folder = root / self.path
        if folder.is_dir():
            yield from sorted(p for p in folder.iterdir() if _NUMBERED.fullmatch(p.name))


class OutputsExistError(FileExistsError):
    """The folder holds outputs that would be mixed with new ones or overwritten."""


def read_report(root: Path) -> dict[str, Any]:
    """What ``run.json`` says; empty if there is none that can be read."""
    try:
        report = json.loads((root / REPORT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def write_report(root: Path, report: dict[str, Any]) -> None:
    """Write ``run.json``, whole or not at all."""
    partial = images.partial_name(root / REPORT_NAME)
    try:
        partial.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
        partial.replace(root / REPORT_NAME)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise WriteError(f"{root / REPORT_NAME}: {error.strerror}") from error


def listed_outputs(root: Path) -> list[Output]:
    """The outputs that ``run.json`` lists; an entry that does not look like one is passed over."""
    listed = []
    for entry in read_report(root).get("outputs", []):
        with suppress(TypeError):
            output = Output(**entry)
            if output.path in (output.kind, f"{output.kind}.mp4") and output.kind in KINDS:
                listed.append(output)
    return listed


def prepare_folder(
    root: Path, outputs: Sequence[Output], *, overwrite: bool, inputs: Sequence[Path] = ()
) -> list[Output]:
    """Make room for new outputs.

    Args:
        root: The run's folder; it is created if it is not there.
        outputs: What is to be written.
        overwrite: Remove what an earlier run listed in its ``run.json``, and nothing else.
        inputs: What the run reads, which must not be removed.

    Returns:
        Outputs of earlier runs that stay.

    Raises:
        OutputsExistError: Outputs of these kinds are there already, and nothing was removed.
        WriteError: The folder cannot be created.
    """
    earlier = listed_outputs(root)
    removable: set[Path] = set()
    for output in earlier if overwrite else ():
        removable.update(output.files(root))
        place = (root / output.path).resolve()
        for path in inputs:
            if place in (path.resolve(), *path.resolve().parents):
                raise OutputsExistError(
                    f"{path}: was written by the earlier run that --overwrite would remove; "
                    "give another --output-dir"
                )
    for output in outputs:
        for path in output.conflicts(root):
            if not overwrite:
                raise OutputsExistError(
                    f"{root}: {path.relative_to(root)} is there already; "
                    "give --overwrite, or another --output-dir"
                )
            if path not in removable:
                raise OutputsExistError(
                    f"{root}: {path.relative_to(root)} was not written by an earlier run, so that "
                    "--overwrite leaves it alone; move it away, or give another --output-dir"
                )
    try:
        for path in removable:
            path.unlink(missing_ok=True)
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{error.filename}: {error.strerror}") from error
    return [] if overwrite else earlier
