"""The folder of a run: its lock, its report, and what may be written or removed there."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from media import MattingError

from .base import WriteError
from .formats import KINDS
from .outputs import PLATE_NAME, SIDE_KINDS, Output, partial_name

REPORT_NAME = "run.json"
_LOCK_NAME = ".run.lock"
#: Frames that are claimed at once, so that the report is not written for each of them.
_CLAIM = 1000


class OutputsExistError(MattingError, FileExistsError):
    """The folder holds outputs that would be mixed with new ones or overwritten."""


class FolderLock:
    """Exclusive lock on an output folder; released when the process exits.

    A folder that is not there yet stays unlocked until :meth:`take` is called again, and so does
    one on a disk without locks.

    Args:
        folder: The folder.

    Raises:
        OutputsExistError: Another run holds the lock.
    """

    def __init__(self, folder: Path):
        self._folder, self._path = folder, folder / _LOCK_NAME
        self._lock = FileLock(self._path, timeout=0)
        self.take()

    def take(self) -> None:
        """Take the lock, if the folder is there; raises as the constructor does."""
        if self._lock.is_locked or not self._folder.is_dir():
            return
        try:
            self._lock.acquire()
        except Timeout as error:
            raise OutputsExistError(
                f"{self._folder}: another run is writing there; wait for it, or give another "
                "--output-dir"
            ) from error
        except (OSError, NotImplementedError):
            return

    def release(self) -> None:
        """Let other runs have the folder. Harmless a second time."""
        if not self._lock.is_locked:
            return
        if os.name != "nt":  # there, an open file cannot be removed; here, one that others have
            self._path.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":
            with suppress(OSError):
                self._path.unlink()


class RunFolder:
    """The folder that a run writes to, with a ``run.json`` that is true at every moment.

    It lists files before they are written, so that even after a killed run ``overwrite`` knows what
    that run may have left.

    Args:
        root: The folder; it is created if it is not there.
        outputs: What the run writes.
        overwrite: Remove what an earlier run listed in its ``run.json``, and nothing else.
        resume: Go on with the sequences that an earlier run began.
        inputs: What the run reads, which must not be removed.
        facts: What is known of the run from the start: its settings and the like.

    Attributes:
        done: Frames of which every file is there already, from the first up to the first gap; 0
            unless ``resume``.

    Raises:
        OutputsExistError: Outputs of these kinds are there already.
        OutputsExistError: Another run writes to the folder.
        WriteError: The folder cannot be created.
    """

    def __init__(
        self,
        root: Path,
        outputs: Sequence[Output],
        *,
        overwrite: bool,
        resume: bool,
        inputs: Sequence[Path],
        facts: dict[str, Any],
    ):
        self.root = root
        self.outputs = list(outputs)
        self._lock = FolderLock(root)
        try:
            earlier = prepare_folder(
                root, outputs, overwrite=overwrite, resume=resume, inputs=inputs
            )
        except BaseException:
            self._lock.release()
            raise
        self._lock.take()  # there is a folder now
        self._kept = [output for output in earlier if not any(map(output.is_at, outputs))]
        begun = [output for output in earlier if output not in self._kept and output.extension]
        whole = {output.kind: output.finished(root) for output in begun}
        self._reach = {output.kind: output.reach(root) for output in begun}
        sequences = [output.kind for output in outputs if output.extension is not None]
        self.done = min((whole.get(kind, 0) for kind in sequences), default=0)
        self._facts = facts
        self._claimed = 0
        self.claim(self.done + 1)  # before any sink makes its first file

    def claim(self, frames: int) -> None:
        """Say that all frames up to this count may be written from now on."""
        if frames > self._claimed:
            self._claimed = max(frames + _CLAIM, *self._reach.values(), 0)
            for output in self.outputs:
                output.frames = self._claimed
            self._write({"status": "running"})

    def written(self) -> list[tuple[str, str]]:
        """Kind and extension of every output that a sink writes."""
        return [
            (output.kind, output.extension or Path(output.path).suffix[1:])
            for output in self.outputs
            if output.kind in KINDS
        ]

    def finish(self, begun: Mapping[Any, int], facts: dict[str, Any]) -> None:
        """Say how the run ended.

        Args:
            begun: Frames that each sink was given, the last of which it may not have finished.
            facts: What is known of the run at its end.
        """
        for output in self.outputs:
            output.frames = max(begun.get(output.kind, 0), self._reach.get(output.kind, 0))
        try:
            self._write(facts)
        finally:
            self._lock.release()

    def _write(self, facts: dict[str, Any]) -> None:
        outputs = [asdict(output) for output in self.outputs + self._kept]
        write_report(self.root, {**facts, **self._facts, "outputs": outputs})


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
