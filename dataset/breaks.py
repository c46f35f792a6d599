"""The places at which the structure of a file breaks off: packets may be lost there.

A demuxer that finds damage continues at the next place that it recognizes, or ends, and says
nothing of it.
"""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from . import gif, matroska, mp4, transport

#: Places to find at most.
_MAX_BREAKS = 10_000
#: How every key of an MXF file begins, and the bytes that may lie before the first.
_MXF_KEY, _MAX_RUN_IN = b"\x06\x0e\x2b\x34", 2**16

#: From a file that stands at a part, to the end of that part; None if no part begins there.
_Step = Callable[[BinaryIO], int | None]


def find_breaks(path: Path, form: str, stream: int) -> list[int]:
    """Find the places, in bytes, at which the parts of a file do not follow each other.

    Of a file whose parts cannot be found again after such a place, it is the first one; the length
    of the file stands for one that is cut off. Formats with an index, and bare bitstreams, have no
    such structure.

    Args:
        path: The file.
        form: FFmpeg's name of its format.
        stream: The number of the video stream in the file.
    """
    found: Iterator[int] = iter(())
    if form.startswith("matroska"):
        found = matroska.breaks(str(path))
    elif form == "mpegts":
        found = transport.breaks(path, stream)
    elif form.startswith("mov"):
        found = mp4.breaks(path) if mp4.is_fragmented(path) else found
    elif form == "gif":
        found = gif.breaks(path)
    elif form in _STEPS:
        found = _chain_breaks(path, _STEPS[form])
    return list(islice(found, _MAX_BREAKS))


def _chain_breaks(path: Path, step: _Step) -> Iterator[int]:
    """Where the chain of the parts of a file breaks, unless it reaches the end."""
    end, place = os.path.getsize(path), 0
    with open(path, "rb") as file:
        while place < end:
            file.seek(place)
            after = step(file)
            if after is None or after > end:
                yield place if after is None else end
                return
            place = after


def _flv_step(file: BinaryIO) -> int | None:
    """A tag, and its size again; see the Video File Format Specification, annex E."""
    place = file.tell()
    head = file.read(11)
    if place == 0 and head[:3] == b"FLV":
        return int.from_bytes(head[5:9]) + 4
    if len(head) < 11 or head[0] & 0x1F not in (8, 9, 18):
        return None
    size = 11 + int.from_bytes(head[1:4])
    file.seek(place + size)
    again = file.read(4)
    if not again:  # of the last tag
        return place + size
    # some programs write 0, or the size without the head
    return place + size + 4 if int.from_bytes(again) in (0, size, size - 11) else None


def _program_step(file: BinaryIO) -> int | None:
    """A packet or a pack header of a program stream; see ISO/IEC 13818-1, 2.5.3, and 11172-1."""
    place = file.tell()
    head = file.read(14)
    if head[:3] != b"\0\0\1":
        return _end_of_zeros(file, place) if head[:1] == b"\0" else None
    kind = head[3]
    if kind == 0xB9:
        return place + 4
    if kind == 0xBA:
        return place + (12 if head[4] & 0xF0 == 0x20 else 14 + (head[13:] or b"\0")[0] % 8)
    return place + 6 + int.from_bytes(head[4:6]) if kind >= 0xBB else None


def _end_of_zeros(file: BinaryIO, place: int) -> int | None:
    """The end of padding with zeros: before a start code, or that of the file."""
    file.seek(place)
    while data := file.read(2**16):
        rest = data.lstrip(b"\0")
        if rest:
            start = file.tell() - len(rest) - 2
            return start if rest[0] == 1 and start > place else None
    return file.tell()


def _mxf_step(file: BinaryIO) -> int | None:
    """A key, a length and a value, and what may lie before the first; see SMPTE ST 377-1."""
    place, head = file.tell(), file.read(17)
    if place == 0 and not head.startswith(_MXF_KEY):
        file.seek(0)
        return max(0, file.read(_MAX_RUN_IN).find(_MXF_KEY)) or None
    if not head.startswith(_MXF_KEY) or len(head) < 17:
        return None
    length = head[16]
    if length & 0x80:
        length = int.from_bytes(file.read(length & 0x7F))
    return file.tell() + length


def _asf_step(file: BinaryIO) -> int | None:
    """An object: its name and its size, 0 in a stream; see the ASF specification, 2.2."""
    place, head = file.tell(), file.read(24)
    size = int.from_bytes(head[16:], "little")
    if size == 0 and any(head):
        return file.seek(0, 2)
    return place + size if size >= 24 else None


_STEPS: dict[str, _Step] = {
    "asf": _asf_step,
    "flv": _flv_step,
    "mpeg": _program_step,
    "mxf": _mxf_step,
}
