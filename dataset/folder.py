"""A clip as a folder of images."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np

from media import Warn, os_errors_as, prefetch

from .colourspace import ColourSpace
from .images import is_frame_name, is_image_name, read_frame
from .names import Numbers, copies_in, in_order, only_numbers, overlap, sequences_in
from .patterns import is_pattern, matching, numbers_of
from .places import Places
from .plain import PathsIn, plain_sequence
from .sources import Frame, FrameSource, MediaError
from .threads import spare_threads

#: Sequences to name at most in a message.
_MAX_NAMED = 5


@dataclass
class _Chosen:
    """The frames of a folder, the images that the run uses otherwise, and what to tell the user."""

    paths: Sequence[Path]
    excluded: list[Path]
    told: list[str] = field(default_factory=list)
    numbers: Sequence[int] = ()
    digits: int = 0


def _images_in(folder: Path) -> tuple[list[Path], set[Path]]:
    """The images of a folder without hidden files; GIF and AVIF only where there are no others.

    Returns:
        The images, and those of them that are links.

    Raises:
        MediaError: The folder cannot be read, or an image is a broken link.
    """
    with os_errors_as(MediaError, folder, ValueError), os.scandir(folder) as entries:
        seen = [(folder / entry.name, entry) for entry in entries if entry.name[0] != "."]
        named = [(path, entry) for path, entry in seen if is_frame_name(path)]
        named = [(path, entry) for path, entry in named if is_image_name(path)] or named
        links = {path for path, entry in named if entry.is_symlink()}
        for path in links:
            if not path.exists():
                raise MediaError(
                    f"{path}: a link to {path.readlink()}, which is not there; restore that file, "
                    "or remove the link"
                )
        return [path for path, entry in named if entry.is_file()], links


def frames_in(folder: Path, besides: Sequence[Path]) -> tuple[Sequence[Path], list[Path]]:
    """The images of a folder that are frames, in order, and those that are used otherwise.

    Args:
        folder: The folder, or a pattern of names in it, such as ``folder/shot.%04d.png``.
        besides: Images that the run uses for something else. One of these in the folder is not a
            frame, unless its name differs from that of another image in its last number alone.

    Raises:
        MediaError: The folder cannot be read, an image is a broken link, or the folder holds
            several sequences.
    """
    chosen = _choose(folder, besides)
    return chosen.paths, chosen.excluded


def _choose(folder: Path, besides: Sequence[Path]) -> _Chosen:
    with os_errors_as(MediaError, folder, ValueError):
        as_pattern = is_pattern(folder) and not folder.exists()
        plain = None if as_pattern else plain_sequence(folder, besides)
    if plain is not None:
        return _Chosen(plain.paths, [], numbers=plain.numbers, digits=plain.digits)
    if not as_pattern:
        paths, links = _images_in(folder)
        excluded = _excluded(folder, paths, links, besides)
        kept = [path for path in paths if path not in excluded]
        return _of_one_sequence(folder, folder, kept, excluded)
    folder, pattern = folder.parent, folder.name
    with os_errors_as(MediaError, folder, ValueError):
        if not folder.is_dir():
            raise MediaError(f"{folder}: not found; expected the folder of {pattern}")
        named = [x for x in folder.iterdir() if x.name[0] != "." and is_frame_name(x)]
        paths, by_number = matching(pattern, [path for path in named if path.is_file()])
    if not paths:
        raise MediaError(f"{folder / pattern}: no image has such a name; {_held(folder)}")
    if by_number:
        numbers, digits = numbers_of(pattern, paths)
        return _Chosen(paths, [], numbers=numbers, digits=digits)
    return _of_one_sequence(folder, folder / pattern, paths, [])


def _of_one_sequence(
    folder: Path, name: Path, paths: Sequence[Path], excluded: list[Path]
) -> _Chosen:
    """The images that are plainly the clip; all of them if they have no common numbering.

    Raises:
        MediaError: There are several sequences with the same numbers.
    """
    copies = copies_in(paths)
    originals = [path for path in paths if path not in copies]
    sequences, rest = sequences_in(originals)
    ordered, doubt = in_order(originals)
    told = [f"{name}: {doubt}"] if doubt else []
    if copies:
        told.append(
            f"{name}: {_listed(copies)} left out, as named like a copy of another image; rename "
            "what is a frame"
        )
    if not sequences:
        numbers, digits = ([], 0) if doubt else only_numbers(ordered)
        return _Chosen(ordered, excluded, told, numbers, digits)
    first, *others = sequences
    count = len(first.paths)
    if not others and not rest:
        if doubt:
            return _Chosen(ordered, excluded, told)
        return _Chosen(first.paths, excluded, told, first.numbers, first.digits)
    if count >= max(3, 2 * len(rest) + 4 * sum(len(other.paths) for other in others)):
        left = in_order(set(originals) - set(first.paths))[0]
        told.append(
            f"{name}: {first} is read as the clip; {_listed(left)} left out, as named otherwise"
        )
        told = [text for text in told if doubt is None or doubt not in text]
        ordered, doubt = in_order(first.paths)
        told += [f"{name}: {doubt}"] if doubt else []
        known = first.numbers if ordered == first.paths else ()
        return _Chosen(ordered, excluded, told, known, first.digits)
    if len(rest) <= sum(len(one.paths) for one in sequences) and overlap(sequences):
        raise MediaError(
            f"{name}: holds several sequences: {_named(sequences)}; give the pattern of one of "
            f"them, such as {folder / first.pattern}"
        )
    if count > 2:
        told.append(
            f"{name}: all of its {len(ordered)} images are read, in the order of their names; to "
            f"read only the {count} of {first.pattern}, give {folder / first.pattern}"
        )
    return _Chosen(ordered, excluded, told)


def _listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more are" if len(paths) > 1 else " is"
    return f"{paths[0].name}{more}"


def _named(sequences: Sequence[Numbers]) -> str:
    more = [f"{len(sequences) - _MAX_NAMED} more"] if len(sequences) > _MAX_NAMED else []
    return ", ".join([*map(str, sequences[:_MAX_NAMED]), *more])


def _held(folder: Path) -> str:
    """What a folder holds, for a message that it does not hold what was looked for."""
    with os_errors_as(MediaError, folder, ValueError):
        entries = [path for path in folder.iterdir() if path.name[0] != "."]
        suffixes = [path.suffix.lower() for path in entries if not path.is_dir()]
    sequences, _ = sequences_in([path for path in entries if is_frame_name(path)])
    if sequences:
        return f"the folder holds {_named(sequences)}"
    kinds = [
        f"{count} {suffix} file{'s' * (count > 1)}" if suffix else f"{count} without extension"
        for suffix, count in Counter(suffixes).most_common(3)
    ]
    folders = len(entries) - len(suffixes)
    kinds += [f"{folders} folder{'s' * (folders > 1)}"] if folders else []
    return f"the folder holds {', '.join(kinds)}" if kinds else "the folder is empty"


def beside(path: Path) -> Numbers | None:
    """The sequence in a file's folder to which the file belongs, if there is one."""
    try:
        paths, _ = _images_in(path.parent)
    except MediaError:
        return None
    sequences, _ = sequences_in(paths)
    return next((one for one in sequences if path.name in {x.name for x in one.paths}), None)


