"""A clip as a folder of images."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from media import Warn, os_errors_as, prefetch

from .images import IMAGE_EXTENSIONS, is_image_name, read_image
from .sources import Frame, FrameSource, MediaError
from .threads import spare_threads


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts ``2.png`` before ``10.png``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]


def _images_in(folder: Path) -> list[Path]:
    """The images of a folder in natural order, without hidden files.

    Raises:
        MediaError: The folder cannot be read, or an image is a broken link.
    """
    with os_errors_as(MediaError, folder, ValueError):
        named = [path for path in folder.iterdir() if path.name[0] != "." and is_image_name(path)]
        named.sort(key=natural_key)
        for path in named:
            if path.is_symlink() and not path.exists():
                raise MediaError(
                    f"{path}: a link to {path.readlink()}, which is not there; restore that file, "
                    "or remove the link"
                )
        return [path for path in named if path.is_file()]


def frames_in(folder: Path, besides: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The images of a folder that are frames, in natural order, and those that are not.

    Args:
        folder: The folder.
        besides: Images that the run uses for something else. One of these in the folder is not a
            frame, unless its name differs from that of another image in its last number alone.

    Raises:
        MediaError: The folder cannot be read, or an image is a broken link.
    """
    paths = _images_in(folder)
    excluded = _excluded(paths, besides)
    return [path for path in paths if path not in excluded], excluded


def _excluded(paths: Sequence[Path], besides: Sequence[Path]) -> list[Path]:
    """Those of ``paths`` that are in ``besides`` and not named as one of the others is."""
    used = {os.path.realpath(path) for path in besides}
    others = {_without_number(path) for path in paths if os.path.realpath(path) not in used}
    return [
        path
        for path in paths
        if others and os.path.realpath(path) in used and _without_number(path) not in others
    ]


def _without_number(path: Path) -> str:
    """A file's name without its last number."""
    return re.sub(r"\d+(?=\D*$)", "", path.name.lower())


def _same_stem(paths: Sequence[Path]) -> list[Path]:
    """The first two neighbours that differ in their extension alone; empty without any."""
    return next((list(x) for x in pairwise(paths) if x[0].stem == x[1].stem), [])


def _missing_numbers(paths: Sequence[Path]) -> list[int]:
    """Gaps in a numbered sequence.

    Empty unless the names differ in their last number alone and at least half of the numbers are
    there.
    """
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", path.name) for path in paths]
    if None in parts or len({(p[1], p[3]) for p in parts if p}) != 1:
        return []
    present = {int(part[2]) for part in parts if part}
    if max(present) - min(present) >= 2 * len(present):
        return []
    return sorted(set(range(min(present), max(present))) - present)


class ImageFolder(FrameSource):
    """Image files, one frame each, in the order given.

    Args:
        paths: At least one file.
        name: Name in messages.
    """

    def __init__(self, paths: Sequence[Path], *, name: str):
        self.paths = list(paths)
        self._threads = spare_threads()  # now: a run changes PyTorch's number
        self.name = name
        self.length_hint = len(self.paths)
        self.size = read_image(self.paths[0]).shape[:2]

    @classmethod
    def open(cls, folder: Path, warn: Warn, besides: Sequence[Path] = ()) -> "ImageFolder":
        """The images of a folder in natural order.

        Args:
            folder: The folder.
            warn: Called for gaps in a numbered sequence, and for images that may not be frames.
            besides: As in :func:`frames_in`.

        Raises:
            MediaError: The folder holds no images.
        """
        paths, excluded = frames_in(folder, besides)
        if not paths:
            known = " ".join(sorted(IMAGE_EXTENSIONS))
            raise MediaError(f"{folder}: no images in this folder; looked for {known}")
        for path in excluded:
            warn(f"{path}: is used for something else, and is not read as a frame of {folder}")
        if pair := _same_stem(paths):
            warn(
                f"{folder}: {pair[0].name} and {pair[1].name} are two frames; if they are one "
                "image in two formats, move one of the formats to another folder"
            )
        missing = _missing_numbers(paths)
        if missing:
            more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
            warn(
                f"{folder}: number {missing[0]}{more} missing; the frames are used without a gap, "
                "and the output is numbered without a gap"
            )
        return cls(paths, name=str(folder))

    def __iter__(self) -> Iterator[Frame]:
        images = prefetch(read_image, self.paths, self._threads, name="read")
        for number, (path, image) in enumerate(zip(self.paths, images, strict=True)):
            if image.shape[:2] != self.size:
                height, width = self.size
                raise MediaError(
                    f"{path}: frame {number} is {image.shape[1]}x{image.shape[0]}, "
                    f"the frames before it are {width}x{height}; resize them to one size"
                )
            yield Frame(image)
