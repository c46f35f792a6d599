"""The sound of a clip, carried over to an MP4."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from media import Warn, open_media

#: Codecs that MP4 carries and players know; any other is encoded anew, as AAC.
_COPIED = frozenset(("aac", "ac3", "alac", "eac3", "mp3", "opus", "flac"))
#: Of these the muxer reads every packet, and a damaged one would fail the pictures muxed after it.
_READ_BY_MUXER = frozenset(("ac3", "eac3"))
#: Seconds by which a frame may be late without a gap: containers round times to milliseconds.
_LATE = Fraction(1, 100)
#: Seconds by which a frame may be early; earlier, and the clock of the recording began anew.
_EARLY = Fraction(1, 10)

_Adder = Callable[[OutputContainer], AudioStream]


class AudioTrack:
    """Feeds the audio of a file into a container beside its video.

    Once it is there, nothing that is wrong with the sound raises: what cannot be read is left out,
    the rest stays in time with the pictures.

    Args:
        path: A media file.
        index: Of the stream in the file.
        container: Where the audio goes; its header must not be written yet.
        warn: Told in one sentence of sound that is lost.
        origin: What the clock of the sound says, in seconds, when the container begins.

    Raises:
        LookupError: The stream has no audio, or none that can be decoded.
        FFmpegError: The file cannot be opened.
    """

    def __init__(
        self,
        path: str | Path,
        index: int,
        container: OutputContainer,
        warn: Warn,
        origin: Fraction,
    ):
        self._path = path
        self._index = index
        self._origin = origin
        self._container = container
        self._warn = warn
        self._damaged = 0
        self._is_begun = False
        self._next: tuple[Fraction, Packet] | None = None
        with ExitStack() as on_failure:
            self._input = on_failure.enter_context(open_media(Path(path)))
            self._packets = self._timed(self._start())
            on_failure.pop_all()

    def feed(self, until: Fraction | None) -> None:
        """Write the audio that starts before ``until`` (seconds); all the rest for None."""
        while True:
            self._next = self._next or next(self._packets, None)
            if self._next is None:
                return
            time, packet = self._next
            # The first is always written: of some codecs, MP4 must know a packet to be closed.
            if self._is_begun and until is not None and time >= until:
                return
            self._next, self._is_begun = None, True
            try:
                self._container.mux_one(packet)
            except FFmpegError:  # a file that takes nothing any more says so to the pictures, too
                self._damaged += 1

    def close(self) -> None:
        """Close the file that the audio comes from, and tell what of it was lost."""
        self._input.close()
        if self._damaged:
            parts = "1 damaged part" if self._damaged == 1 else f"{self._damaged} damaged parts"
            self._warn(f"{self._path}: {parts} of the sound left out")
            self._damaged = 0

    def _start(self) -> Iterator[Packet]:
        """Add a stream to the container in the best way that it takes."""
        stream = self._input.streams[self._index]
        assert isinstance(stream, AudioStream)
        if stream.codec_context is None:
            raise LookupError("there is no decoder for it")
        demuxed = self._demuxed(stream)
        first = next(demuxed, None)
        if first is None and self._damaged:
            raise LookupError("all of it is damaged")
        if first is None:
            raise NoSoundError(f"{self._path} has an empty audio track")
        packets = chain([first], demuxed)
        if stream.codec_context.codec.canonical_name in _COPIED and _fits(_copy(stream), first):
            return self._copied(packets, stream, _copy(stream)(self._container))
        for encoding in _encodings(stream):
            if _fits(encoding):
                return self._encoded(packets, stream, encoding(self._container))
        raise LookupError("MP4 cannot hold it")

    def _timed(self, packets: Iterator[Packet]) -> Iterator[tuple[Fraction, Packet]]:
        """Packets with their times in seconds; where they fail, the sound ends."""
        try:
            for packet in packets:
                if packet.pts is not None and packet.time_base is not None:
                    shift = round(self._origin / packet.time_base)
                    packet.pts -= shift
                    if packet.dts is not None:
                        packet.dts -= shift
                    yield packet.pts * packet.time_base, packet
                else:
                    self._damaged += 1
        except Exception as error:  # any: sound is not worth the pictures
            self._warn(f"{self._path}: the sound ends early: {_reason(error)}")

    def _copied(
        self, packets: Iterator[Packet], stream: AudioStream, out: AudioStream
    ) -> Iterator[Packet]:
        end: int | None = None
        shift = 0
        unwrap = BitStreamFilterContext(_unwrapping(stream), stream, out)
        for demuxed in packets:
            for packet in self._unless_damaged(unwrap.filter, demuxed):
                if packet.dts is None or packet.pts is None:
                    continue
                length = packet.duration or 0
                if end is not None and packet.dts + shift < end - length:
                    shift = end - packet.dts  # recordings were joined, and the clock starts again
                packet.dts += shift
                packet.pts += shift
                end = packet.dts + length
                packet.stream = out
                yield packet

    def _encoded(
        self, packets: Iterator[Packet], stream: AudioStream, out: AudioStream
    ) -> Iterator[Packet]:
        place = _Timeline().place
        resampler: av.AudioResampler | None = None
        setup = None
        for frame in self._decoded(packets, stream):
            place(frame)
            converted: list[AudioFrame] = []
            if setup != (setup := (frame.sample_rate, frame.layout.name, frame.format.name)):
                # A resampler refuses any other kind of frame than its first.
                converted = resampler.resample(None) if resampler is not None else []
                resampler = av.AudioResampler(out.format, out.layout, out.rate)
            assert resampler is not None
            converted += self._unless_damaged(resampler.resample, frame)
            yield from self._encode(out, converted)
        if resampler is not None:
            yield from self._encode(out, resampler.resample(None))
        yield from self._unless_damaged(out.encode, None)

    def _encode(self, out: AudioStream, frames: list[AudioFrame]) -> Iterator[Packet]:
        for frame in frames:
            if frame is not None:  # from a resampler with nothing to do
                yield from self._unless_damaged(out.encode, frame)

    def _decoded(self, packets: Iterator[Packet], stream: AudioStream) -> Iterator[AudioFrame]:
        for packet in packets:
            yield from self._unless_damaged(stream.decode, packet)
        with suppress(FFmpegError):
            yield from stream.decode(None)

    def _demuxed(self, stream: AudioStream) -> Iterator[Packet]:
        is_checked = stream.codec_context.codec.canonical_name in _READ_BY_MUXER
        for packet in self._input.demux(stream):
            if not packet.size:  # an empty one would tell a decoder that all is over
                continue
            if is_checked and not _is_sound(stream, packet):
                self._damaged += 1
            else:
                yield packet

    def _unless_damaged(self, work: Callable[..., list], item: object) -> list:
        try:
            return work(item)
        except FFmpegError:
            self._damaged += 1
            return []


class NoSoundError(LookupError):
    """A stream without audio."""


class _Timeline:
    """Puts frames one after another, by their own times only where those leave a gap."""

    def __init__(self) -> None:
        self._end: Fraction | None = None
        self._shift = Fraction(0)

    def place(self, frame: AudioFrame) -> None:
        """Set the time of ``frame``, in ticks of its rate."""
        time = self._end or Fraction(0)
        if frame.pts is not None and frame.time_base is not None:
            own = frame.pts * frame.time_base + self._shift
            if self._end is None or own > self._end + _LATE:
                time = own
            elif own < self._end - _EARLY:
                self._shift += self._end - own  # recordings were joined
        frame.pts = round(time * frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        self._end = time + Fraction(frame.samples, frame.sample_rate)


def open_tracks(
    path: str | Path,
    container: OutputContainer,
    warn: Warn,
    origin: Fraction,
) -> list[AudioTrack]:
    """All sound of a file, the track that players choose first; without what cannot be had.

    Args:
        path: A media file.
        container: Where the audio goes; its header must not be written yet.
        warn: Told in one sentence of each track that is lost.
        origin: As in :class:`AudioTrack`.
    """
    tracks = []
    try:
        indices = _by_choice(path)
    except FFmpegError as error:
        warn(f"{path}: no sound: {_reason(error)}")
        return []
    for number, index in enumerate(indices):
        try:
            tracks.append(AudioTrack(path, index, container, warn, origin))
        except NoSoundError:
            pass
        except (LookupError, FFmpegError) as error:
            lost = f"sound without track {number + 1}" if len(indices) > 1 else "no sound"
            warn(f"{path}: {lost}: {_reason(error)}")
    return tracks


def _by_choice(path: str | Path) -> list[int]:
    """The indices of the audio streams of a file, first of that which players choose."""
    with open_media(Path(path)) as file:
        best = file.streams.best("audio")
        return sorted(
            (s.index for s in file.streams.audio), key=lambda i: (file.streams[i] != best, i)
        )


def _is_sound(stream: AudioStream, packet: Packet) -> bool:
    try:
        stream.decode(packet)
    except FFmpegError:
        return False
    return True


def _copy(stream: AudioStream) -> _Adder:
    return lambda container: container.add_stream_from_template(stream)


def _encodings(stream: AudioStream) -> Iterator[_Adder]:
    """As AAC, in ways ever less like ``stream``."""
    rates = av.Codec("aac", "w").audio_rates or [48000]
    rate = min(rates, key=lambda rate: abs(rate - (stream.rate or 48000)))
    # The last two: the usual layout of that many channels, and what every encoder takes.
    for layout in (stream.layout.name, f"{stream.channels}c", "stereo"):
        yield partial(_add_aac, rate, layout)


def _unwrapping(stream: AudioStream) -> str:
    """The filter for packets of ``stream``: broadcasts repeat in each what MP4 says once."""
    codec = stream.codec_context
    is_adts = codec.codec.canonical_name == "aac" and not codec.extradata
    return "aac_adtstoasc" if is_adts else "null"


def _add_aac(rate: int, layout: str, container: OutputContainer) -> AudioStream:
    return container.add_stream("aac", rate, layout=layout)


def _fits(add: _Adder, first: Packet | None = None) -> bool:
    """Whether an MP4 takes a stream, and its first packet where that is to be copied.

    Tried in a file in memory: a stream, once added, cannot be removed.
    """
    trial = av.open(BytesIO(), "w", format="mp4")
    try:
        out = add(trial)
        trial.start_encoding()
        if first is not None:
            packet = Packet(bytes(first))
            packet.pts = packet.dts = 0
            packet.time_base = first.time_base
            packet.stream = out
            trial.mux_one(packet)
        trial.close()
    except (FFmpegError, ValueError):
        return False
    return True


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, FFmpegError) else None) or str(error)
