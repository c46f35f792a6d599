"""What the chunks of a PNG tell before it is decoded."""

import struct
from collections.abc import Iterator
from zlib import crc32, decompressobj

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Channels by colour type; see the PNG specification, 11.2.1.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: Bytes that Deflate makes of one byte at most.
_MAX_RATIO = 1032
#: Bytes to inflate at a time.
_STEP = 2**20


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the contents of each chunk.

    Raises:
        ValueError: The file ends before its last chunk, or a checksum is wrong.
    """
    place = len(SIGNATURE)
    kind = b""
    while kind != b"IEND":
        if place + 12 > len(data):
            raise ValueError("truncated")
        (length,) = struct.unpack_from(">I", data, place)
        kind, start, end = data[place + 4 : place + 8], place + 8, place + 8 + length
        if end + 4 > len(data):
            raise ValueError("truncated")
        if crc32(memoryview(data)[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise ValueError("damaged")
        yield kind, start, end
        place = end + 4


class PngChunks:
    """The chunks of a PNG.

    Args:
        data: The file.

    Attributes:
        exif: Contents of its eXIf chunk; empty without one.
        has_text_exif: There may be an orientation in a text chunk.
        is_animated: It is an animation (APNG).
        interlaced: Its rows lie in seven passes.

    Raises:
        ValueError: The file is truncated or damaged.
    """

    def __init__(self, data: bytes):
        self._data = data
        self._pixels: list[tuple[int, int]] = []
        self.exif, self.has_text_exif, self.is_animated = b"", False, False
        header = (0, 0, 8, 0, 0, 0, 0)
        for kind, start, end in _chunks(data):
            if kind == b"IHDR" and end - start == 13:
                header = struct.unpack_from(">IIBBBBB", data, start)
            elif kind == b"IDAT":
                self._pixels.append((start, end))
            elif kind == b"eXIf":
                self.exif = data[start:end]
            elif kind in (b"tEXt", b"zTXt", b"iTXt"):
                key = data[start : start + 32]
                self.has_text_exif |= key.startswith((b"Raw profile type", b"XML:com.adobe.xmp"))
            elif kind == b"acTL" and not self._pixels:
                self.is_animated = int.from_bytes(data[start : start + 4]) > 1
        width, height, bits, colour, *_, interlace = header
        self.interlaced = bool(interlace)
        #: Without the padding that each row of each pass of an interlaced image may have.
        self._decoded_size = height + (width * height * bits * _CHANNELS.get(colour, 1)) // 8
        if not interlace:
            row = -(-width * bits * _CHANNELS.get(colour, 1) // 8)
            self._decoded_size = height * (1 + row)
        stored = sum(end - start for start, end in self._pixels)
        if self._decoded_size > _MAX_RATIO * stored:
            raise ValueError("truncated")

    def is_whole(self) -> bool:
        """Whether all rows are there; it inflates them."""
        inflate, count = decompressobj(), 0
        for start, end in self._pixels:
            part: bytes | memoryview = memoryview(self._data)[start:end]
            while part and count < self._decoded_size:
                count += len(inflate.decompress(part, _STEP))
                part = inflate.unconsumed_tail
        count += len(inflate.flush()) if count < self._decoded_size else 0
        return count >= self._decoded_size
