"""Every picture of a video stream, in presentation order."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from media import Warn, open_media

from .damage import DamagedError, DamageTracker, Decoded, may_start_mid_stream
from .sources import MediaError

#: FFmpeg's names of formats whose packets need not say when their pictures are shown.
UNTIMED_FORMATS = ("asf", "avi", "mpeg", "mxf")
#: Seconds before a wanted picture at which to begin to decode, should the one before be too late.
RUN_UPS = (0, 2, 10, 60)
#: Packets that show whether their times are those of decoding.
_LOOK = 64
#: Every thread takes some of the card's pictures, of which there are 32; it does the work alone.
_THREADS_ON_CARD = 1
#: Says that a Matroska file's DURATION is how long a stream is; FFmpeg writes when it ends.
_MEASURED = "_STATISTICS_WRITING_APP"
#: Frames by which a header that does not count them may be wrong: it may begin before the first.
_NEAR = 4
_TAGGED = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@contextmanager
def open_video(
    path: Path, *, on_card: bool = False
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the main video stream of a file.

    Args:
        path: The file.
        on_card: Decode on an NVIDIA card, where there is one that can.

    Raises:
        MediaError: There is none.
    """
    try:
        container = _open(path, on_card)
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
        if not stream.codec_context:
            raise MediaError(f"{path}: no decoder for this kind of video; convert it first")
        yield container, stream


def decodes_on_card(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the card that a file was opened with decodes it, which its first picture tells."""
    context = stream.codec_context
    if not context.is_hwaccel:
        return False
    context.thread_count = _THREADS_ON_CARD
    picture = None
    with suppress(FFmpegError):
        picture = next(container.decode(stream), None)
    return picture is not None and context.pix_fmt == "cuda"


def _open(path: Path, on_card: bool) -> InputContainer:
    if on_card:
        with suppress(FFmpegError):  # no card, or no driver
            return open_media(path, HWAccel("cuda"))
    return open_media(path)


def decode(path: Path, warn: Warn, *, on_card: bool = False) -> Iterator[Decoded]:
    """Decode a video from start to end, in presentation order.

    Decoding begins with one thread a picture, the fastest way. FFmpeg then reports damage late
    and drops intact pictures with it, so at the first sign of damage a second pass without these
    threads takes over where the first one stopped.

    Args:
        path: The file.
        warn: Told when fewer pictures come out than the header promises.
        on_card: Have the first pass done by an NVIDIA card, where there is one that can. It does
            not tell of damage within a picture.
    """
    done = 0
    try:
        for item in _decode_pass(path, warn, careful=False, on_card=on_card):
            yield item
            done += 1
    except DamagedError:
        yield from islice(_decode_pass(path, warn, careful=True), done, None)


def _decode_pass(
    path: Path, warn: Warn, *, careful: bool, on_card: bool = False
) -> Iterator[Decoded]:
    with open_video(path, on_card=on_card) as (container, stream):
        packets = _demux(container, stream)
        begin = list(islice(packets, _LOOK if stream.codec_context.has_b_frames else 0))
        timed = _say_when_shown(begin)
        careful = careful or not timed  # damage shows too late to begin again
        stream.thread_type = "SLICE" if careful else "AUTO"
        if stream.codec_context.is_hwaccel:
            stream.codec_context.thread_count = _THREADS_ON_CARD
        tracker = DamageTracker(
            stream, careful, mid_stream=may_start_mid_stream(container), timed=timed
        )
        for packet in chain(begin, packets):
            yield from tracker.decode(packet)
        yield from tracker.finish()
        promised = _promised(container, stream, tracker)
        if tracker.shown < promised:
            warn(
                f"{path}: the header promises {promised} frames, {tracker.shown} could be read; "
                "the file may be cut off"
            )


def _say_when_shown(packets: list[Packet]) -> bool:
    """Whether packets of reordered pictures bring the times at which these are shown.

    They do not in AVI, nor in some MXF and ASF files: there, times rise from packet to packet.
    """
    times = [packet.pts for packet in packets if packet.size]
    return not times or any(x is None or y is None or y < x for x, y in pairwise(times))


def _demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """All packets, the last one empty; a file that breaks off ends there."""
    try:
        yield from container.demux(stream)
    except FFmpegError:
        yield Packet()


def _promised(container: InputContainer, stream: VideoStream, tracker: DamageTracker) -> int:
    """Frames that the header promises; where it does not count them, only if the end is far away.

    AVI counts the ticks of its clock instead, those without a picture included.
    """
    is_avi = container.format.name == "avi"
    rate, seconds = stream.average_rate or stream.guessed_rate, _seconds(container, stream)
    if stream.frames and not is_avi:
        if not rate or not seconds:
            return stream.frames - tracker.hidden
        # of the picture that the beginning was cut off in, some time is left, and no packet
        partly = 0 if tracker.hidden else Fraction(1, 2)
        return min(stream.frames - tracker.hidden, int(seconds * rate + partly))
    if not seconds or not rate or tracker.last is None or stream.time_base is None:
        return 0
    start = stream.start_time or 0
    covered = (tracker.last - start) * stream.time_base + 1 / rate
    if stream.frames and is_avi:
        return tracker.shown + stream.frames - round(covered * rate)
    is_far = seconds - covered > max(seconds / 20, _NEAR / rate)
    return round(tracker.shown * seconds / covered) if is_far else 0


def length_hint(container: InputContainer, stream: VideoStream) -> int | None:
    """Frames to expect; None if there are none.

    By the duration in the header; where it has none, as a recording that broke off or was never
    meant to end, packets are counted, for which the whole file is read.
    """
    rate, seconds = stream.average_rate or stream.guessed_rate, _seconds(container, stream)
    if rate and seconds:
        return int(seconds * rate + Fraction(1, 2))
    shown = (packet for packet in _demux(container, stream) if packet.size)
    return stream.frames or sum(not packet.is_discard for packet in shown) or None


def _seconds(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """How long the stream is by the header, which may know no more than how long the file is."""
    tag = _TAGGED.fullmatch(stream.metadata.get("DURATION", ""))  # Matroska, where sound may go on
    if tag:
        hours, minutes, seconds = map(Fraction, tag.groups())
        end = 3600 * hours + 60 * minutes + seconds
        if stream.start_time and stream.time_base and _MEASURED not in stream.metadata:
            return end - max(0, stream.start_time) * stream.time_base
        return end
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration, av.time_base) if container.duration else None
