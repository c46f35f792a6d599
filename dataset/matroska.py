"""The structure of Matroska and WebM files; see RFC 9559."""

from collections.abc import Iterator
from typing import BinaryIO

_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_VOID, _CRC = 0xEC, 0xBF
#: What a segment holds besides clusters: SeekHead, Info, Tracks, Tags, Cues, Chapters, Attachments.
_BESIDE_CLUSTERS = frozenset(
    (
        *(0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1254C367, 0x1C53BB6B, 0x1043A770, 0x1941A469),
        *(_VOID, _CRC),
    )
)
#: What a cluster holds: Timestamp, SimpleBlock, BlockGroup, PrevSize, Position, SilentTracks,
#: EncryptedBlock.
_IN_CLUSTERS = frozenset((0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0x5854, 0xAF, _VOID, _CRC))
#: Bytes to search at a time for the next cluster.
_SEARCHED_BYTES = 2**20


def end_of_header(path: str) -> int | None:
    """Where the first cluster of a file should begin; None if that is not known."""
    with open(path, "rb") as file:
        segment = _open_segment(file)
        if segment is None:
            return None
        while True:
            place = file.tell()
            if _read_name(file) not in _BESIDE_CLUSTERS:
                return place
            size = _read_size(file)
            if size is None:
                return None
            file.seek(size, 1)


def breaks(path: str) -> Iterator[int]:
    """The places at which the elements of a file do not follow each other.

    After such a place the next cluster is searched for, as FFmpeg does.
    """
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        segment = _open_segment(file)
        if segment is None:
            yield 0
            segment = end
        elif segment > end:
            yield end
            segment = end
        while (place := file.tell()) < segment:
            name, size = _read_name(file), _read_size(file)
            if name == _CLUSTER:
                begin = file.tell()
                stop = segment if size is None else begin + size
                if (broken := _break_in_cluster(file, min(stop, end), size is None)) is None:
                    if stop <= end:
                        continue
                    broken = end
                yield broken
                file.seek(begin)
            elif name in _BESIDE_CLUSTERS and size is not None and file.tell() + size <= end:
                file.seek(size, 1)
                continue
            else:
                yield place
                file.seek(place + 1)
            if not _seek_cluster(file):
                return


def _break_in_cluster(file: BinaryIO, end: int, is_open: bool) -> int | None:
    """Where the elements of a cluster that ends there break off; else the file stands behind it.

    One of unknown size is open: it ends before what no cluster holds.
    """
    while (place := file.tell()) < end:
        name = _read_name(file)
        if is_open and (name == _CLUSTER or name in _BESIDE_CLUSTERS - {_VOID, _CRC}):
            file.seek(place)
            return None
        size = _read_size(file)
        if name not in _IN_CLUSTERS or size is None or file.tell() + size > end:
            return place
        file.seek(size, 1)
    return None


def _seek_cluster(file: BinaryIO) -> bool:
    """Go to the next cluster, by its name; False if there is none."""
    name = _CLUSTER.to_bytes(4)
    while True:
        place = file.tell()
        data = file.read(_SEARCHED_BYTES)
        if (found := data.find(name)) >= 0:
            file.seek(place + found)
            return True
        if len(data) < _SEARCHED_BYTES:
            return False
        file.seek(place + len(data) - 3)


def _open_segment(file: BinaryIO) -> int | None:
    """Go into the segment; returns its end, that of the file if unknown, and None without one."""
    end = file.seek(0, 2)
    file.seek(0)
    name, size = _read_name(file), _read_size(file)
    if name != _HEADER or size is None:
        return None
    file.seek(size, 1)
    if _read_name(file) != _SEGMENT:
        return None
    size = _read_size(file)
    return end if size is None else file.tell() + size


def _read_name(file: BinaryIO) -> int | None:
    """The name of an element; None at the end of the file."""
    length, data = _read_number(file)
    return int.from_bytes(data) if length else None


def _read_size(file: BinaryIO) -> int | None:
    """The size of an element; None if it is unknown, as in a stream, or the file ends."""
    length, data = _read_number(file)
    unknown = (1 << 7 * length) - 1
    size = int.from_bytes(data) & unknown
    return None if not length or size == unknown else size


def _read_number(file: BinaryIO) -> tuple[int, bytes]:
    """A number of one to eight bytes: the zeros before its first one give its length."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, b""
    length = 9 - first[0].bit_length()
    return length, first + file.read(length - 1)
