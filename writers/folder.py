"""The output folder of a run: its lock, its report, and the files to write or remove."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from media import MattingError, os_errors_as

from .base import WriteError
from .formats import KINDS
from .outputs import PLATE_NAME, SIDE_KINDS, Output, partial_name

REPORT_NAME = "run.json"
_LOCK_NAME = ".run.lock"
#: Frames to list in the report ahead of time, so that it is not rewritten for each frame.
_FRAMES_PER_CLAIM = 1000


class OutputsExistError(MattingError, FileExistsError):
    """The folder holds files that the new outputs would overwrite or mix with."""


class FolderLock:
    """Exclusive lock on an output folder; released when the process exits.

    A folder that does not exist yet is locked by a later call of :meth:`take`. On a disk without
    locks, the folder stays unlocked.

    Raises:
        OutputsExistError: Another run holds the lock.
        WriteError: The folder cannot be accessed.
    """

    def __init__(self, folder: Path):
        self._folder, self._path = folder, folder / _LOCK_NAME
        self._lock = FileLock(self._path, timeout=0)
        self.take()

    def take(self) -> None:
        """Take the lock if the folder exists; raises as the constructor does."""
        with os_errors_as(WriteError, self._folder):
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
        """Release the lock. A second call is harmless."""
        if not self._lock.is_locked:
            return
        if os.name != "nt":  # before others can lock the file; Windows removes no open file
            self._path.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":
            with suppress(OSError):
                self._path.unlink()


class RunFolder:
    """The output folder of a run and its report, ``run.json``.

    The report lists files before they are written, so that ``overwrite`` can remove the files of a
    run that was killed.

    Args:
        root, outputs, overwrite, resume, inputs: As in :func:`prepare_folder`.
        facts: Entries of the report that are known at the start, such as settings.

    Attributes:
        done: Frames that an earlier run completed, up to the first gap; 0 unless ``resume``.

    Raises:
        OutputsExistError: Outputs of these kinds exist, or another run writes to the folder.
        WriteError: The folder cannot be read or created.
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
        self.root, self.outputs = root, list(outputs)
        self._lock = FolderLock(root)
        with ExitStack() as on_failure:
            on_failure.callback(self._lock.release)
            kept = prepare_folder(root, outputs, overwrite=overwrite, resume=resume, inputs=inputs)
            self._lock.take()  # the folder exists now
            self._other_outputs = [o for o in kept if not any(map(o.is_at, outputs))]
            begun = [o for o in kept if o not in self._other_outputs and o.extension]
            whole = {output.kind: output.finished(root) for output in begun}
            self._existing_frames = {output.kind: output.reach(root) for output in begun}
            sequences = [output.kind for output in outputs if output.extension is not None]
            self.done = min((whole.get(kind, 0) for kind in sequences), default=0)
            self._facts, self._claimed = facts, 0
            self.claim(self.done + 1)  # before a writer creates a file
            on_failure.pop_all()

    def claim(self, frames: int) -> None:
        """List at least this many frames in the report before they are written."""
        if frames > self._claimed:
            self._claimed = max(frames + _FRAMES_PER_CLAIM, *self._existing_frames.values(), 0)
            for output in self.outputs:
                output.frames = self._claimed
            self._write({"status": "running"})

    def written(self) -> list[tuple[str, str]]:
        """Kind and extension of every output that a frame writer writes."""
        frames = (output for output in self.outputs if output.kind in KINDS)
        return [(o.kind, o.extension or Path(o.path).suffix[1:]) for o in frames]

    def finish(self, begun: Mapping[Any, int], facts: dict[str, Any]) -> None:
        """Write the final report and release the lock.

        Args:
            begun: Frames that each writer was given, some of which it may not have written.
            facts: Entries of the report that are known at the end.
        """
        for output in self.outputs:
            existing = self._existing_frames.get(output.kind, 0)
            output.frames = max(begun.get(output.kind, 0), existing)
        try:
            self._write(facts)
        finally:
            self._lock.release()

    def _write(self, facts: dict[str, Any]) -> None:
        outputs = [asdict(output) for output in self.outputs + self._other_outputs]
        write_report(self.root, {**facts, **self._facts, "outputs": outputs})


