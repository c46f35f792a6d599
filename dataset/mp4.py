"""The structure of fragmented MP4 files, as cameras and recorders of streams write them."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

#: Boxes at the top level of such files; see ISO/IEC 14496-12 and 23009-1.
_BOXES = frozenset(
    b"ftyp styp moov moof mdat mfra sidx ssix free skip wide uuid pdin meta emsg prft udta".split()
)


def is_fragmented(path: Path) -> bool:
    """Whether the index of a file is spread over it, so that a demuxer may lose parts."""
    return any(kind == b"moof" for kind, _ in _boxes(path))


def breaks(path: Path) -> Iterator[int]:
    """Where the boxes of a file do not follow each other up to its end."""
    return (place for kind, place in _boxes(path) if kind is None)


def _boxes(path: Path) -> Iterator[tuple[bytes | None, int]]:
    """Kind and place of the boxes at the top level; None where the chain of them breaks."""
    end, place = os.path.getsize(path), 0
    with open(path, "rb") as file:
        while place < end:
            file.seek(place)
            size, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
            if size == 1:
                (size,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            elif size == 0 and kind in _BOXES:
                size = end - place  # up to the end
            if kind not in _BOXES or size < 8 or place + size > end:
                yield None, place
                return
            yield kind, place
            place += size