def _excluded(
    folder: Path, paths: Sequence[Path], links: set[Path], besides: Sequence[Path]
) -> list[Path]:
    """Those of ``paths`` that are in ``besides`` and not named as one of the others is."""
    used = {os.path.realpath(path) for path in besides}
    real = os.path.realpath(folder)
    names = {os.path.basename(path) for path in used if os.path.dirname(path) == real}
    found = [
        path
        for path in paths
        if path.name in names or (path in links and os.path.realpath(path) in used)
    ]
    if not found:
        return []
    others = {_without_number(path) for path in paths if path not in found}
    return [path for path in found if others and _without_number(path) not in others]


def _without_number(path: Path) -> str:
    """A file's name without its last number."""
    return re.sub(r"\d+(?=\D*$)", "", path.name.lower())


def _same_stem(paths: Sequence[Path]) -> list[Path]:
    """The first two neighbours that differ in their extension alone; empty without any."""
    return next((list(x) for x in pairwise(paths) if x[0].stem == x[1].stem), [])


def _missing_numbers(numbers: Sequence[int]) -> list[int]:
    """Gaps in a numbered sequence; empty unless at least half of the numbers are there."""
    if not numbers or numbers[-1] - numbers[0] >= 2 * len(numbers):
        return []
    return sorted(set(range(numbers[0], numbers[-1])) - set(numbers))


