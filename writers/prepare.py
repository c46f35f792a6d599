"""Makes room in an output folder for a run: what earlier ones left is kept, removed or refused."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from media import os_errors_as

from .base import WriteError
from .files import partial_name, unlink_file
from .lock import OutputsExistError, is_locked
from .outputs import PLATE_KINDS, PLATE_LABEL, PLATE_NAME, SIDE_KINDS, Output
from .report import listed_outputs, read_report, read_reports, report_name

#: More frames than any clip has.
MAX_FRAMES = 10**9


@dataclass
class Earlier:
    """What earlier runs left in a folder.

    Attributes:
        others: Outputs that the run's own report goes on listing.
        begun: By kind, outputs with the names of the run's own, which it continues.
        numbers: The run's frames; None for the whole clip.
        repeated: Numbers of frames that could not be decoded, by all reports.
    """

    others: list[Output] = field(default_factory=list)
    begun: list[Output] = field(default_factory=list)
    numbers: Sequence[int] | None = None
    repeated: frozenset[int] = frozenset()
    _existing: dict[int, set[int]] = field(default_factory=dict, repr=False)

    def existing(self, root: Path, output: Output) -> set[int]:
        """Numbers of the files of an output that are there, complete or not."""
        if id(output) not in self._existing:
            self._existing[id(output)] = self._look(root, output)
        return self._existing[id(output)]

    def _look(self, root: Path, output: Output) -> set[int]:
        begun = [other for other in self.begun if other.is_at(output)]
        if output.extension is None:
            return set(self.numbers or ()) if begun else set()
        if self.numbers is None:
            return listed_in(begun, output.existing(root)) if begun else set()
        folder, wanted = root / output.path, set(self.numbers)
        return {
            number
            for number in listed_in(begun, wanted)
            if (folder / output.file_name(number)).exists()
        }

    def whole(self, root: Path, outputs: Sequence[Output]) -> frozenset[int]:
        """Numbers of the frames that are complete in all outputs."""
        frames = [output for output in outputs if output.kind not in SIDE_KINDS]
        found = None
        for output in frames:
            numbers = self.existing(root, output)
            if output.extension is not None:
                numbers = output.whole(root, numbers)
            found = numbers if found is None else found & numbers
        return frozenset(found or ())


def prepare_folder(
    root: Path,
    outputs: Sequence[Output],
    *,
    label: str = "",
    numbers: Sequence[int] | None = None,
    overwrite: bool,
    resume: bool = False,
    inputs: Sequence[Path] = (),
) -> Earlier:
    """Remove the earlier outputs that new ones replace.

    Args:
        root: The run's folder.
        outputs: The new outputs.
        label: Names the run's frames; empty for the whole clip.
        numbers: The run's frames; None for the whole clip.
        overwrite: Remove the files that earlier runs listed in their reports, and no others; of a
            run of some frames, only those of its frames.
        resume: Keep the outputs of earlier runs, to continue them.
        inputs: Files and folders that the run reads, which must not be removed.

    Returns:
        Outputs of earlier runs that are kept: all for ``resume``, none for ``overwrite``, else all
        but the preview, the times if they are written again, and, from a run without frames, a
        plate that was not changed since.

    Raises:
        OutputsExistError: Files would be lost or mixed with others, or another run writes some of
            these frames; nothing was removed.
        WriteError: The folder cannot be read, or a file in it cannot be removed.
    """
    read_report(root, label)  # of another program, it would be lost
    reports = read_reports(root)
    earlier = {name: listed_outputs(report) for name, report in reports.items()}
    _refuse_running(root, label, numbers, earlier)
    own = earlier.get(label, [])
    every = [output for listed in earlier.values() for output in listed]
    used = _real_paths(inputs)
    replaced = ["preview", *(output.kind for output in outputs if output.kind == "timecodes")]
    if all(o.kind in SIDE_KINDS for o in every) and _is_plate_unchanged(root, used, label):
        replaced += PLATE_KINDS
    kept = [o for o in own if resume or o.kind not in replaced]
    if overwrite:  # of a range, images in another format stay, and are listed for the next time
        kept = [o for o in own if numbers is not None and o.extension is not None]
    removed = [output for output in own if output not in kept]
    if numbers is None and overwrite:
        removed = every
    leaves = () if label in ("", PLATE_LABEL) else PLATE_KINDS  # to other runs
    removable = {path for o in removed for path in _own_files(root, o, numbers, leaves)}
    if numbers is not None and overwrite:
        for output in outputs:
            begun = [other for other in every if other.is_at(output) and other.extension]
            for number in listed_in(begun, set(numbers)):
                path = root / output.path / output.file_name(number)
                removable |= {path, partial_name(path)}
    _refuse_links(root, [*outputs, *removed])
    _refuse_inputs(removable, inputs)
    begun = [one for one in every if resume and any(map(one.is_at, outputs))]
    videos = [one for one in outputs if one.extension is None and one.kind not in SIDE_KINDS]
    is_running = reports.get(label, {}).get("status") == "running"
    if resume and any(is_running or not _is_complete(root, o, begun, numbers) for o in videos):
        removable |= {path for o in videos if any(map(o.is_at, own)) for path in o.files(root)}
        begun = [one for one in begun if not any(map(one.is_at, videos))]
    for output in outputs:
        listed = [one for one in begun if one.is_at(output)]
        if output.kind in PLATE_KINDS and label not in ("", PLATE_LABEL):
            listed += [one for one in every if one.is_at(output)]
        _refuse_conflicts(
            root, output, listed, removable, numbers, overwrite=overwrite, resume=resume
        )
    if numbers is None and overwrite:
        removable |= {root / report_name(name) for name in reports if name}
    try:
        for path in removable:
            unlink_file(path)
    except OSError as error:
        raise WriteError(f"{error.filename}: {error.strerror}") from error
    others = [output for output in kept if not any(map(output.is_at, outputs))]
    return Earlier(others, begun, numbers, _repeated(reports.values()))


def _repeated(reports: Iterable[dict[str, Any]]) -> frozenset[int]:
    lists = [report.get("repeated_frames") for report in reports]
    return frozenset(n for x in lists if isinstance(x, list) for n in x if isinstance(n, int))


def _own_files(
    root: Path, output: Output, numbers: Sequence[int] | None, leaves: Sequence[str]
) -> Iterable[Path]:
    """The files of an output to remove as a whole, except kinds that are left to other runs."""
    if output.kind in leaves or (numbers is not None and output.extension is not None):
        return ()
    return output.files(root)


def _is_complete(
    root: Path, video: Output, begun: Sequence[Output], numbers: Sequence[int] | None
) -> bool:
    """Whether a video is there that holds all frames of the run."""
    held = next((one.held for one in begun if one.is_at(video)), None)
    whole = held is not None and numbers is not None and all(n in held for n in numbers)
    return whole and (root / video.path).exists()


def _refuse_running(
    root: Path,
    label: str,
    numbers: Sequence[int] | None,
    earlier: dict[str, list[Output]],
) -> None:
    """Refuse frames that another run is writing at this moment."""
    mine = None if numbers is None else set(numbers)
    for name, outputs in earlier.items():
        if name in ("", label):
            continue
        shared = mine is None or listed_in(outputs, mine)
        if shared and is_locked(root, name):
            raise OutputsExistError(
                f"{root}: another run is writing frames {name} there; wait for it, or give "
                "another --output-dir"
            )


def listed_in(outputs: Iterable[Output], numbers: set[int]) -> set[int]:
    """Those of some numbers that outputs hold."""
    return set().union(*(output.held.among(numbers) for output in outputs))


def _refuse_conflicts(
    root: Path,
    output: Output,
    listed: Sequence[Output],
    removable: set[Path],
    numbers: Sequence[int] | None,
    *,
    overwrite: bool,
    resume: bool,
) -> None:
    """Refuse to mix with files that are there, except those that ``listed`` outputs hold."""
    if output.extension is None and listed:
        return
    known: set[int] = set()
    if output.extension is not None and listed:
        known = listed_in(listed, output.existing(root) if numbers is None else set(numbers))
    for path in output.conflicts(root, numbers, known):
        if path in removable:
            continue
        name = path.relative_to(root)
        if overwrite or resume:
            flag = "--overwrite" if overwrite else "--resume"
            raise OutputsExistError(
                f"{root}: {name} was not written by an earlier run, so {flag} does not "
                "touch it; move it away, or give another --output-dir"
            )
        goes_on = output.extension is not None or numbers is not None
        flags = "--resume, --overwrite" if goes_on else "--overwrite"
        raise OutputsExistError(
            f"{root}: {name} is there already; give {flags} or another --output-dir"
        )


def refuse_to_write_where_frames_come_from(
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
    paths = [Path(output.path) for output in outputs]
    shared = {part for path in paths for part in path.parents} - {Path()}
    sequences = {Path(output.path) for output in outputs if output.extension} - {Path()}
    for folder in sorted(root / path for path in shared | sequences):
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


def _refuse_inputs(removable: set[Path], inputs: Sequence[Path]) -> None:
    removed = {part for path in _real_paths(removable) for part in (path, path.parent)}
    for path in inputs:
        if not removed.isdisjoint(_real_paths([path])):
            raise OutputsExistError(
                f"{path}: was written by the earlier run and would be removed, but this run reads "
                "it; give another --output-dir"
            )


def _is_plate_unchanged(root: Path, used: set[Path], label: str) -> bool:
    """Whether the plate in a folder is older than the report and not an input."""
    plate, report = root / PLATE_NAME, root / report_name(label)
    with suppress(OSError):
        is_older = plate.stat().st_mtime_ns <= report.stat().st_mtime_ns
        return is_older and used.isdisjoint(_real_paths([plate]))
    return False
