"""Every picture of a video stream, in presentation order."""

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

from .ledger import DamagedError, Decoded, Ledger, begins_anywhere
from .sources import MediaError, Warn


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
    except DamagedError:
        yield from islice(_decode_pass(path, warn, careful=True), done, None)


def _decode_pass(path: Path, warn: Warn, *, careful: bool) -> Iterator[Decoded]:
    with open_video(path) as (container, stream):
        stream.thread_type = "SLICE" if careful else "AUTO"
        ledger = Ledger(stream, careful, tuned_in=begins_anywhere(container))
        for packet in _demux(container, stream):
            yield from ledger.decode(packet)
        yield from ledger.finish()
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


def _promised(container: InputContainer, stream: VideoStream, ledger: Ledger) -> int:
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