def read_report(root: Path) -> dict[str, Any]:
    """The content of ``run.json``; empty if there is none.

    Raises:
        OutputsExistError: The file was not written by this program.
        WriteError: The file cannot be read.
    """
    path = root / REPORT_NAME
    with os_errors_as(WriteError, path, ValueError):  # ValueError: a NUL character in the path
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return {}
    try:
        report = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        report = None
    versions = report.get("versions") if isinstance(report, dict) else None
    if not isinstance(versions, dict) or "bgmv2" not in versions:
        raise OutputsExistError(
            f"{path}: was not written by this program and would be lost; "
            "move it away, or give another --output-dir"
        )
    return report


def write_report(root: Path, report: dict[str, Any]) -> None:
    """Write ``run.json``; the file is whole or absent."""
    path, partial = root / REPORT_NAME, partial_name(root / REPORT_NAME)
    try:
        with os_errors_as(WriteError, path):
            with open(partial, "w", encoding="utf-8") as file:
                file.write(json.dumps(report, indent=2, default=str) + "\n")
                file.flush()
                os.fsync(file.fileno())  # a power cut must not empty the file: --resume reads it
            partial.replace(path)
    except WriteError:
        with suppress(OSError):
            partial.unlink()
        raise


def listed_outputs(report: dict[str, Any]) -> list[Output]:
    """The outputs that a report lists; invalid entries are skipped."""
    entries = report.get("outputs")
    listed = []
    for entry in entries if isinstance(entries, list) else []:
        with suppress(TypeError):
            output = Output(**entry)
            if output.is_valid():
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
    """Create the folder and remove the earlier outputs that new ones replace.

    Args:
        root: The run's folder; it is created if it does not exist.
        outputs: The new outputs.
        overwrite: Remove the files that an earlier run listed in its ``run.json``, and no others.
        resume: Keep the outputs of an earlier run, to continue them.
        inputs: Files and folders that the run reads, which must not be removed.

    Returns:
        Outputs of earlier runs that are kept: all for ``resume``, none for ``overwrite``, else all
        but the preview and, from a run without frames, a plate that was not changed since.

    Raises:
        OutputsExistError: Files would be lost or mixed with others; nothing was removed.
        WriteError: The folder cannot be read or created.
    """
    folders = [root, *(root / output.path for output in outputs if output.extension)]
    used = _real_paths(inputs)
    for folder in folders:
        if not used.isdisjoint(_real_paths([folder])):
            raise OutputsExistError(
                f"{folder}: is read from, and files written there would be read as frames; "
                "give another --output-dir"
            )
    earlier = listed_outputs(read_report(root))
    replaced = ["preview"]
    if all(output.kind in SIDE_KINDS for output in earlier) and _is_plate_unchanged(root, used):
        replaced.append("plate")
    kept = [] if overwrite else [o for o in earlier if resume or o.kind not in replaced]
    removed = [output for output in earlier if output not in kept]
    removable = {path for output in removed for path in output.files(root)}
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


def _real_paths(paths: Iterable[Path]) -> set[Path]:
    """Absolute paths without links."""
    real = set()
    for path in paths:
        with os_errors_as(WriteError, path, ValueError):  # ValueError: a NUL character in the path
            real.add(Path(os.path.realpath(path)))
    return real


def _is_plate_unchanged(root: Path, used: set[Path]) -> bool:
    """Whether the plate in a folder is older than the report and not an input."""
    plate, report = root / PLATE_NAME, root / REPORT_NAME
    with suppress(OSError):
        is_older = plate.stat().st_mtime_ns <= report.stat().st_mtime_ns
        return is_older and used.isdisjoint(_real_paths([plate]))
    return False


def _refuse_inputs(removable: set[Path], inputs: Sequence[Path]) -> None:
    removed = {part for path in _real_paths(removable) for part in (path, path.parent)}
    for path in inputs:
        if not removed.isdisjoint(_real_paths([path])):
            raise OutputsExistError(
                f"{path}: was written by the earlier run and would be removed, but this run reads "
                "it; give another --output-dir"
            )


def _refuse_conflicts(
    root: Path, outputs: Sequence[Output], removable: set[Path], *, overwrite: bool, resume: bool
) -> None:
    for output in outputs:
        for path in (path for path in output.conflicts(root) if path not in removable):
            name = path.relative_to(root)
            if overwrite or resume:
                flag = "--overwrite" if overwrite else "--resume"
                raise OutputsExistError(
                    f"{root}: {name} was not written by an earlier run, so {flag} does not "
                    "touch it; move it away, or give another --output-dir"
                )
            flags = "--overwrite" if output.extension is None else "--resume, --overwrite"
            raise OutputsExistError(
                f"{root}: {name} is there already; give {flags} or another --output-dir"
            )
