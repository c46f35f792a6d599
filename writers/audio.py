"""The audio of a clip, copied or encoded into a container beside its video."""

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

#: Codecs that are copied, as the container and its players support them; others are re-encoded.
_IN_MP4 = frozenset(("aac", "ac3", "alac", "eac3", "mp3", "opus", "flac"))
_PCM = {f"pcm_{kind}{end}" for kind in ("s16", "s24", "s32", "f32") for end in ("le", "be")}
_IN_MOV = _IN_MP4 - {"opus", "flac"} | _PCM
_COPIED_CODECS = {
    "mp4": _IN_MP4,
    "mov": _IN_MOV,
    "matroska": _IN_MP4 | _IN_MOV | {"vorbis"},
    "webm": frozenset(("opus", "vorbis")),
    "nut": _IN_MP4 | _IN_MOV | {"vorbis"},
}
#: What the others become.
_ENCODERS = {"mp4": "aac", "mov": "aac", "matroska": "aac", "webm": "libopus", "nut": "aac"}
#: Of these, the codecs whose packets the muxer parses; a damaged one makes it fail for video, too.
_PARSED_BY_MUXER = frozenset(("ac3", "eac3"))
#: Seconds between frames above which there is a gap: containers round times to milliseconds.
_MIN_GAP = Fraction(1, 100)
#: Seconds of audio to read before the first frame of a part of a clip.
_MARGIN = 2
#: Seconds by which frames may overlap; with more, the clock has started again.
_MAX_OVERLAP = Fraction(1, 10)

_AddStream = Callable[[OutputContainer], AudioStream]


