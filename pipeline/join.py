"""Joins what runs over parts of a clip have written: all frames are there, and whole."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from media import FrameRange, UsageError, Warn, range_text
from writers import (
    PLATE_LABEL,
    FolderLock,
    Output,
    OutputsExistError,
    Segment,
    WriteError,
    concatenate,
    is_locked,
    listed_outputs,
    read_reports,
    report_name,
    write_report,
)

#: Frames of a clip at most, two days of it; more are a damaged report.
_MAX_FRAMES = 5 * 10**6


@dataclass(frozen=True)
class Part:
    """What one run has written.

    Attributes:
        label: What its files are called.
        report: Its report.
        outputs: Those that it lists.
    """

    label: str
    report: dict[str, Any]
    outputs: list[Output]


@dataclass(frozen=True)
class Joined:
    """What :func:`join_parts` found and made.

    Attributes:
        frames: The numbers of all frames, as a range.
        count: How many these are.
        outputs: Folders of images, and videos.
    """

    frames: str
    count: int
    outputs: list[Path]


def join_parts(root: Path, frames: FrameRange | None, warn: Warn) -> Joined:
    """Check that runs over parts of a clip have written every frame, and join their videos.

    Videos are joined without encoding; the sound comes from the clip. ``run.json`` lists the whole.

    Args:
        root: The output folder.
        frames: The frames to expect; by default those of the clip.
        warn: Called with one sentence for each thing that cannot be checked or joined.

    Raises:
        UsageError: There is nothing to join.
        WriteError: Frames are missing, or not whole, or do not go together; or a file cannot be
            read or written.
        OutputsExistError: A run is writing to the folder, or a file is in the way.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: is no folder; give the --output-dir of the runs")
    lock = FolderLock(root)
    try:
        parts = _parts_in(root, frames)
        wanted = _wanted(parts, frames, warn)
        kinds = _by_kind(parts)
        problems = [
            problem
            for kind, outputs in kinds.items()
            for problem in _problems(root, kind, outputs, wanted.numbers)
        ]
        if problems:
            raise WriteError(f"{root}: {'; '.join(problems)}")
        before = listed_outputs(read_reports(root).get("", {}))
        joined = [_join(root, parts, outputs, wanted, before, warn) for outputs in kinds.values()]
        kept = [output for output in before if not any(map(output.is_at, joined))]
        _write_report(root, parts, [*joined, *kept], len(wanted.numbers))
    finally:
        lock.release()
    text = range_text(wanted.numbers)
    return Joined(text, len(wanted.numbers), [root / output.path for output in joined])


def _parts_in(root: Path, frames: FrameRange | None) -> list[Part]:
    parts = []
    for label, report in read_reports(root).items():
        if label in ("", PLATE_LABEL):
            continue
        outputs = [output for output in listed_outputs(report) if output.numbers]
        if any(_size(output.held) > _MAX_FRAMES for output in outputs):
            raise WriteError(f"{root / report_name(label)}: lists more frames than a clip can have")
        if frames is not None and not any(frames.overlaps(output.held) for output in outputs):
            continue
        if is_locked(root, label):
            raise OutputsExistError(f"{root}: a run is writing frames {label}; wait for it")
        parts.append(Part(label, report, outputs))
    if not any(part.outputs for part in parts):
        raise UsageError(f"{root}: holds no frames of runs with --frames; nothing to join")
    parts.sort(key=lambda part: min((next(iter(o.held)) for o in part.outputs), default=0))
    _check_alike(root, parts)
    return parts


def _check_alike(root: Path, parts: Sequence[Part]) -> None:
    """Refuse frames that were made with different settings or from different files."""
    first: dict[str, tuple[str, Output]] = {}
    for part in parts:
        for output in part.outputs:
            label, other = first.setdefault(output.kind, (part.label, output))
            mine, theirs = output.made_from or {}, other.made_from or {}
            for name in ("flags", "files", "weights"):
                if mine.get(name) != theirs.get(name):
                    raise WriteError(
                        f"{root}: {output.kind} of {part.label} was made from something else than "
                        f"that of {label}: {_difference(mine.get(name), theirs.get(name))}; make "
                        "one of them again with --overwrite"
                    )


def _difference(one: object, other: object) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        return next((str(n) for n in {**one, **other} if one.get(n) != other.get(n)), "")
    return "the weights"


@dataclass(frozen=True)
class _Wanted:
    """The numbers of the frames that have to be there, and where they lie in the clip."""

    numbers: list[int]
    from_start: bool
    to_end: bool


def _wanted(parts: Sequence[Part], frames: FrameRange | None, warn: Warn) -> _Wanted:
    clips = {part.report.get("clip") for part in parts}
    clip = next(iter(clips)) if len(clips) == 1 else None
    held = sorted({number for part in parts for output in part.outputs for number in output.held})
    known = _numbers(clip) if isinstance(clip, str) else []
    if not known:
        known = list(range(held[0], held[-1] + 1))
        if frames is None:
            warn("it is not known how many frames the clip has: the last ones may be missing")
    numbers = [n for n in known if n in frames] if frames is not None else known
    if not numbers:
        raise UsageError(f"--frames {frames}: the clip has none of these frames")
    return _Wanted(numbers, numbers[0] == known[0], numbers[-1] == known[-1])


def _numbers(text: str) -> list[int]:
    try:
        found = FrameRange.parse(text)
    except ValueError:
        return []
    return list(found) if _size(found) <= _MAX_FRAMES else []


def _size(numbers: FrameRange) -> int:
    return sum(len(part) for part in numbers.parts if isinstance(part, range))


