"""What went into a decoder and what came out, so that damage keeps its place."""

import heapq
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet
from av.video.stream import VideoStream

#: Codecs that store one shown picture in each packet: a time that never comes out is a loss.
_ONE_PICTURE_A_PACKET = frozenset(
    ("h264", "hevc", "av1", "libdav1d", "vp9", "prores", "mjpeg", "dnxhd", "ffv1", "mpeg2video")
)

#: Formats that are received rather than opened, and so may begin anywhere in a stream.
_RECEIVED = Flags.ts_discont | Flags.no_timestamps

#: Pictures to wait for one that has not come out in its turn, as after damage a decoder can be late
#: with it: as many as H.264 and HEVC hold back to put pictures in order.
_MAX_LATE_FRAMES = 16

#: A picture and its time in ticks of the stream; no picture where it could not be decoded, no time
#: where the file has none.
Decoded = tuple[av.VideoFrame | None, int | None]


class DamagedError(Exception):
    """A pass that does not keep account of damage has met some."""


def may_start_mid_stream(container: InputContainer) -> bool:
    """Whether a stream of this format may begin between two key pictures."""
    return bool(Flags(container.format.flags) & _RECEIVED)


class DamageTracker:
    """Keeps account of which pictures went into the decoder and which came out.

    In an intact file each packet's time comes out once, in order, and is shown at once. After
    damage, a time may be late (the decoder hands out its neighbours first: they wait for it), or
    lost (given up after some others: nothing is shown in its place). Only codecs with one picture
    in each packet tell by their times; for the others, and for fields with packets of their own,
    the decoder's errors are counted instead. Where packets do not say when their pictures are shown
    but when they are decoded, pictures take these times in turn; what has not come out by the next
    key picture is lost. Recordings joined in one file start anew, each with its own clock, which is
    shifted behind the one before.

    Attributes:
        shown: Pictures that came out, lost ones included.
        hidden: Packets that the file marks as not to be shown.
        last: Time of the last picture in ticks.

    Args:
        stream: What is decoded.
        careful: Keep the place of what is damaged; else damage ends the pass.
        mid_stream: The stream may begin between two key pictures.
        timed: Packets say when their pictures are shown.
    """

    def __init__(self, stream: VideoStream, careful: bool, *, mid_stream: bool, timed: bool):
        self._stream = stream
        self._careful = careful
        self._mid_stream = mid_stream
        self._timed = timed
        self._strict = stream.codec_context.name in _ONE_PICTURE_A_PACKET
        self._shift = 0
        self._last_dts: int | None = None
        self.shown = 0
        self.hidden = 0
        self.last: int | None = None
        self._begin()

    def _begin(self) -> None:
        """Start with an empty decoder."""
        self._start: int | None = None
        self._awaited: list[int] = []
        self._inside: set[int] = set()  # the decoder, by the times of their packets
        self._early: list[tuple[int, int, av.VideoFrame]] = []
        self._given_up: set[int] = set()
        self._cut_off: set[int] = set()
        self._failures = 0

    def decode(self, packet: Packet) -> Iterator[Decoded]:
        """Decode the next packet, an empty one at the end: the pictures whose turn it is."""
        if packet.dts is not None:
            if packet.is_keyframe and self._last_dts is not None and packet.dts < self._last_dts:
                yield from self._begin_anew(packet)
            self._last_dts = packet.dts
        self._register(packet)
        if packet.size or packet.dts is None:
            yield from self._decode(packet if packet.size else None)
        else:  # capture programs write it where nothing is new; a decoder takes it for the end
            self._fail()

    def _decode(self, packet: Packet | None) -> Iterator[Decoded]:
        try:
            pictures = self._stream.decode(packet)
        except FFmpegError:
            self._fail()
            return
        for picture in pictures:
            yield from self._take(picture)

    def _begin_anew(self, packet: Packet) -> Iterator[Decoded]:
        """Recordings one after another in a file, with a clock that starts again at ``packet``."""
        yield from self._decode(None)
        yield from self.finish()
        self._stream.codec_context.flush_buffers()
        self._begin()
        rate, tick = self._stream.average_rate, self._stream.time_base
        if self.last is not None and packet.pts is not None and rate and tick:
            self._shift = self.last + round(1 / rate / tick) - packet.pts

    def finish(self) -> Iterator[Decoded]:
        """What is left, except what a broken-off file holds of its last picture."""
        yield from self._in_order(patience=0)
        for time in sorted(set(self._awaited if self._timed else self._inside) - self._cut_off):
            if self._strict and self.shown:
                yield self._lose(time if self._timed else self._next_time())

    def _register(self, packet: Packet) -> None:
        if self._start is None and (packet.is_keyframe or not self._mid_stream):
            self._start = packet.pts or 0  # AVI has no times
        if packet.is_discard:
            self.hidden += 1
        elif packet.pts is not None:
            # What comes before the start has nothing to build on; players leave it out.
            if self._start is not None and packet.pts >= self._start:
                heapq.heappush(self._awaited, packet.pts)
                if not self._timed:
                    self._inside.add(packet.pts)
            if packet.is_corrupt:
                self._cut_off.add(packet.pts)

    def _take(self, picture: av.VideoFrame) -> Iterator[Decoded]:
        if picture.pts is None:
            for _ in range(self._failures):
                yield self._lose(None)
            yield self._show(picture, None)
        elif not self._timed:
            count = self._lost_before(picture, picture.pts) + 1
            # Of fields with packets of their own, nobody knows which belong together.
            times = [None if picture.interlaced_frame else self._next_time() for _ in range(count)]
            for time in times[:-1]:
                yield self._lose(time)
            yield self._show(picture, times[-1])
        elif not self._strict or picture.interlaced_frame:  # a field may have its own packet
            for time in self._awaited_before(picture.pts)[: self._failures]:
                yield self._lose(time)
            yield self._show(picture, picture.pts)
        else:
            heapq.heappush(self._early, (picture.pts, len(self._early), picture))
            yield from self._in_order(patience=_MAX_LATE_FRAMES)
        self._failures = 0

    def _in_order(self, patience: int) -> Iterator[Decoded]:
        """The pictures whose turn it is; one that is missing is given up after some others."""
        while self._early:
            time = self._early[0][0]
            if self._awaited and self._awaited[0] < time:
                self._damage()
                if len(self._early) <= patience:
                    return
                self._given_up.add(self._awaited[0])
                yield self._lose(heapq.heappop(self._awaited))
                continue
            picture = heapq.heappop(self._early)[2]
            self._awaited_before(time)
            if time not in self._given_up:
                yield self._show(picture, time)

    def _lost_before(self, picture: av.VideoFrame, time: int) -> int:
        """How many pictures are lost for good, where times are those of decoding."""
        self._inside.discard(time)
        if not self._strict or picture.interlaced_frame:
            self._inside.clear()
            return self._failures
        if not picture.key_frame:
            return 0
        lost = {other for other in self._inside if other < time}
        self._inside -= lost
        return len(lost)

    def _next_time(self) -> int | None:
        """The first time that is awaited, for a picture that does not bring its own."""
        return heapq.heappop(self._awaited) if self._awaited else None

    def _awaited_before(self, time: int) -> list[int]:
        """Strike off what was awaited up to a time, and say what should have come before it."""
        missing = []
        while self._awaited and self._awaited[0] < time:
            missing.append(heapq.heappop(self._awaited))
        if self._awaited and self._awaited[0] == time:
            heapq.heappop(self._awaited)
        return missing

    def _fail(self) -> None:
        self._damage()
        self._failures += self._start is not None

    def _damage(self) -> None:
        if not self._careful:
            raise DamagedError

    def _lose(self, time: int | None) -> Decoded:
        self._damage()
        return self._show(None, time)

    def _show(self, picture: av.VideoFrame | None, time: int | None) -> Decoded:
        self.shown += 1
        if time is not None:
            self.last = time = time + self._shift
        return picture, time
