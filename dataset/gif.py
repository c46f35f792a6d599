"""The structure of GIF files, whose header says nothing of their length."""

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

from media import os_errors_as

from .sources import MediaError

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_HAS_COLOURS = 0x80


def breaks(path: Path) -> Iterator[int]:
    """Where the blocks of a GIF do not follow each other up to the last one.

    See the GIF89a standard.
    """
    with (
        os_errors_as(MediaError, path, ValueError),  # ValueError: the file is empty
        open(path, "rb") as file,
        mmap(file.fileno(), 0, access=ACCESS_READ) as data,
    ):
        try:
            place = 13 + _colour_bytes(data[10])
            while data[place] != _TRAILER:
                if data[place] == _IMAGE:
                    place += 11 + _colour_bytes(data[place + 9])
                elif data[place] == _EXTENSION:
                    place += 2
                else:
                    yield place
                    return
                while data[place]:  # the length of a part; the last one has none
                    place += 1 + data[place]
                place += 1
        except IndexError:
            yield len(data)


def _colour_bytes(flags: int) -> int:
    """Size of the table of colours that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & _HAS_COLOURS else 0
