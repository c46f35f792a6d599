"""The file of a video while it is written, and how it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from media import os_errors_as

from .base import WriteError
from .encoder import INTERLEAVED_SECONDS
from .files import create_partial, partial_name
from .formats import STDOUT
from .mp4 import mend_length

#: FFmpeg's names of containers.
CONTAINERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm", "nut": "nut"}
#: Those of the family of MP4.
_MP4 = ("mp4", "mov")
#: Ticks per second, at least, for the start times of video and audio.
_MIN_MOVIE_TIMESCALE = 48000


class VideoFile:
    """A file that is called ``NAME.part`` until it is finished; or standard output.

    Args:
        path: The file, or ``-``. Its folder is created if it does not exist.
        extension: That of its format.
        time_base: Tick of the video in seconds.
        fragment: Seconds that are written to the disk together.

    Attributes:
        container: What packets are muxed into.

    Raises:
        OSError, FFmpegError: It cannot be created.
    """

    def __init__(self, path: Path, extension: str, time_base: Fraction, fragment: Fraction):
        self._path, self._form = path, CONTAINERS[extension]
        options = _options(self._form, time_base, fragment)
        if str(path) == STDOUT:
            self.container = av.open(sys.stdout.buffer, "w", format=self._form, options=options)
            return
        self._final = path.absolute()  # the current folder may change later
        self._partial = partial_name(self._final)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(create_partial(self._final))  # no link, when FFmpeg opens it
        try:
            self.container = av.open(str(self._partial), "w", format=self._form, options=options)
        except BaseException:
            self._partial.unlink(missing_ok=True)
            raise

    def finish(self, seconds: Fraction | None) -> None:
        """Close the file and give it its final name; one without frames is removed.

        Args:
            seconds: From the first frame shown to the end of the last one; None without frames.

        Raises:
            OSError, FFmpegError: It cannot be finished.
        """
        self.container.close()
        if str(self._path) == STDOUT:
            sys.stdout.buffer.flush()
        elif seconds is None:
            self._partial.unlink()
        else:
            if self._form in _MP4:
                mend_length(self._partial, seconds)
            self._partial.replace(self._final)

    def discard(self) -> None:
        """Close and remove the file: nothing was written."""
        self.container.close()
        if str(self._path) != STDOUT:
            self._partial.unlink(missing_ok=True)

    @contextmanager
    def errors_told(self, *, playable: bool) -> Iterator[None]:
        """Errors of writing, as on a full disk, become :class:`WriteError`.

        Args:
            playable: There are frames in the file, so that the message says where it is.
        """
        with os_errors_as(WriteError, self._path):
            try:
                yield
            except FFmpegError as error:
                reason = error.strerror or error
                if playable and str(self._path) != STDOUT:
                    reason = (
                        f"{reason}; the video until then plays: {self._final.name}, or "
                        f"{self._partial.name} if it could not be closed"
                    )
                raise WriteError(f"{self._path}: {reason}") from error


def _options(form: str, time_base: Fraction, fragment: Fraction) -> dict[str, str]:
    """FFmpeg's options for a container whose fragments last ``fragment`` seconds."""
    always = {
        "max_interleave_delta": _microseconds(INTERLEAVED_SECONDS),
        "flush_packets": "1",
    }
    if form in ("matroska", "webm"):
        return {**always, "cluster_time_limit": str(max(1, int(1000 * fragment)))}
    if form not in _MP4:
        return always
    return {
        **always,
        # A fragmented MP4 while it is written, an ordinary one once closed. The index is written
        # late, as one at the start cannot account for the encoder's delay and shifts all times.
        "movflags": "hybrid_fragmented+delay_moov",
        "frag_duration": _microseconds(fragment),
        # The unit of the start times of video and audio.
        "movie_timescale": movie_timescale(time_base),
    }


def movie_timescale(time_base: Fraction) -> str:
    """The unit of the start times of video and audio in an MP4: a multiple of that of the video."""
    ticks = time_base.denominator
    return str(ticks * -(-_MIN_MOVIE_TIMESCALE // ticks))


def _microseconds(seconds: Fraction) -> str:
    return str(max(1, int(1_000_000 * seconds)))
