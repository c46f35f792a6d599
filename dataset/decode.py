"""Every picture of a video stream, with damage kept in its place."""

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from .sources import MediaError, Warn

#: Codecs that store one shown picture in each packet: a time that never comes out is a loss.
_ONE_PICTURE_A_PACKET = frozenset(
    ("h264", "hevc", "av1", "libdav1d", "vp9", "prores", "mjpeg", "dnxhd", "ffv1", "mpeg2video")
)

#: A picture and its time in ticks of the stream; no picture where it could not be decoded, no time
#: where the file has none.
Decoded = tuple[av.VideoFrame | None, int | None]


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the main video stream of a file.

    Raises:
        MediaError: There is none.
    """
    try:
        container = av.open(str(path.absolute()))  # else FFmpeg takes a:b.mp4 for a protocol
    except FFmpegError as error:
        if isinstance(error, PermissionError):
            raise MediaError(f"{path}: {error.strerror}") from error
        raise MediaError(
            f"{path}: not a video that can be read, or cut off before its index was written "
            f"({error.strerror})"
        ) from error
    with container:
        stream = container.streams.best("video")
        # FFmpeg "plays" text files as terminal art, and cover pictures as one-frame videos.
        is_cover = stream is not None and stream.disposition & stream.disposition.attached_pic
        if stream is None or is_cover or container.format.name == "tty":
            raise MediaError(f"{path}: no video in this file; expected a video or an image")
        assert isinstance(stream, VideoStream)
        yield container, stream


def decode(path: Path, warn: Warn) -> Iterator[Decoded]:
    """Decode a video from start to end, in presentation order.

    Decoding begins with one thread a picture, the fastest way. FFmpeg then reports damage late
    and drops intact pictures with it, so at the first sign of damage a second pass without these
    threads takes over where the first one stopped.

    Args:
        path: The file.
        warn: Told when fewer pictures come out than the header promises.
    """
    done = 0
    try:
        for item in _decode_pass(path, warn, careful=False):
            yield item
            done += 1
    except _DamagedError:
        yield from islice(_decode_pass(path, warn, careful=True), done, None)


class _DamagedError(Exception):
    """The fast pass met damage."""


def _decode_pass(path: Path, warn: Warn, *, careful: bool) -> Iterator[Decoded]:
    with open_video(path) as (container, stream):
        stream.thread_type = "SLICE" if careful else "AUTO"
        ledger = _Ledger(stream, careful)
        for packet in _demux(container, stream):
            yield from ledger.decode(packet)
        yield from ledger.lost_at_the_end()
        promised = _promised(container, stream, ledger)
        if ledger.shown < promised:
            warn(
                f"{path}: the header promises {promised} frames, {ledger.shown} could be read; "
                "the file may be cut off"
            )


def _demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """All packets, the last one empty; a file that breaks off ends there."""
    try:
        yield from container.demux(stream)
    except FFmpegError:
        yield Packet()


class _Ledger:
    """Keeps account of which pictures went into the decoder and which came out.

    Attributes:
        shown: Pictures that came out, lost ones included.
        hidden: Packets that the file marks as not to be shown.
        last: Time of the last picture in ticks.
    """

    def __init__(self, stream: VideoStream, careful: bool):
        self._stream = stream
        self._careful = careful
        self._strict = stream.codec_context.name in _ONE_PICTURE_A_PACKET
        self._awaited: list[int] = []
        self._cut_off: set[int] = set()
        self._failures = 0
        self.shown = 0
        self.hidden = 0
        self.last: int | None = None

    def decode(self, packet: Packet) -> Iterator[Decoded]:
        self._register(packet)
        try:
            pictures = self._stream.decode(packet if packet.size else None)
        except FFmpegError:
            self._damage()
            self._failures += 1
            return
        for picture in pictures:
            for time in self._lost_before(picture):
                self._damage()
                yield self._show(None, time)
            yield self._show(picture, picture.pts)

    def lost_at_the_end(self) -> Iterator[Decoded]:
        """The pictures that never came out, except what a broken-off file holds of its last one."""
        for time in sorted(set(self._awaited) - self._cut_off):
            if self._strict and self.shown:
                self._damage()
                yield self._show(None, time)

    def _register(self, packet: Packet) -> None:
        if packet.is_discard:
            self.hidden += 1
        elif packet.pts is not None and packet.size:
            heapq.heappush(self._awaited, packet.pts)
            if packet.is_corrupt:
                self._cut_off.add(packet.pts)

    def _lost_before(self, picture: av.VideoFrame) -> list[int | None]:
        """Times of the pictures that should have come before this one."""
        lost: list[int | None] = []
        if picture.pts is None:
            lost = [None] * self._failures
        else:
            while self._awaited and self._awaited[0] < picture.pts:
                lost.append(heapq.heappop(self._awaited))
            if self._awaited and self._awaited[0] == picture.pts:
                heapq.heappop(self._awaited)
            if not self._strict or picture.interlaced_frame:  # a field may have its own packet
                lost = lost[: self._failures]
        self._failures = 0
        return lost if self.shown else []  # nothing stands before the first picture

    def _damage(self) -> None:
        if not self._careful:
            raise _DamagedError

    def _show(self, picture: av.VideoFrame | None, time: int | None) -> Decoded:
        self.shown += 1
        self.last = self.last if time is None else time
        return picture, time


def _promised(container: InputContainer, stream: VideoStream, ledger: "_Ledger") -> int:
    """Frames that the header promises; where it has no count, only if the end is far away."""
    length = length_hint(container, stream) or 0
    if stream.frames:
        return min(stream.frames - ledger.hidden, length)
    rate = stream.average_rate or stream.guessed_rate
    if not container.duration or not rate or ledger.last is None or stream.time_base is None:
        return 0
    start = stream.start_time or 0
    covered = (ledger.last - start) * stream.time_base + 1 / rate
    seconds = Fraction(container.duration, av.time_base)
    return round(ledger.shown * seconds / covered) if covered < seconds * 19 / 20 else 0


def length_hint(container: InputContainer, stream: VideoStream) -> int | None:
    """Frames to expect by the duration in the header; None if there is none."""
    rate = stream.average_rate or stream.guessed_rate
    if rate and stream.duration and stream.time_base:
        return int(stream.duration * stream.time_base * rate + 0.5)
    if rate and container.duration:
        return int(container.duration * rate / av.time_base + 0.5)
    return stream.frames or None
