"""The output folder of a run: its lock, its report, and the files to write or remove."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from threading import RLock
from typing import Any
from weakref import WeakSet

from media import os_errors_as

from .base import WriteError
from .files import make_folders, remove_folders, unlink_file
from .formats import KINDS
from .lock import FolderLock, OutputsExistError
from .outputs import PLATE_NAME, SIDE_KINDS, Output, is_own_name
from .report import REPORT_NAME, listed_outputs, read_report, write_report

#: Frames to list in the report ahead of time, so that it is not rewritten for each frame.
_FRAMES_PER_CLAIM = 1000


def folders_in_use() -> list["RunFolder"]:
    """The folders of the runs in progress."""
    return list(_in_use)


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
        self._writing, self._ended = RLock(), False
        _refuse_to_write_where_frames_come_from(root, outputs, inputs)
        with ExitStack() as on_failure:
            with os_errors_as(WriteError, root, ValueError):  # ValueError: a NUL character
                # Before the lock, and this before any look at what is there: of two runs, one may
                # have finished in between.
                on_failure.callback(remove_folders, make_folders(root))
            self._lock = FolderLock(root)
            on_failure.callback(self._lock.release)
            kept = prepare_folder(root, outputs, overwrite=overwrite, resume=resume, inputs=inputs)
            self._other_outputs = [o for o in kept if not any(map(o.is_at, outputs))]
            begun = [o for o in kept if o not in self._other_outputs and o.extension]
            whole = {output.kind: output.finished(root) for output in begun}
            self._existing_frames = {output.kind: output.reach(root) for output in begun}
            sequences = [output.kind for output in outputs if output.extension is not None]
            self.done = min((whole.get(kind, 0) for kind in sequences), default=0)
            self._facts, self._claimed = facts, 0
            _in_use.add(self)
            on_failure.callback(_in_use.discard, self)
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
            self._write(facts, last=True)
        finally:
            _in_use.discard(self)
            self._lock.release()

    def abandon(self) -> None:
        """Report, from another thread, that the run was stopped: the program is about to end."""
        self._write({"status": "stopped"}, last=True)

    def _write(self, facts: dict[str, Any], *, last: bool = False) -> None:
        outputs = [asdict(output) for output in self.outputs + self._other_outputs]
        with self._writing:
            if self._ended:
                return
            self._ended = last
            known = {**self._facts, "outputs": outputs}
            try:
                write_report(self.root, {**facts, **known})
            except WriteError:
                if not last:
                    raise
                # On a full disk, this may fit where the last report was.
                lost = ["the disk is full: the rest of this report is missing"]
                few: dict[str, Any] = {
                    name: facts[name] for name in ("status", "frames") if name in facts
                }
                write_report(self.root, {**few, "warnings": lost, **known})


_in_use: WeakSet[RunFolder] = WeakSet()


def prepare_folder(
    root: Path,
    outputs: Sequence[Output],
    *,
    overwrite: bool,
    resume: bool = False,
    inputs: Sequence[Path] = (),
) -> list[Output]:
    """Remove the earlier outputs that new ones replace.

    Args:
        root: The run's folder.
        outputs: The new outputs.
        overwrite: Remove the files that an earlier run listed in its ``run.json``, and no others.
        resume: Keep the outputs of an earlier run, to continue them.
        inputs: Files and folders that the run reads, which must not be removed.

    Returns:
        Outputs of earlier runs that are kept: all for ``resume``, none for ``overwrite``, else all
        but the preview and, from a run without frames, a plate that was not changed since.

    Raises:
        OutputsExistError: Files would be lost or mixed with others; nothing was removed.
        WriteError: The folder cannot be read, or a file in it cannot be removed.
    """
    used = _real_paths(inputs)
    earlier = listed_outputs(read_report(root))
    replaced = ["preview"]
    if all(output.kind in SIDE_KINDS for output in earlier) and _is_plate_unchanged(root, used):
        replaced.append("plate")
    kept = [] if overwrite else [o for o in earlier if resume or o.kind not in replaced]
    removed = [output for output in earlier if output not in kept]
    _refuse_links(root, [*outputs, *removed])
    removable = {path for output in removed for path in output.files(root)}
    _refuse_inputs(removable, inputs)
    new = [o for o in outputs if not (resume and any(map(o.is_at, kept)))]
    _refuse_conflicts(root, new, removable, overwrite=overwrite, resume=resume)
    try:
        for path in removable:
            if is_own_name(path.relative_to(root)):
                unlink_file(path)
    except OSError as error:
        raise WriteError(f"{error.filename}: {error.strerror}") from error
    return kept


def _refuse_to_write_where_frames_come_from(
    root: Path, outputs: Sequence[Output], inputs: Sequence[Path]
) -> None:
    used = _real_paths(inputs)
    for folder in (root, *(root / output.path for output in outputs if output.extension)):
        if not used.isdisjoint(_real_paths([folder])):
            raise OutputsExistError(
                f"{folder}: is read from, and files written there would be read as frames; "
                "give another --output-dir"
            )


def _refuse_links(root: Path, outputs: Iterable[Output]) -> None:
    """Refuse folders of sequences that are links: the files in them are somebody else's."""
    for folder in (root / output.path for output in outputs if output.extension):
        with os_errors_as(WriteError, folder):
            is_link = folder.is_symlink()
        if is_link:
            raise OutputsExistError(
                f"{folder}: is a link, and nothing is written or removed through links; "
                "move it away, or give another --output-dir"
            )


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
