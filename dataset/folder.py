"""A clip as a folder of images."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from media import Warn, prefetch

from .images import IMAGE_EXTENSIONS, is_image_name, read_image
from .sources import Frame, FrameSource, MediaError
from .threads import spare_threads


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts ``2.png`` before ``10.png``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]


def _images_in(folder: Path) -> list[Path]:
    """The images of a folder in natural order; hidden and other files are passed over.

    Raises:
        MediaError: One is a link to nothing.
    """
    named = [path for path in folder.iterdir() if path.name[0] != "." and is_image_name(path)]
    named.sort(key=natural_key)
    for path in named:
        if path.is_symlink() and not path.exists():
            raise MediaError(
                f"{path}: a link to {path.readlink()}, which is not there; bring that back, or "
                "remove the link"
            )
    return [path for path in named if path.is_file()]


def frames_in(folder: Path, besides: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The images of a folder that are frames, in natural order, and those that are not.

    Args:
        folder: Where they are.
        besides: Images that the run uses for something else: no frames, if they lie there and are
            not called as other frames are.

    Raises:
        MediaError: One is a link to nothing.
    """
    paths = _images_in(folder)
    odd = _odd_ones(paths, besides)
    return [path for path in paths if path not in odd], odd


def _odd_ones(paths: Sequence[Path], besides: Sequence[Path]) -> list[Path]:
    """Those of ``paths`` that are among ``besides``, and not called as any of the others is."""
    elsewhere = {path.resolve() for path in besides}
    others = {_nameless(path) for path in paths if path.resolve() not in elsewhere}
    return [
        path
        for path in paths
        if others and path.resolve() in elsewhere and _nameless(path) not in others
    ]


def _nameless(path: Path) -> str:
    """A file's name without its last number."""
    return re.sub(r"\d+(?=\D*$)", "", path.name.lower())


def _twins(paths: Sequence[Path]) -> list[Path]:
    """The first two neighbours that differ in their extension alone; none if none do."""
    return next((list(x) for x in pairwise(paths) if x[0].stem == x[1].stem), [])


def _missing_numbers(paths: Sequence[Path]) -> list[int]:
    """Numbers left out where the names differ in their last number alone, and mostly by one."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", path.name) for path in paths]
    if None in parts or len({(p[1], p[3]) for p in parts if p}) != 1:
        return []
    there = {int(part[2]) for part in parts if part}
    if max(there) - min(there) >= 2 * len(there):
        return []
    return sorted(set(range(min(there), max(there))) - there)


class ImageFolder(FrameSource):
    """Image files, one frame each, in the order given.

    Args:
        paths: At least one file.
        name: What to call them in messages.
    """

    def __init__(self, paths: Sequence[Path], *, name: str):
        self.paths = list(paths)
        self.name = name
        self.length_hint = len(self.paths)
        self.size = read_image(self.paths[0]).shape[:2]

    @classmethod
    def open(cls, folder: Path, warn: Warn, besides: Sequence[Path] = ()) -> "ImageFolder":
        """The images of a folder in natural order.

        Args:
            folder: Where they are.
            warn: Told of gaps in a numbered sequence, and of what may not be meant as a frame.
            besides: As in :func:`frames_in`.

        Raises:
            MediaError: There are none.
        """
        paths, odd = frames_in(folder, besides)
        if not paths:
            known = " ".join(sorted(IMAGE_EXTENSIONS))
            raise MediaError(f"{folder}: no images in this folder; looked for {known}")
        for path in odd:
            warn(f"{path}: is used for something else, and is no frame of {folder}")
        if twins := _twins(paths):
            warn(
                f"{folder}: {twins[0].name} and {twins[1].name} are two frames; if they are one "
                "picture in two formats, move one kind away"
            )
        missing = _missing_numbers(paths)
        if missing:
            more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
            warn(
                f"{folder}: number {missing[0]}{more} missing; the frames are taken as they come, "
                "and those of the output are numbered without a gap"
            )
        return cls(paths, name=str(folder))

    def __iter__(self) -> Iterator[Frame]:
        images = prefetch(read_image, self.paths, spare_threads(), name="read")
        for number, (path, image) in enumerate(zip(self.paths, images, strict=True)):
            if image.shape[:2] != self.size:
                height, width = self.size
                raise MediaError(
                    f"{path}: frame {number} is {image.shape[1]}x{image.shape[0]}, "
                    f"the frames before it are {width}x{height}; bring them to one size"
                )
            yield Frame(image)
