"""A run's folder, and what the run tells about itself in ``run.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .lock import FolderLock
from .outputs import KINDS, Output, prepare_folder, write_report

#: Frames that are claimed at once, so that the report is not written for each of them.
_CLAIM = 1000


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
