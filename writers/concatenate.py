"""Joins videos of consecutive parts of a clip, without encoding them again."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from media import Warn, open_media, os_errors_as

from .audio import AudioTrack, open_tracks
from .base import WriteError
from .encoder import INTERLEAVED_SECONDS
from .files import create_partial, partial_name
from .video_file import CONTAINERS, movie_timescale

#: A codec whose settings hold what the encoder says about itself, which differs between machines.
_TALKATIVE_CODEC = "hevc"


@dataclass(frozen=True)
class Segment:
    """A video of a part of a clip.

    Attributes:
        path: The file.
        frames: How many frames it has.
        begin: When its first frame is shown in the joined video, in seconds.
    """

    path: Path
    frames: int
    begin: Fraction


def concatenate(
    segments: Sequence[Segment],
    path: Path,
    *,
    audio: Path | None,
    origin: Fraction,
    from_start: bool,
    to_end: bool,
    warn: Warn,
) -> None:
    """Join videos by copying their packets; the file is complete or absent.

    Args:
        segments: In the order of their frames, at least one.
        path: The new file; an existing one is replaced.
        audio: A media file whose audio goes with the frames; None for none.
        origin: Time on the clock of the audio, in seconds, at which the joined video begins.
        from_start: The audio begins where that of the file does, rather than with the first frame.
        to_end: It ends where that of the file does, rather than with the last frame.
        warn: Told of audio that is lost.

    Raises:
        WriteError: A segment is damaged or differs from the first one, or the file cannot be
            written.
    """
    partial = partial_name(path)
    with os_errors_as(WriteError, path, FFmpegError), ExitStack() as on_failure:
        os.close(create_partial(path))  # no link, when FFmpeg opens it
        on_failure.callback(partial.unlink, missing_ok=True)
        with open_media(segments[0].path) as first, ExitStack() as tracks:
            model = _video_of(first)
            name = CONTAINERS[path.suffix[1:]]
            options = {"max_interleave_delta": str(int(1_000_000 * INTERLEAVED_SECONDS))}
            if name in ("mp4", "mov") and model.time_base is not None:
                options["movie_timescale"] = movie_timescale(model.time_base)
            out = tracks.enter_context(av.open(str(partial), "w", format=name, options=options))
            video = out.add_stream_from_template(model)
            assert isinstance(video, VideoStream)
            video.time_base = model.time_base
            sound = [] if audio is None else open_tracks(audio, out, warn, origin, not from_start)
            for track in sound:
                tracks.callback(track.close)
            out.start_encoding()
            joiner = _Joiner(out, video, model, sound)
            for segment in segments:
                with os_errors_as(WriteError, segment.path, FFmpegError):
                    joiner.add(segment)
            for track in sound:
                track.feed(until=None if to_end else joiner.end)
        partial.replace(path)
        on_failure.pop_all()


class _Joiner:
    """Copies the packets of segments into a container."""

    def __init__(
        self,
        out: OutputContainer,
        video: VideoStream,
        model: VideoStream,
        sound: Sequence[AudioTrack],
    ):
        self.end = Fraction(0)
        self._out, self._video, self._model, self._sound = out, video, model, sound
        self._last_dts: int | None = None

    def add(self, segment: Segment) -> None:
        with open_media(segment.path) as file:
            stream, count = _video_of(file), 0
            if _kind_of(stream) != _kind_of(self._model):
                raise WriteError(
                    f"{segment.path}: was encoded in another way than the other segments; make it "
                    "again with --overwrite on the same kind of machine"
                )
            for packet in file.demux(stream):
                if not packet.size or packet.pts is None or packet.time_base is None:
                    continue
                shift = round(segment.begin / packet.time_base)
                packet.pts += shift
                if packet.dts is not None:
                    packet.dts += shift
                    if self._last_dts is not None and packet.dts <= self._last_dts:
                        packet.dts = self._last_dts + 1
                    self._last_dts = packet.dts
                tick = packet.time_base
                self.end = max(self.end, (packet.pts + (packet.duration or 0)) * tick)
                count += 1
                packet.stream = self._video
                self._out.mux_one(packet)
                for track in self._sound:
                    track.feed(until=self.end)
        if count != segment.frames:
            raise WriteError(
                f"{segment.path}: holds {count} frames, and not the {segment.frames} that its "
                "report lists; make it again with --overwrite"
            )


def _video_of(file: InputContainer) -> VideoStream:
    stream = file.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise WriteError(f"{file.name}: no video in this file")
    return stream


def _kind_of(stream: VideoStream) -> tuple[object, ...]:
    context = stream.codec_context
    settings = None if context.name == _TALKATIVE_CODEC else bytes(context.extradata or b"")
    return context.name, context.width, context.height, context.pix_fmt, settings
