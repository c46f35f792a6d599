"""The structure of MPEG transport streams; see ISO/IEC 13818-1, 2.4.3."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

SYNC = 0x47
#: Bytes of a packet: alone, with a time before it, and with a checksum behind it; and the place of
#: the packet in them.
_SIZES = {188: 0, 192: 4, 204: 0}
#: Packets that show the size, and packets to look at together.
_PROBED, _TOGETHER = 8, 2**16


def breaks(path: Path, stream: int) -> Iterator[int]:
    """The places at which packets of a stream are missing or damaged, or the file is cut off.

    Args:
        path: The file.
        stream: The number of the stream (PID).
    """
    with open(path, "rb") as file:
        size, place = _layout(file.read(204 * (_PROBED + 1)))
        file.seek(place)
        before: np.ndarray | None = None
        while data := file.read(size * _TOGETHER):
            count = len(data) // size
            packets = np.frombuffer(data[: count * size], np.uint8).reshape(count, size)
            packets = packets[:, _SIZES[size] :][:, :188]
            damaged = np.flatnonzero((packets[:, 0] != SYNC) | (packets[:, 1] & 0x80 > 0))
            yield from (place + damaged * size).tolist()
            numbers = packets[:, 1:3].astype(np.uint16)
            mine = (numbers[:, 0] & 0x1F) * 256 + numbers[:, 1] == stream
            chosen = np.flatnonzero(mine & (packets[:, 3] & 0x10 > 0))
            if len(chosen):
                rows = packets[chosen]
                yield from (place + chosen[_lack_header(rows)] * size).tolist()
                if before is not None:
                    rows, chosen = np.vstack([before, rows]), np.append(-1, chosen)
                yield from (place + chosen[_jumps(rows) + 1] * size).tolist()
                before = rows[-1:]
            place += count * size
            if len(data) % size:
                yield place


def _layout(data: bytes) -> tuple[int, int]:
    """Bytes of a packet with what goes with it, and the place of the first one."""
    for size, inside in _SIZES.items():
        for start in range(inside, inside + size):
            if all(byte == SYNC for byte in data[start::size][:_PROBED]) and start < len(data):
                return size, start - inside
    return 188, 0


def _jumps(packets: np.ndarray) -> np.ndarray:
    """Which of packets (N, 188) of one stream are not followed by the next, by their counters.

    A packet may come twice, and one may announce that its counter starts anew.
    """
    counters = packets[:, 3] & 0xF
    steps = (counters[1:] - counters[:-1]) % 16
    again = (steps == 0) & (packets[1:] == packets[:-1]).all(axis=1)
    later = packets[1:]
    announced = (later[:, 3] & 0x20 > 0) & (later[:, 4] > 0) & (later[:, 5] & 0x80 > 0)
    return np.flatnonzero((steps != 1) & ~again & ~announced)


def _lack_header(packets: np.ndarray) -> np.ndarray:
    """Which of packets (N, 188) with a payload begin a PES packet whose header is damaged."""
    begins = np.flatnonzero(packets[:, 1] & 0x40)
    rows = packets[begins]
    start = np.where(rows[:, 3] & 0x20 > 0, 5 + rows[:, 4].astype(int), 4).clip(max=180)
    zero, also_zero, one, _, _, _, marks, times = (
        rows[np.arange(len(rows)), start + n] for n in range(8)
    )
    is_timed = (marks & 0xC0 == 0x80) & (times & 0xC0 != 0x40)
    return begins[(zero > 0) | (also_zero > 0) | (one != 1) | ~is_timed]
