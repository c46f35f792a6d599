"""The output folder of a run: its lock and its report."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any
from weakref import WeakSet

from media import os_errors_as

from .base import WriteError
from .files import make_folders, remove_folders, save_whole, unlink_file
from .formats import KINDS
from .lock import FolderLock, OutputsExistError
from .outputs import Output
from .prepare import MAX_FRAMES, prepare_folder, refuse_to_write_where_frames_come_from
from .report import read_report, write_report

#: Frames to list in the report ahead of time, so that it is not rewritten for each frame.
_FRAMES_PER_CLAIM = 1000
#: How often, and for how many seconds each time, to wait while other runs prepare their frames.
_ATTEMPTS, _ATTEMPT_SECONDS = 60, 2


def folders_in_use() -> list["RunFolder"]:
    """The folders of the runs in progress."""
    return list(_in_use)


class RunFolder:
    """The output folder of a run and its report.

    The report lists files before they are written, so that ``overwrite`` can remove the files of a
    run that was killed. Runs of different frames write to one folder at the same time; a run of
    the whole clip has the folder for itself.

    Args:
        root, outputs, label, overwrite, resume, inputs: As in :func:`prepare_folder`.
        numbers: Gives the numbers of all frames of the run, ascending, as often as it is called;
            without a label there may be no end to them.
        facts: Entries of the report that are known at the start, such as settings.

    Attributes:
        label, facts: As in the arguments; facts that are added come with the next report.
        whole: Numbers of the frames that earlier runs completed; none unless ``resume``.
        repeated: Those of them that could not be decoded, and repeat a neighbour.

    Raises:
        OutputsExistError: Outputs of these kinds exist, or another run writes these frames.
        WriteError: The folder cannot be read or created.
    """

    def __init__(
        self,
        root: Path,
        outputs: Sequence[Output],
        *,
        label: str = "",
        numbers: Callable[[], Iterator[int]],
        overwrite: bool,
        resume: bool,
        inputs: Sequence[Path],
        facts: dict[str, Any],
    ):
        self.root, self.outputs, self.label = root, list(outputs), label
        self._running: dict[str, Any] = {"status": "running"}
        self._told = 0.0
        self._writing, self._ended = RLock(), False
        refuse_to_write_where_frames_come_from(root, outputs, inputs)
        with ExitStack() as on_failure:
            with os_errors_as(WriteError, root, ValueError):  # ValueError: a NUL character
                # Before the lock, and this before any look at what is there: of two runs, one may
                # have finished in between.
                on_failure.callback(remove_folders, make_folders(root))
            guard = _enter(root, label)
            on_failure.callback(guard.release)
            self._lock = FolderLock(root, label) if label else guard
            on_failure.callback(self._lock.release)
            there = prepare_folder(
                root,
                outputs,
                label=label,
                numbers=list(numbers()) if label else None,
                overwrite=overwrite,
                resume=resume,
                inputs=inputs,
            )
            self._other_outputs = there.others
            self._existing = {output.kind: there.existing(root, output) for output in outputs}
            self.whole = there.whole(root, outputs)
            self.repeated = sorted(there.repeated & self.whole)
            self._pending = (number for number in numbers() if number not in self.whole)
            self._known: list[int] = []  # pending ones, as far as they were needed
            self._is_open = not label
            self.facts, self._claimed = facts, 0
            _in_use.add(self)
            on_failure.callback(_in_use.discard, self)
            self.claim(1)  # before a writer creates a file
            on_failure.pop_all()
            if guard is not self._lock:
                guard.release()

    def claim(self, frames: int) -> None:
        """List at least so many frames in the report before this run writes them."""
        if frames > self._claimed:
            self._claimed = frames + _FRAMES_PER_CLAIM if self._is_open else MAX_FRAMES
            self._hold({output.kind: self._claimed for output in self.outputs})
            self._write(self._running)

    def tell(self, facts: dict[str, Any]) -> None:
        """Let the report have these entries, too, while the run goes on; once a second at most."""
        self._running.update(facts)
        if time.monotonic() - self._told > 1:
            self._write(self._running)

    def written(self) -> list[tuple[str, str]]:
        """Kind and extension of every output that a frame writer writes."""
        frames = (output for output in self.outputs if output.kind in KINDS)
        return [(o.kind, o.extension or Path(o.path).suffix[1:]) for o in frames]

    def save_timecodes(self, times: Sequence[float] | None) -> Path | None:
        """Write the times of the frames, if the run has a file for them.

        Args:
            times: Of each frame, in seconds; None removes what an earlier run wrote.

        Returns:
            The file, if it is there.

        Raises:
            WriteError: The file cannot be written.
        """
        for output in self.outputs:
            if output.kind == "timecodes":
                break
        else:
            return None
        path = self.root / output.path
        if times is not None:
            lines = ["# timestamp format v2", *(f"{1000 * time:.3f}" for time in times)]
            save_whole(path, ["\n".join([*lines, ""]).encode()])
            return path
        with os_errors_as(WriteError, path):
            unlink_file(path)
        self.outputs.remove(output)
        return None

    def finish(self, begun: Mapping[Any, int], facts: dict[str, Any]) -> None:
        """Write the final report and release the lock.

        Args:
            begun: Frames that each writer was given, some of which it may not have written.
            facts: Entries of the report that are known at the end.
        """
        self._hold(begun)
        try:
            self._write(facts, last=True)
        finally:
            _in_use.discard(self)
            self._lock.release()

    def abandon(self) -> None:
        """Report, from another thread, that the run was stopped: the program is about to end."""
        self._write({"status": "stopped"}, last=True)

    def _hold(self, begun: Mapping[Any, int]) -> None:
        """Set the numbers of each output: what was there, and the first pending ones."""
        most = max(begun.values(), default=0)
        self._known += islice(self._pending, max(0, most - len(self._known)))
        for output in self.outputs:
            if output.kind in KINDS:
                given = self._known[: begun.get(output.kind, 0)]
                output.hold(sorted(self._existing[output.kind].union(given)))

    def _write(self, facts: dict[str, Any], *, last: bool = False) -> None:
        outputs = [asdict(output) for output in self.outputs + self._other_outputs]
        with self._writing:
            if self._ended:
                return
            self._told = time.monotonic()
            self._ended = last
            known = {**self.facts, "outputs": outputs}
            try:
                write_report(self.root, {**facts, **known}, self.label)
            except WriteError:
                if not last:
                    raise
                # On a full disk, this may fit where the last report was.
                lost = ["the disk is full: the rest of this report is missing"]
                few: dict[str, Any] = {
                    name: facts[name] for name in ("status", "frames") if name in facts
                }
                write_report(self.root, {**few, "warnings": lost, **known}, self.label)


_in_use: WeakSet[RunFolder] = WeakSet()


def _enter(root: Path, label: str) -> FolderLock:
    """The lock of the whole folder, for which a run of some frames waits while others prepare."""
    if not label:
        return FolderLock(root)
    for _ in range(_ATTEMPTS):
        try:
            return FolderLock(root, wait=_ATTEMPT_SECONDS)
        except OutputsExistError:
            if read_report(root).get("status") == "running":
                raise
    return FolderLock(root, wait=_ATTEMPT_SECONDS)