def _ignore_warning(message: str) -> None:
    """For callers that need no warnings."""


def _once_a_kind(warn: Warn) -> Warn:
    """Warn once of what is told of several files."""
    told: set[str] = set()

    def warn_once(message: str) -> None:
        kind = message.rpartition(": ")[2]
        if kind not in told:
            told.add(kind)
            warn(message)

    return warn_once


class ImageFolder(FrameSource):
    """Image files, one frame each, in the order given.

    Args:
        paths: At least one file.
        name: Name in messages.
        warn: Called once for each kind of colour profile that cannot be applied.
        space: The colour space of images without a profile.
        alpha: Read alpha, too.

    Attributes:
        numbers: Those in the names of the files, ascending; empty where these have none.
        digits: How many digits these have at least; 0 if that varies.
    """

    numbers: Sequence[int] = ()
    digits: int = 0

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        name: str,
        warn: Warn = _ignore_warning,
        space: ColourSpace | None = None,
        alpha: bool = False,
    ):
        self._space, self._alpha = space or ColourSpace(), alpha
        self._warn = _once_a_kind(warn)
        self.paths = paths
        self._threads = spare_threads()  # now: a run changes PyTorch's number
        self.name = name
        self.length_hint = len(self.paths)
        first = self._read(self.paths[0])
        self.size, self.deep = first.image.shape[:2], first.image.dtype != np.uint8
        self.has_alpha = first.pha is not None

    def file(self, place: int) -> str:
        """The path of an image, as text; for many images."""
        paths = self.paths
        return paths.file(place) if isinstance(paths, PathsIn) else os.fspath(paths[place])

    @classmethod
    def open(
        cls,
        folder: Path,
        warn: Warn,
        besides: Sequence[Path] = (),
        space: ColourSpace | None = None,
        *,
        alpha: bool = False,
    ) -> "ImageFolder":
        """The images of a folder in the order of their numbers.

        Args:
            folder: The folder, or a pattern of names in it, as for :func:`frames_in`.
            warn: Called for gaps in a numbered sequence, and for images that may not be frames.
            besides: As in :func:`frames_in`.
            space: The colour space of images without a profile.
            alpha: Read alpha, too.

        Raises:
            MediaError: The folder holds no images, or several sequences.
        """
        chosen = _choose(folder, besides)
        paths = chosen.paths
        if not paths:
            raise MediaError(
                f"{folder}: no images in this folder that can be read; {_held(folder)}; convert "
                "the frames to PNG, or name a video"
            )
        for path in chosen.excluded:
            warn(f"{path}: is used for something else, and is not read as a frame of {folder}")
        for text in chosen.told:
            warn(text)
        if not isinstance(paths, PathsIn) and (pair := _same_stem(paths)):
            warn(
                f"{folder}: {pair[0].name} and {pair[1].name} are two frames; if they are one "
                "image in two formats, move one of the formats to another folder"
            )
        missing = _missing_numbers(chosen.numbers)
        if missing:
            more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
            warn(
                f"{folder}: number {missing[0]}{more} missing; images that are written keep their "
                "numbers, a video plays without a gap"
            )
        opened = cls(paths, name=str(folder), warn=warn, space=space, alpha=alpha)
        opened.numbers, opened.digits = chosen.numbers, chosen.digits
        return opened

    def read(self, number: int) -> np.ndarray:
        """The levels of a frame by its number: (H, W, 3), uint8 or uint16."""
        return self._read(self.paths[number]).image

    def _read(self, path: Path) -> Frame:
        return read_frame(path, self._warn, self._space, alpha=self._alpha)

    def __iter__(self) -> Iterator[Frame]:
        return self.pick(Places())

    def length(self) -> int:
        return len(self.paths)

    def pick(self, places: Places) -> Iterator[Frame]:
        numbers = list(takewhile(lambda place: place < len(self.paths), places))
        paths = [self.paths[number] for number in numbers]
        frames = prefetch(self._read, paths, self._threads, name="read")
        for number, path, frame in zip(numbers, paths, frames, strict=True):
            image = frame.image
            if image.shape[:2] != self.size:
                height, width = self.size
                raise MediaError(
                    f"{path}: frame {number} is {image.shape[1]}x{image.shape[0]}, "
                    f"the frames before it are {width}x{height}; resize them to one size"
                )
            yield frame
