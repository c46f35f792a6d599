"""Finds the frames that a decoder lost, so that all others keep their numbers.

Packets go into a decoder and frames come out. In an intact file every packet gives one frame, and
frames come out in presentation order. In a damaged file a frame can be

* late: the decoder returns later frames first, which are held back until the late one arrives;
* lost: it has not arrived after ``_MAX_LATE_FRAMES`` later ones; ``None`` takes its place.

How a lost frame is noticed depends on the file:

* Timed packets carry the presentation times of their frames, as in most formats. If the codec
  stores one frame per packet, a time that goes in and does not come out is a lost frame. With other
  codecs, and with fields in packets of their own, packets and frames do not match one to one: each
  error of the decoder counts as one lost frame.
* Untimed packets carry decoding times only, as in AVI and some MXF and ASF files. Frames take these
  times in turn. At a keyframe, each earlier packet that has not given a frame counts as one lost
  frame.

A file may hold several recordings, joined one after another, each with a clock of its own. Every
clock is shifted so that it continues the one before.
"""

import heapq
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

#: Codecs that store exactly one shown frame in each packet.
ONE_FRAME_PER_PACKET = frozenset(
    ("h264", "hevc", "av1", "libdav1d", "vp9", "prores", "mjpeg", "dnxhd", "ffv1", "mpeg2video")
)

#: Flags of formats made for broadcasts and bare bitstreams, whose files may begin anywhere.
_MID_STREAM_FLAGS = Flags.ts_discont | Flags.no_timestamps

#: Later frames to hold back for a late one before it counts as lost: as many as H.264 and HEVC
#: decoders reorder.
_MAX_LATE_FRAMES = 16

#: A frame and its time in ticks of the stream. The frame is None where it is lost, the time is None
#: where the file has none.
Decoded = tuple[av.VideoFrame | None, int | None]


class DamagedError(Exception):
    """A pass that does not tolerate damage has met some."""


def may_start_mid_stream(container: InputContainer) -> bool:
    """Whether a stream of this format may begin between two keyframes."""
    return bool(Flags(container.format.flags) & _MID_STREAM_FLAGS)


