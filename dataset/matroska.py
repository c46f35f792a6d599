"""The structure of Matroska and WebM files; see RFC 9559."""

from typing import BinaryIO

_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067
#: Elements before the first cluster: SeekHead, Info, Tracks, Tags, Cues, Chapters, Attachments,
#: Void and CRC-32.
_BEFORE_CLUSTERS = frozenset(
    (
        *(0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1254C367, 0x1C53BB6B, 0x1043A770, 0x1941A469),
        *(0xEC, 0xBF),
    )
)


def end_of_header(path: str) -> int | None:
    """Where the first cluster of a file should begin; None if that is not known."""
    with open(path, "rb") as file:
        name, size = _number(file, keep_marker=True), _number(file)
        if name != _HEADER or size is None:
            return None
        file.seek(size, 1)
        if _number(file, keep_marker=True) != _SEGMENT:
            return None
        _number(file)
        while True:
            place = file.tell()
            if _number(file, keep_marker=True) not in _BEFORE_CLUSTERS:
                return place
            size = _number(file)
            if size is None:
                return None
            file.seek(size, 1)


def _number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """A number of one to eight bytes; the zeros before the first one give its length."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    number = int.from_bytes(first + file.read(length - 1))
    return number if keep_marker else number & ~(1 << 7 * length)
