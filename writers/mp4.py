"""Mends the length of the video in an MP4 that FFmpeg wrote in fragments and has finished."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import BinaryIO

_Box = tuple[bytes, int, int]


def mend_length(path: Path, seconds: Fraction) -> None:
    """Make the edit list of the video at least so long that players show each frame.

    FFmpeg takes the end of the last fragment for the end of the video. With B-frames, the frame
    that is shown last may be in the fragment before, and would be cut off.

    Args:
        path: An MP4 with an index.
        seconds: From the first frame shown to the end of the last one.

    Raises:
        OSError: The file cannot be changed.
    """
    with open(path, "r+b") as file:
        data, start = _index(file)
        header = next((box for box in _boxes(data, 8, len(data)) if box[0] == b"mvhd"), None)
        if header is None:
            return
        is_long = data[header[1]]
        ticks = int.from_bytes(data[header[1] + (20 if is_long else 12) :][:4], "big")
        for kind, begin, end in _boxes(data, 8, len(data)):
            if kind == b"trak" and b"vide" in data[begin:end]:
                edits = _edit_list(data, begin, end)
                track = next(box for box in _boxes(data, begin, end) if box[0] == b"tkhd")
                if edits is None:
                    return
                lacking = ceil(seconds * ticks) - _read(data, *edits)
                if lacking <= 0:
                    return
                _write(data, *edits, _read(data, *edits) + lacking)
                place = _duration(data, track[1], 20, 28)
                length = _read(data, *place) + lacking
                _write(data, *place, length)
                place = _duration(data, header[1], 16, 24)
                _write(data, *place, max(length, _read(data, *place)))
        file.seek(start)
        file.write(data)


def _index(file: BinaryIO) -> tuple[bytearray, int]:
    """The box ``moov`` and its place in the file; empty if there is none."""
    place = 0
    while len(head := file.read(16)) >= 8:
        size, kind = struct.unpack(">I4s", head[:8])
        size = int.from_bytes(head[8:], "big") if size == 1 else size
        file.seek(place)
        if kind == b"moov":
            return bytearray(file.read(size)), place
        if size < 8:
            break
        place += size
        file.seek(place)
    return bytearray(), 0


def _boxes(data: bytearray, begin: int, end: int) -> Iterator[_Box]:
    """Kind, begin of the content and end of each box, from ``begin`` to ``end``."""
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        if size < 8:
            return
        yield kind, begin + 8, begin + size
        begin += size


def _edit_list(data: bytearray, begin: int, end: int) -> tuple[int, int] | None:
    """Place and bytes of the length of a track's last edit; None without edits."""
    for kind, inner, inner_end in _boxes(data, begin, end):
        if kind == b"edts":
            for name, content, _ in _boxes(data, inner, inner_end):
                if name == b"elst":
                    width = 8 if data[content] else 4
                    count = int.from_bytes(data[content + 4 : content + 8], "big")
                    return content + 8 + (count - 1) * (2 * width + 4), width
    return None


def _duration(data: bytearray, content: int, short: int, long: int) -> tuple[int, int]:
    """Place and bytes of the duration in a header, which is at ``short`` or ``long``."""
    return (content + long, 8) if data[content] else (content + short, 4)


def _read(data: bytearray, place: int, width: int) -> int:
    return int.from_bytes(data[place : place + width], "big")


def _write(data: bytearray, place: int, width: int, value: int) -> None:
    data[place : place + width] = min(value, 256**width - 1).to_bytes(width, "big")