class DamageTracker:
    """Decodes packets and puts ``None`` in the place of each lost frame.

    Attributes:
        frames: Frames so far, lost ones included.
        lost: Lost frames so far.
        missing: Packets of a bare bitstream, which has no times, that gave no frame; they cannot be
            told from frames that are shown twice, so that nothing takes their place.
        damaged: Frames so far of which the decoder says that parts are damaged.
        joints: Places in the file at which a recording follows another.
        discarded: Packets that the file marks as not to be shown.
        last_time: Time of the last frame in ticks.
        clock_shift: Ticks added to the times of the current recording.

    Args:
        stream: The stream to decode.
        tolerant: Report lost frames; otherwise the first sign of damage raises ``DamagedError``.
        mid_stream: The stream may begin between two keyframes.
        timed: Packets carry presentation times, not just decoding times.
        decoder: Used instead of that of the stream.
    """

    def __init__(
        self,
        stream: VideoStream,
        tolerant: bool,
        *,
        mid_stream: bool,
        timed: bool,
        decoder: VideoCodecContext | None = None,
    ):
        self._stream = stream
        self._decoder = decoder or stream.codec_context
        self._tolerant = tolerant
        self._mid_stream = mid_stream
        self._timed = timed
        self._one_frame_per_packet = stream.codec_context.name in ONE_FRAME_PER_PACKET
        self.clock_shift = 0
        self._last_dts: int | None = None
        self.frames = self.lost = self.missing = self.damaged = 0
        self.joints: list[int] = []
        self.discarded = 0
        self.last_time: int | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget the packets of the last recording; the decoder is empty."""
        self._start: int | None = None  # time of the first packet that can be decoded
        self._expected_times: list[int] = []  # a heap: of packets, not yet given to a frame
        self._packets_inside: set[int] = set()  # times of untimed packets without a frame so far
        self._held_back: list[tuple[int, int, av.VideoFrame]] = []  # a heap by time, then arrival
        self._lost_times: set[int] = set()
        self._truncated_times: set[int] = set()
        self._errors = 0  # of the decoder, since its last frame

    def decode(self, packet: Packet) -> Iterator[Decoded]:
        """Decode the next packet; an empty one without a time ends the stream.

        Yields:
            The frames whose turn it is, in presentation order.
        """
        if packet.dts is not None:
            if packet.is_keyframe and self._last_dts is not None and packet.dts < self._last_dts:
                yield from self._start_recording(packet)
            self._last_dts = packet.dts
        self._expect(packet)
        if packet.size or packet.dts is None:
            yield from self._decode(packet if packet.size else None)
        else:  # capture programs write an empty packet for a repeated frame; decoders would stop
            self._count_error()

    def _decode(self, packet: Packet | None) -> Iterator[Decoded]:
        try:
            frames = self._decoder.decode(packet)
        except FFmpegError:
            self._count_error()
            return
        for frame in frames:
            yield from self._receive(frame)

    def _start_recording(self, packet: Packet) -> Iterator[Decoded]:
        """Finish one recording; ``packet`` is the first of the next."""
        yield from self._decode(None)
        yield from self.finish()
        self._decoder.flush_buffers()
        self._reset()
        self.joints.append(packet.pos or 0)
        rate, tick = self._stream.average_rate, self._stream.time_base
        if self.last_time is not None and packet.pts is not None and rate and tick:
            self.clock_shift = self.last_time + round(1 / rate / tick) - packet.pts

    def finish(self) -> Iterator[Decoded]:
        """The frames held back, and the lost ones at the end.

        A packet that the end of the file cuts off does not count as a lost frame.
        """
        yield from self._release(max_held_back=0)
        open_times = set(self._expected_times if self._timed else self._packets_inside)
        for time in sorted(open_times - self._truncated_times):
            if self._one_frame_per_packet and self.frames:
                yield self._emit_lost(time if self._timed else self._pop_expected())

    def lost_at(self, times: list[int]) -> Iterator[Decoded]:
        """Lost frames whose packets were skipped; they stand before the last frame given out."""
        for time in times:
            self.frames, self.lost = self.frames + 1, self.lost + 1
            yield None, time

    def _expect(self, packet: Packet) -> None:
        """Note the time of a packet that should give a frame."""
        if self._start is None and (packet.is_keyframe or not self._mid_stream):
            self._start = packet.pts or 0  # AVI has no times
        if packet.is_discard:
            self.discarded += 1
        elif packet.pts is None:
            self.missing += self._one_frame_per_packet and packet.size > 0
        else:
            # Frames before the start refer to frames that are missing; players skip them.
            if self._start is not None and packet.pts >= self._start:
                heapq.heappush(self._expected_times, packet.pts)
                if not self._timed:
                    self._packets_inside.add(packet.pts)
            if packet.is_corrupt:
                self._truncated_times.add(packet.pts)

    def _receive(self, frame: av.VideoFrame) -> Iterator[Decoded]:
        """Take a frame from the decoder."""
        if frame.pts is None:
            self.missing -= 2 if frame.interlaced_frame else 1  # a packet for each field
            for _ in range(self._errors):
                yield self._emit_lost(None)
            yield self._emit(frame, None)
        elif not self._timed:
            count = self._count_lost_before(frame, frame.pts) + 1
            # With a packet for each field, it is unknown which two fields make a frame.
            times = [None if frame.interlaced_frame else self._pop_expected() for _ in range(count)]
            for time in times[:-1]:
                yield self._emit_lost(time)
            yield self._emit(frame, times[-1])
        elif not self._one_frame_per_packet or frame.interlaced_frame:
            for time in self._pop_expected_until(frame.pts)[: self._errors]:
                yield self._emit_lost(time)
            yield self._emit(frame, frame.pts)
        else:
            heapq.heappush(self._held_back, (frame.pts, len(self._held_back), frame))
            yield from self._release(max_held_back=_MAX_LATE_FRAMES)
        self._errors = 0

    def _release(self, max_held_back: int) -> Iterator[Decoded]:
        """The frames whose turn it is.

        A missing frame counts as lost once more than ``max_held_back`` later ones wait for it.
        """
        while self._held_back:
            time = self._held_back[0][0]
            if self._expected_times and self._expected_times[0] < time:
                self._note_damage()
                if len(self._held_back) <= max_held_back:
                    return
                self._lost_times.add(self._expected_times[0])
                yield self._emit_lost(heapq.heappop(self._expected_times))
                continue
            frame = heapq.heappop(self._held_back)[2]
            self._pop_expected_until(time)
            if time not in self._lost_times:
                yield self._emit(frame, time)

    def _count_lost_before(self, frame: av.VideoFrame, time: int) -> int:
        """How many frames before ``frame`` are lost, where packets are untimed."""
        self._packets_inside.discard(time)
        if not self._one_frame_per_packet or frame.interlaced_frame:
            self._packets_inside.clear()
            return self._errors
        if not frame.key_frame:
            return 0
        lost = {other for other in self._packets_inside if other < time}
        self._packets_inside -= lost
        return len(lost)

    def _pop_expected(self) -> int | None:
        """The first expected time, for a frame without a presentation time of its own."""
        return heapq.heappop(self._expected_times) if self._expected_times else None

    def _pop_expected_until(self, time: int) -> list[int]:
        """Remove the expected times up to ``time``; returns those before it."""
        earlier = []
        while self._expected_times and self._expected_times[0] < time:
            earlier.append(heapq.heappop(self._expected_times))
        if self._expected_times and self._expected_times[0] == time:
            heapq.heappop(self._expected_times)
        return earlier

    def _count_error(self) -> None:
        self._note_damage()
        self._errors += self._start is not None

    def _note_damage(self) -> None:
        if not self._tolerant:
            raise DamagedError

    def _emit_lost(self, time: int | None) -> Decoded:
        self._note_damage()
        return self._emit(None, time)

    def _emit(self, frame: av.VideoFrame | None, time: int | None) -> Decoded:
        self.frames += 1
        self.lost += frame is None
        self.damaged += frame is not None and frame.is_corrupt
        if time is not None:
            self.last_time = time = time + self.clock_shift
        return frame, time