class AudioTrack:
    """Writes the audio of a file into a container beside its video.

    After construction, errors in the audio do not raise: parts that cannot be read are left out,
    and the rest stays in sync with the video.

    Args:
        path: A media file.
        index: Index of the stream in the file.
        container: Container for the audio; its header must not be written yet.
        warn: Called with one sentence if audio is lost.
        origin: Time on the clock of the audio, in seconds, at which the container begins.
        is_part: Audio before that time is left out, and not read where it can be sought.

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
        is_part: bool = False,
    ):
        self._path, self._index = path, index
        self._container, self._origin, self._warn = container, origin, warn
        self._damaged = 0  # packets and frames left out
        self._has_written = False
        self._next: tuple[Fraction, Packet] | None = None
        self._is_part = is_part
        with ExitStack() as on_failure:
            self._input = on_failure.enter_context(open_media(Path(path)))
            self._packets = self._with_times(self._add_stream())
            on_failure.pop_all()

    def feed(self, until: Fraction | None) -> None:
        """Write the audio that starts before ``until`` (seconds); all the rest for None."""
        while True:
            self._next = self._next or next(self._packets, None)
            if self._next is None:
                return
            time, packet = self._next
            # The first packet is always written: MP4 needs one of some codecs to be closed.
            if self._has_written and until is not None and time >= until:
                return
            self._next, self._has_written = None, True
            try:
                self._container.mux_one(packet)
            except FFmpegError:  # if the file cannot be written, muxing the video raises it, too
                self._damaged += 1

    def close(self) -> None:
        """Close the file that the audio is read from, and warn if a part was lost."""
        self._input.close()
        if self._damaged:
            parts = "1 damaged part" if self._damaged == 1 else f"{self._damaged} damaged parts"
            self._warn(f"{self._path}: {parts} of the sound left out")
            self._damaged = 0

    def _add_stream(self) -> Iterator[Packet]:
        """Add a stream to the container, copied or encoded; returns its packets."""
        stream = self._input.streams[self._index]
        assert isinstance(stream, AudioStream)
        if self._is_part and stream.time_base and self._origin > _MARGIN:
            with suppress(FFmpegError):  # what cannot be sought is read from its start
                begin = (self._origin - _MARGIN) / stream.time_base
                self._input.seek(int(begin), stream=stream)
        if stream.codec_context is None:
            raise LookupError("there is no decoder for it")
        demuxed = self._demuxed(stream)
        first = next(demuxed, None)
        if first is None and self._damaged:
            raise LookupError("all of it is damaged")
        if first is None:
            raise NoSoundError(f"{self._path} has an empty audio track")
        packets = chain([first], demuxed)
        form = self._container.format.name
        is_copied = stream.codec_context.codec.canonical_name in _COPIED_CODECS[form]
        if is_copied and _fits(form, _copy_of(stream), first):
            return self._copied(packets, stream, _copy_of(stream)(self._container))
        for encoding in _encodings(_ENCODERS[form], stream):
            if _fits(form, encoding):
                return self._encoded(packets, stream, encoding(self._container))
        raise LookupError(f"{form} cannot hold it")

    def _with_times(self, packets: Iterator[Packet]) -> Iterator[tuple[Fraction, Packet]]:
        """Times in seconds and packets; an error ends the audio."""
        try:
            for packet in packets:
                if packet.pts is None or packet.time_base is None:
                    self._damaged += 1
                    continue
                shift = round(self._origin / packet.time_base)
                packet.pts -= shift
                if packet.dts is not None:
                    packet.dts -= shift
                if self._is_part and packet.pts < 0:  # before the first frame
                    continue
                yield packet.pts * packet.time_base, packet
        except Exception as error:  # any error: the video must be finished
            self._warn(f"{self._path}: the sound ends early: {_reason(error)}")

    def _copied(
        self, packets: Iterator[Packet], stream: AudioStream, out: AudioStream
    ) -> Iterator[Packet]:
        end: int | None = None
        shift = 0
        bitstream_filter = BitStreamFilterContext(_bitstream_filter(stream), stream, out)
        for demuxed in packets:
            for packet in self._unless_damaged(bitstream_filter.filter, demuxed):
                if packet.dts is None or packet.pts is None:
                    continue
                length = packet.duration or 0
                if end is not None and packet.dts + shift < end - length:
                    shift = end - packet.dts  # of joined recordings: the clock starts again
                packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                end = packet.dts + length
                packet.stream = out
                yield packet

    def _encoded(
        self, packets: Iterator[Packet], stream: AudioStream, out: AudioStream
    ) -> Iterator[Packet]:
        set_time = _Timeline().set_time
        resampler: av.AudioResampler | None = None
        kind = None
        for frame in self._decoded(packets, stream):
            set_time(frame)
            converted: list[AudioFrame] = []
            if kind != (kind := (frame.sample_rate, frame.layout.name, frame.format.name)):
                # A resampler accepts only frames of the same kind as its first.
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
            if frame is not None:  # a passthrough resampler returns None when it is flushed
                yield from self._unless_damaged(out.encode, frame)

    def _decoded(self, packets: Iterator[Packet], stream: AudioStream) -> Iterator[AudioFrame]:
        for packet in packets:
            yield from self._unless_damaged(stream.decode, packet)
        with suppress(FFmpegError):
            yield from stream.decode(None)

    def _demuxed(self, stream: AudioStream) -> Iterator[Packet]:
        is_checked = stream.codec_context.codec.canonical_name in _PARSED_BY_MUXER
        for packet in self._input.demux(stream):
            if not packet.size:  # decoders take an empty packet for the end
                continue
            damaged = self._damaged
            if is_checked:
                self._unless_damaged(stream.decode, packet)
            if self._damaged == damaged:
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
    """Makes frames consecutive; their own times count only where they leave a gap."""

    def __init__(self) -> None:
        self._end: Fraction | None = None
        self._shift = Fraction(0)

    def set_time(self, frame: AudioFrame) -> None:
        """Set the time of ``frame``, in ticks of its rate."""
        time = self._end or Fraction(0)
        if frame.pts is not None and frame.time_base is not None:
            own = frame.pts * frame.time_base + self._shift
            if self._end is None or own > self._end + _MIN_GAP:
                time = own
            elif own < self._end - _MAX_OVERLAP:
                self._shift += self._end - own  # recordings were joined
        frame.pts = round(time * frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        self._end = time + Fraction(frame.samples, frame.sample_rate)


def open_tracks(
    path: str | Path,
    container: OutputContainer,
    warn: Warn,
    origin: Fraction,
    is_part: bool = False,
) -> list[AudioTrack]:
    """All audio tracks of a file that can be read; the one that players choose is first.

    Args:
        path: A media file.
        container: Container for the audio; its header must not be written yet.
        warn: Called with one sentence for each track that is lost.
        origin, is_part: As in :class:`AudioTrack`.
    """
    tracks = []
    try:
        indices = _audio_streams(path)
    except FFmpegError as error:
        warn(f"{path}: no sound: {_reason(error)}")
        return []
    for number, index in enumerate(indices):
        try:
            tracks.append(AudioTrack(path, index, container, warn, origin, is_part))
        except NoSoundError:
            pass
        except (LookupError, FFmpegError) as error:
            lost = f"sound without track {number + 1}" if len(indices) > 1 else "no sound"
            warn(f"{path}: {lost}: {_reason(error)}")
    return tracks


def _audio_streams(path: str | Path) -> list[int]:
    """The indices of the audio streams of a file; the one that players choose is first."""
    with open_media(Path(path)) as file:
        best = file.streams.best("audio")
        indices = (stream.index for stream in file.streams.audio)
        return sorted(indices, key=lambda index: (file.streams[index] != best, index))


def _copy_of(stream: AudioStream) -> _AddStream:
    return lambda container: container.add_stream_from_template(stream)


def _encodings(encoder: str, stream: AudioStream) -> Iterator[_AddStream]:
    """Ways to encode ``stream``, the closest one first."""
    rates = av.Codec(encoder, "w").audio_rates or [48000]
    rate = min(rates, key=lambda rate: abs(rate - (stream.rate or 48000)))
    # Its layout, the default layout of as many channels, and one that every encoder accepts.
    for layout in (stream.layout.name, f"{stream.channels}c", "stereo"):
        yield partial(_add_encoded, encoder, rate, layout)


def _bitstream_filter(stream: AudioStream) -> str:
    """The bitstream filter for packets of ``stream``: MP4 stores the ADTS header only once."""
    codec = stream.codec_context
    is_adts = codec.codec.canonical_name == "aac" and not codec.extradata
    return "aac_adtstoasc" if is_adts else "null"


def _add_encoded(encoder: str, rate: int, layout: str, container: OutputContainer) -> AudioStream:
    stream = container.add_stream(encoder, rate, layout=layout)
    assert isinstance(stream, AudioStream)
    return stream


def _fits(form: str, add: _AddStream, first: Packet | None = None) -> bool:
    """Whether a container can hold a stream, and its first packet if that is given.

    Tested with a file in memory, as a stream cannot be removed from a container.
    """
    trial = av.open(BytesIO(), "w", format=form)
    try:
        out = add(trial)
        trial.start_encoding()
        if first is not None:
            packet = Packet(bytes(first))
            packet.pts = packet.dts = 0
            packet.time_base, packet.stream = first.time_base, out
            trial.mux_one(packet)
        trial.close()
    except (FFmpegError, ValueError):
        return False
    return True


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, FFmpegError) else None) or str(error)