def _by_kind(parts: Sequence[Part]) -> dict[str, list[Output]]:
    kinds: dict[str, list[Output]] = {}
    for part in parts:
        for output in part.outputs:
            kinds.setdefault(output.kind, []).append(output)
    for outputs in kinds.values():
        outputs.sort(key=lambda output: min(output.held))
    return kinds


def _problems(
    root: Path, kind: str, outputs: Sequence[Output], wanted: Sequence[int]
) -> Iterator[str]:
    """What is wrong with the frames of a kind, in words."""
    names = {(output.path, output.pattern, output.extension) for output in outputs}
    is_images = outputs[0].extension is not None
    if len({output.extension for output in outputs}) > 1 or (is_images and len(names) > 1):
        yield f"the parts of {kind} have different names or formats"
        return
    held: list[int] = sorted(number for output in outputs for number in output.held)
    missing = sorted(set(wanted) - set(held))
    if missing:
        text = range_text(missing)
        yield f"frames {text} of {kind} are missing; run again with --frames {text}"
    if is_images:
        there = set(wanted) & set(held)
        broken = sorted(there - outputs[0].whole(root, there))
        if broken:
            text = range_text(broken)
            yield f"frames {text} of {kind} are not there or not whole; run with --resume"
        return
    twice = sorted({a for a, b in pairwise(held) if a == b})
    if twice:
        yield f"frames {range_text(twice)} of {kind} are in more than one video; remove one of them"
    spans = [(min(output.held), max(output.held)) for output in outputs]
    if not twice and any(a[1] > b[0] for a, b in pairwise(sorted(spans))):
        yield f"the frames of {kind} lie between each other, which only images can be joined from"
    for output in outputs:
        if not (root / output.path).exists():
            yield f"{output.path} is missing; run again with --frames {output.numbers}"
        elif outside := sorted(set(output.held) - set(wanted)):
            yield f"{output.path} also holds frames {range_text(outside)}, which are not wanted"


def _join(
    root: Path,
    parts: Sequence[Part],
    outputs: Sequence[Output],
    wanted: _Wanted,
    before: Sequence[Output],
    warn: Warn,
) -> Output:
    """The output that holds all frames of a kind; videos are joined for it."""
    whole = Output(**asdict(outputs[0]))
    whole.hold(wanted.numbers)
    if whole.extension is not None:
        if whole.made_from and "images" in whole.made_from:
            whole.made_from["images"] = _images_of(outputs)
        return whole
    reports = [next(p.report for p in parts if output in p.outputs) for output in outputs]
    label = next(part.label for part in parts if outputs[0] in part.outputs)
    path = PurePosixPath(whole.path)
    whole.path = str(path.with_name(path.name.removesuffix(f".{label}{path.suffix}") + path.suffix))
    target = root / whole.path
    if target.exists() and not any(output.is_at(whole) for output in before):
        raise OutputsExistError(f"{target}: is no video that was joined before; move it away")
    begins = [_fraction(report.get("begin")) for report in reports]
    rate = _fraction(reports[0].get("rate")) or Fraction(30)
    known = [begin for begin in begins if begin is not None]
    has_clock = len(known) == len(outputs)
    origin = Fraction(0)
    if has_clock:
        start = _fraction(reports[0].get("origin")) if wanted.from_start else None
        origin = known[0] if start is None else start
    segments: list[Segment] = []
    for output, begin in zip(outputs, begins, strict=True):
        counted = sum(segment.frames for segment in segments) / rate
        shown = begin - origin if has_clock and begin is not None else counted
        segments.append(Segment(root / output.path, output.frames, shown))
    concatenate(
        segments,
        target,
        audio=_clip_of(whole, warn) if whole.kind == "com" and has_clock else None,
        origin=origin,
        from_start=wanted.from_start,
        to_end=wanted.to_end,
        warn=warn,
    )
    return whole


def _clip_of(output: Output, warn: Warn) -> Path | None:
    """The clip that an output was made from, for its sound."""
    flags = (output.made_from or {}).get("flags")
    name = flags.get("video_src") if isinstance(flags, dict) else None
    if isinstance(name, str) and Path(name).is_file():
        return Path(name)
    warn(f"{name}: not found, so that the video has no sound")
    return None


def _images_of(outputs: Sequence[Output]) -> list[Any]:
    """What tells whether the images of a clip have changed, of all parts."""
    known = [(output.made_from or {}).get("images") for output in outputs]
    return [part for images in known if isinstance(images, list) for part in images]


def _fraction(value: object) -> Fraction | None:
    try:
        return Fraction(value) if isinstance(value, str) and len(value) < 100 else None
    except (ValueError, ZeroDivisionError):
        return None


def _write_report(root: Path, parts: Sequence[Part], outputs: Sequence[Output], count: int) -> None:
    """Write ``run.json``; it lists the segments, too, for ``--overwrite``."""
    segments = [o for part in parts for o in part.outputs if o.extension is None]
    first = parts[0].report
    repeated = {n for part in parts for n in _list_of(part.report, "repeated_frames")}
    warnings = [text for part in parts for text in _list_of(part.report, "warnings")]
    report = {
        "status": "done",
        "frames": count,
        "joined": [part.label for part in parts],
        "repeated_frames": sorted(n for n in repeated if isinstance(n, int)),
        "warnings": list(dict.fromkeys(map(str, warnings))),
        **{name: first.get(name) for name in ("settings", "device", "versions")},
        "outputs": [
            asdict(output)
            for output in [*outputs, *(s for s in segments if not any(map(s.is_at, outputs)))]
        ],
    }
    write_report(root, report)


def _list_of(report: dict[str, Any], name: str) -> list[Any]:
    found = report.get(name)
    return found if isinstance(found, list) else []
