"""Finds the frames whose packets a demuxer skipped because the file is damaged there.

Where a file is damaged, a demuxer silently continues at the next place that it recognizes. The
frames in between leave a gap in time. So do frames that were never recorded; but only skipped ones
leave bytes in the file that belong to no packet, packets marked as corrupt, or parts of the file
that do not follow each other.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from statistics import median

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from .breaks import find_breaks
from .matroska import end_of_header
from .mp4 import is_fragmented
from .transport import SYNC

#: FFmpeg's names of formats in which it looks for the next packet, rather than having an index.
_SEARCHED_FORMATS = ("matroska", "flv", "mpegts", "mpeg", "nut", "asf", "ogg")
#: Of these, the one that has padding between packets, but marks what is corrupt.
_PADDED_FORMAT = "mpegts"
#: Bytes of a packet of MPEG transport streams, without and with a time.
_TRANSPORT_PACKETS = (188, 192)
#: Bytes of the longest of them, with all that may go with it.
_PACKET_OF_STREAM = 204
#: Codecs of which every second has the same number of frames.
_CONSTANT_RATE_CODECS = ("mpeg1video", "mpeg2video")
#: Bytes between two packets that are no damage: for what begins a cluster, and for each packet.
_CLUSTER_BYTES, _PACKET_BYTES = 96, 24
#: Bytes that a frame takes at least.
_MIN_FRAME_BYTES = 16
#: Frames by which a gap in time and one in the file may lie apart, besides those of the reordering.
_MAX_DISTANCE = 2
#: Recent steps in time that decide whether the rate is constant, and the share that must be equal.
_STEPS, _MIN_SHARE = 64, 0.8
#: Steps needed to measure the rate; with fewer, that of the header counts.
_MIN_STEPS = 6
#: Ticks by which a time may be rounded.
_ROUNDING = 1
#: Frames up to a gap among which one with an earlier time takes the place of a skipped one.
_MAX_LATE_FRAMES = 20
#: Share of its length by which a clip may go on after the end that its header gives.
_MAX_OVERRUN = Fraction(1, 20)
#: Frames in one gap; more are a broken clock.
_MAX_LOST = 100_000


@dataclass
class _Hole:
    """A place in the file where a demuxer may have skipped something.

    Attributes:
        times: Of the packets before and after it, in ticks; sorted.
        place: Where it begins and ends in the file; None if it is sure to be one.
    """

    times: tuple[int, int]
    place: tuple[int, int] | None = None


class SkippedFrames:
    """The frames of a stream that its demuxer skipped.

    Attributes:
        applies: Demuxers of this format may skip packets; otherwise it finds nothing.
        renumbered: Frames are missing, and it is not known how many, as the rate varies.

    Args:
        container: The file; give each of its packets to :meth:`see`.
        stream: Its video.
    """

    def __init__(self, container: InputContainer, stream: VideoStream):
        self.renumbered = False
        self._stream, self._path = stream, container.name
        name = container.format.name
        in_fragments = name.startswith("mov") and is_fragmented(Path(self._path))
        self.applies = in_fragments or name.startswith(_SEARCHED_FORMATS)
        self._format = name
        self._is_matroska = name.startswith("matroska")
        self._is_padded = name.startswith(_PADDED_FORMAT)
        self._is_constant = stream.codec_context.name in _CONSTANT_RATE_CODECS
        rate = stream.guessed_rate or stream.average_rate
        self._period = Fraction(0)  # of the header, in ticks
        if rate and stream.time_base:
            self._period = 1 / rate / stream.time_base
        self._latest = _latest_time(container, stream)
        self._end: int | None = None  # of the last packet of the video in the file
        self._others, self._other_bytes = 0, 0  # packets of other streams since then
        self._lost_bytes = 0  # before the first packet
        self._usual: deque[int] = deque(maxlen=_STEPS)  # bytes between packets
        self._holes: deque[_Hole] = deque(maxlen=4 * _STEPS)
        self._steps: deque[int] = deque(maxlen=_STEPS)
        self._seen_time: int | None = None  # of the last packet
        self._last_time: int | None = None  # the latest of a frame
        self._frames = 0  # so far
        self._late: deque[int] = deque(maxlen=_STEPS)  # of these, those before the latest one
        self._places: deque[tuple[int, int, int]] = deque(maxlen=4 * _STEPS)
        self._filled: list[tuple[int, int]] = []  # parts of the file whose frames were found
        self._found = 0  # frames

    def see(self, packet: Packet) -> None:
        """Note a packet of any stream, in the order of the file."""
        if not packet.size:
            return
        if packet.stream_index != self._stream.index:
            self._others, self._other_bytes = self._others + 1, self._other_bytes + packet.size
            return
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            follows = self._follows_hole(packet)
            if packet.is_corrupt or follows:
                before = time if self._seen_time is None else self._seen_time
                place = None
                if self._is_padded and not packet.is_corrupt:
                    place = (self._end or 0, packet.pos or 0)
                self._holes.append(_Hole((min(before, time), max(before, time)), place))
            self._seen_time = time
            if packet.pos is not None:
                self._places.append((time, packet.pos, packet.pos + packet.size))
        self._end = None if packet.pos is None else packet.pos + packet.size
        self._others, self._other_bytes = 0, 0

    def _follows_hole(self, packet: Packet) -> bool:
        """Whether bytes before a packet belong to none."""
        if packet.pos is None:
            return False
        if self._end is None:
            return self._is_first_late(packet)
        between = packet.pos - self._end - self._other_bytes - _PACKET_BYTES * self._others
        if between > _CLUSTER_BYTES:
            usual = median(self._usual) if self._usual else 0
            if between > _CLUSTER_BYTES + 2 * max(0, usual):
                return True
        self._usual.append(between)
        return False

    def before(self, time: int | None, shift: int) -> list[int]:
        """Times in ticks of the frames that were skipped between the last frame and the next.

        Args:
            time: Of the next frame; None if unknown.
            shift: Ticks that were added to the times of its packets.
        """
        if time is None or not self.applies:
            return []
        last = self._last_time
        self._frames += 1
        if last is not None and time <= last:  # damage may give a packet a wrong time
            self._late.append(self._frames)
            return []
        self._last_time = time
        if self._lost_bytes:
            return self._before_first(time)
        if last is None:
            return []
        step = time - last
        if self._steps and 2 * step < 3 * min(self._steps):  # nearly always, and fast
            self._steps.append(step)
            return []
        period, is_constant = self._rate()
        if not period or step < Fraction(3, 2) * period:
            self._steps.append(step)
            return []
        reach = round((self._stream.codec_context.has_b_frames + _MAX_DISTANCE) * period)
        around = last - shift - reach, time - shift + reach
        if not self._has_hole(*around) and not self._has_break(*around):
            self._steps.append(step)  # never recorded
            return []
        count = round(step / period) - 1
        is_multiple = abs(step - (count + 1) * period) <= max(Fraction(2 * _ROUNDING), period / 8)
        is_beyond = self._latest is not None and time - shift > self._latest
        if not is_constant or not is_multiple or not 0 < count <= _MAX_LOST or is_beyond:
            self.renumbered = True
            return []
        self._filled.append(self._part(*around))
        late = min(count, sum(number > self._frames - _MAX_LATE_FRAMES for number in self._late))
        self._found += count - late
        return [last + round(n * period) for n in range(1 + late, count + 1)]

    @cached_property
    def _breaks(self) -> list[int]:
        """Places where the structure of the file breaks off; searched for when first needed."""
        return find_breaks(Path(self._path), self._format, self._stream.id)

    def _part(self, start: int, end: int) -> tuple[int, int]:
        """The part of the file with the last packets of some times, as far as they are known."""
        places = [place for place in self._places if start <= place[0] <= end]
        return min((p[1] for p in places), default=0), max((p[2] for p in places), default=0)

    def _has_break(self, start: int, end: int) -> bool:
        if not self._breaks:
            return False
        begin, stop = self._part(start, end)
        return any(begin <= place <= stop for place in self._breaks)

    def may_differ(self, lost: int, joints: Sequence[int]) -> bool:
        """Whether the file may have held other frames, without a word of that yet.

        It is known when the file has been read.

        Args:
            lost: Frames that are known to be lost.
            joints: Places at which recordings were joined, each with counters of its own.
        """
        if self.renumbered:
            return False
        unknown = [
            place
            for place in self._breaks
            if not any(begin <= place <= stop for begin, stop in self._filled)
            and not any(abs(place - joint) <= _PACKET_OF_STREAM for joint in joints)
        ]
        if self._late and self._breaks:
            return True
        return bool(unknown) and (lost <= self._found or unknown[-1] >= (self._end or 0))

    def _is_first_late(self, packet: Packet) -> bool:
        """Whether packets may have been skipped before the first one that was found."""
        if self._seen_time is None and self._is_matroska and packet.pos is not None:
            usual = _CLUSTER_BYTES + self._other_bytes + _PACKET_BYTES * self._others
            begin = end_of_header(self._path)
            self._lost_bytes = 0 if begin is None else max(0, packet.pos - begin - usual)
        return False

    def _before_first(self, time: int) -> list[int]:
        """Times of the frames that were skipped at the start of a file, which begins at 0."""
        lost_bytes, self._lost_bytes = self._lost_bytes, 0
        period = self._rate()[0]
        count = round(time / period) if period else 0
        if count <= 0 or count * _MIN_FRAME_BYTES > lost_bytes:  # or the file begins later
            self.renumbered |= count > 0
            return []
        self._filled.append((0, self._places[0][1] if self._places else 0))
        self._found += count
        return [round(time - n * period) for n in range(count, 0, -1)]

    def _rate(self) -> tuple[Fraction, bool]:
        """How many ticks a frame lasts, and whether all last as long."""
        if len(self._steps) < _MIN_STEPS:
            return self._period, True
        usual = Fraction(median(self._steps))
        period = self._period
        if not period or abs(usual - period) > _ROUNDING:  # the header is wrong
            near = [step for step in self._steps if abs(step - usual) <= _ROUNDING]
            period = Fraction(sum(near), len(near)) if near else usual
        equal = sum(abs(step - period) <= _ROUNDING for step in self._steps)
        return period, equal >= _MIN_SHARE * len(self._steps)

    def _has_hole(self, start: int, end: int) -> bool:
        known_by_codec = self._is_constant and self._end is None and not self._is_padded
        return known_by_codec or any(
            hole.times[0] <= end
            and hole.times[1] >= start
            and (hole.place is None or not _is_transport_stream(self._path, *hole.place))
            for hole in self._holes
        )


def _latest_time(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """The latest time, in ticks, that a frame can have by the header; None if that is silent."""
    if stream.time_base is None:
        return None
    seconds = Fraction(container.duration or 0, av.time_base)
    if stream.duration:
        seconds = max(seconds, stream.duration * stream.time_base)
    longest = seconds * (1 + _MAX_OVERRUN) + 1
    return longest / stream.time_base + (stream.start_time or 0) if seconds else None


def _is_transport_stream(path: str, start: int, end: int) -> bool:
    """Whether a part of a file is packets of an MPEG transport stream; see ISO/IEC 13818-1."""
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read(end - start)
    return any(
        all(data[place] == SYNC for place in range(len(data) - size, -1, -size))
        for size in _TRANSPORT_PACKETS
    )
