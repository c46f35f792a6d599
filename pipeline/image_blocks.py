"""Whether the images of a clip have changed since frames were made from them.

A report holds one digest for each block of images, so that it stays small. Where a block has
changed, the times of its files tell which of them it was.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

from dataset import ImageFolder
from media import FrameRange, range_text

from .frames import Numbering

#: Images of a block, hexadecimal digits of a digest, and frames of a clip at most.
_BLOCK, _DIGITS, _MAX_FRAMES = 64, 8, 5 * 10**6
_KEYS = ("numbers", "digests")


def checksum(files: Iterable[str | Path]) -> str:
    """Changes with the name, the size or the time of a file."""
    return _digest(map(_facts, files))


def _facts(file: str | Path) -> str:
    status = os.stat(file)
    return f"{os.path.basename(file)}/{status.st_size}/{status.st_mtime_ns}"


def _digest(facts: Iterable[str]) -> str:
    return f"{crc32(os.fsencode(chr(10).join(facts))):0{_DIGITS}x}"


def image_blocks(
    src: ImageFolder, places: Iterable[int], numbering: Numbering
) -> list[dict[str, str]]:
    """The digests of some images of a clip, as a report holds them.

    Args:
        src: The clip.
        places: Those of the images, ascending.
        numbering: Of the frames.
    """
    numbers: list[int] = []
    digests: list[str] = []
    for block in _batched(places):
        numbers += (numbering[place] for place in block)
        digests.append(checksum(src.file(place) for place in block))
    return [{"numbers": range_text(numbers), "digests": "".join(digests)}] if numbers else []


def have_changed(
    then: Any, src: ImageFolder, numbering: Numbering, made: Mapping[int, str]
) -> bool:
    """Whether an image has changed from which a frame was made that is there.

    Args:
        then: The digests at that time.
        src: The clip as it is now.
        numbering: Of its frames.
        made: The frames that are there, by their numbers.
    """
    known: set[int] = set()
    for numbers, digest in _blocks_of(then):
        mine = {number: made[number] for number in numbers if number in made}
        known.update(mine)
        if mine and _has_changed(numbers, digest, src, numbering, mine):
            return True
    return len(known) < len(made)


def _has_changed(
    numbers: Sequence[int],
    digest: str,
    src: ImageFolder,
    numbering: Numbering,
    made: Mapping[int, str],
) -> bool:
    """Whether an image of a block has changed of those whose frames are there; True in doubt."""
    places = {number: _place_of(number, src, numbering) for number in numbers}
    files = {n: src.file(p) for n, p in places.items() if p is not None}
    if len(files) == len(numbers) and checksum(files.values()) == digest:
        return False
    # Some image of the block is another one. It is one without a frame if it is younger than the
    # frames, and all images of frames are older than these.
    frames = {number: os.stat(path).st_mtime_ns for number, path in made.items()}
    if any(n not in files or _changed_at(files[n]) >= time for n, time in frames.items()):
        return True
    oldest = min(frames.values())
    others = [number for number in numbers if number not in made]
    return not any(n not in files or _changed_at(files[n]) >= oldest for n in others)


def _changed_at(file: str) -> int:
    """When a file was changed or replaced, in nanoseconds."""
    status = os.stat(file)
    return max(status.st_mtime_ns, status.st_ctime_ns)


def _place_of(number: int, src: ImageFolder, numbering: Numbering) -> int | None:
    if not numbering.own:
        place = number - numbering.first
        return place if 0 <= place < len(src.paths) else None
    place = bisect_left(numbering.own, number)
    is_there = place < len(numbering.own) and numbering.own[place] == number
    return place if is_there else None


def _blocks_of(value: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    """The numbers of each block and its digest; nothing of what is damaged."""
    for part in value if isinstance(value, list) else []:
        text, digests = (part.get(x) if isinstance(part, dict) else "" for x in _KEYS)
        if not (isinstance(text, str) and isinstance(digests, str) and text):
            continue
        try:
            numbers = FrameRange.parse(text)
        except ValueError:
            continue
        count = len(digests) // _DIGITS
        if sum(len(x) for x in numbers.parts if isinstance(x, range)) > _MAX_FRAMES:
            continue
        for n, block in zip(range(count), _batched(numbers), strict=False):
            yield block, digests[n * _DIGITS : (n + 1) * _DIGITS]


def _batched(numbers: Iterable[int]) -> Iterator[tuple[int, ...]]:
    left = iter(numbers)
    while block := tuple(islice(left, _BLOCK)):
        yield block
