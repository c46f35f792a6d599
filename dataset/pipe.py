"""A video on standard input, which can be read once."""

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from media import Warn, os_errors_as

from .alpha import decoder_with_alpha
from .colourspace import ColourSpace
from .damage import Decoded
from .sources import MediaError
from .threads import spare_threads
from .video import VideoSource, undecodable

#: What users give for standard input.
STDIN = Path("-")
#: FFmpeg's names of formats that can be read from start to end without going back.
_FORMATS = "nut,matroska,webm,yuv4mpegpipe"


class PipeSource(VideoSource):
    """A video on standard input: NUT, Matroska or Y4M.

    A frame that cannot be decoded is replaced by the one before it.

    Args:
        warn: Called with one sentence for each oddity that the user should know about.
        space: The colour space of the frames.
        alpha: Read alpha, too.
        stream: Where to read; by default standard input.

    Raises:
        MediaError: There is no video that can be decoded.
    """

    once = True

    def __init__(
        self,
        warn: Warn,
        *,
        space: ColourSpace | None = None,
        alpha: bool = False,
        stream: BinaryIO | None = None,
    ):
        self._space, self.alpha = space or ColourSpace(), alpha
        self.path, self.name = STDIN, "standard input"
        self.any_size, self.on_card = False, False
        self.threads = spare_threads()
        self._warn = warn
        with os_errors_as(MediaError, STDIN):
            try:
                self._container: InputContainer = av.open(
                    stream or sys.stdin.buffer,
                    "r",
                    container_options={"format_whitelist": _FORMATS},
                    metadata_errors="replace",
                )
            except FFmpegError as error:
                raise MediaError(
                    "-: standard input holds no video that can be read from a pipe; write NUT, "
                    "Matroska or Y4M, as in ffmpeg -i clip.mp4 -c:v rawvideo -f nut -"
                ) from error
        best = self._container.streams.best("video")
        if not isinstance(best, VideoStream) or not best.codec_context:
            raise MediaError("-: no video on standard input")
        self._note_stream(self._container, best)
        self._frames: Iterator[Decoded] | None = self._decoded(best)
        early: list[Decoded] = []
        for first, pts in self._frames:
            early.append((first, pts))
            if first is not None:
                self._note_first(first, len(early) - 1, warn)
                break
        else:
            raise undecodable(self.name)
        self._frames = chain(early, self._frames)

    def _decode(self) -> Iterator[Decoded]:
        if self._frames is None:
            raise MediaError(f"{self.name} can be read only once; save the clip to a file")
        frames, self._frames = self._frames, None
        return frames

    def _decoded(self, stream: VideoStream) -> Iterator[Decoded]:
        stream.thread_type = "SLICE"
        decoder = decoder_with_alpha(self.path, stream) if self.alpha else None
        decoder = decoder or stream.codec_context
        try:
            for packet in self._container.demux(stream):
                try:
                    for frame in decoder.decode(packet):
                        yield frame, frame.pts
                except FFmpegError:
                    yield None, packet.pts
        except FFmpegError as error:
            self._warn(f"{self.name}: ends early ({error.strerror})")
        self._container.close()
