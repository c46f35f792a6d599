"""Every frame of a video stream, in presentation order."""

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

from media import Warn, open_media, os_errors_as
from media.ffmpeg import ReferringFileError

from .alpha import decoder_with_alpha
from .damage import DamagedError, DamageTracker, Decoded, may_start_mid_stream
from .gaps import SkippedFrames
from .sources import MediaError

#: FFmpeg's names of formats whose packets may lack presentation times.
UNTIMED_FORMATS = ("asf", "avi", "mpeg", "mxf")
#: Seconds before the wanted frame at which to seek. The next value is tried where decoding then
#: starts after that frame.
SEEK_MARGINS = (0, 2, 10, 60)
#: Packets that are looked at to see whether they carry presentation times.
PROBED_PACKETS = 64
#: Each thread holds some of the 32 frames that the card's decoder has room for; one is enough.
MAX_CARD_THREADS = 1
#: A Matroska file with this tag has the length of the stream in DURATION; FFmpeg writes the end.
_STATISTICS_TAG = "_STATISTICS_WRITING_APP"
#: Frames by which a duration in the header may exceed the frames that were read, without a warning:
#: it may start before the first frame.
_MAX_EXCESS_FRAMES = 4
#: FFmpeg's name of a format whose header counts the frames.
_EXACT_FORMAT = "mxf"
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@contextmanager
def open_video(
    path: Path, *, on_card: bool = False
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the main video stream of a file.

    Args:
        path: The file.
        on_card: Decode on an NVIDIA card if there is one that can.

    Raises:
        MediaError: The file cannot be opened, or has no video that can be decoded.
    """
    with os_errors_as(MediaError, path, ValueError):  # ValueError: a NUL character in the name
        try:
            container = _open(path, on_card)
        except ReferringFileError as error:
            raise MediaError(str(error)) from error
        except FFmpegError as error:
            if isinstance(error, PermissionError):
                raise
            raise MediaError(
                f"{path}: not a video that can be read, or cut off before its index was written "
                f"({error.strerror})"
            ) from error
    with container:
        stream = container.streams.best("video")
        # FFmpeg opens text files as videos of terminals, and cover art as videos of one frame.
        is_cover = stream is not None and stream.disposition & stream.disposition.attached_pic
        if stream is None or is_cover or container.format.name == "tty":
            raise MediaError(f"{path}: no video in this file; expected a video or an image")
        assert isinstance(stream, VideoStream)
        if not stream.codec_context:
            raise MediaError(f"{path}: no decoder for this kind of video; convert it first")
        yield container, stream


def decodes_on_card(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a file that was opened for the card is decoded there; decodes the first frame."""
    context = stream.codec_context
    if not context.is_hwaccel:
        return False
    context.thread_count = MAX_CARD_THREADS
    frame = None
    with suppress(FFmpegError):
        frame = next(container.decode(stream), None)
    return frame is not None and context.pix_fmt == "cuda"


def _open(path: Path, on_card: bool) -> InputContainer:
    if on_card:
        with suppress(FFmpegError):  # no card, or no driver
            return open_media(path, HWAccel("cuda"))
    return open_media(path)


def decode(
    path: Path, warn: Warn, *, on_card: bool = False, alpha: bool = False
) -> Iterator[Decoded]:
    """Decode a video from start to end, in presentation order.

    The first pass decodes several frames in parallel, which is fastest. With these threads, FFmpeg
    reports damage late and drops intact frames with it. At the first sign of damage, a second pass
    without them decodes the video again and continues where the first one stopped.

    Args:
        path: The file.
        warn: Called when there are fewer frames than the header promises.
        on_card: Run the first pass on an NVIDIA card if there is one that can. GPU decoders hide
            damage within a frame silently.
        alpha: Decode alpha, too, where that takes another decoder.
    """
    done = 0
    try:
        for item in _decode_pass(path, warn, tolerant=False, on_card=on_card, alpha=alpha):
            yield item
            done += 1
    except DamagedError:
        yield from islice(_decode_pass(path, warn, tolerant=True, alpha=alpha), done, None)


def _decode_pass(
    path: Path, warn: Warn, *, tolerant: bool, on_card: bool = False, alpha: bool = False
) -> Iterator[Decoded]:
    with open_video(path, on_card=on_card) as (container, stream):
        skipped = SkippedFrames(container, stream)
        packets = _demux(container, stream, skipped)
        first = list(islice(packets, PROBED_PACKETS if stream.codec_context.has_b_frames else 0))
        timed = are_timed(first)
        tolerant = tolerant or not timed  # damage is noticed too late to start a second pass
        stream.thread_type = "SLICE" if tolerant else "AUTO"
        if stream.codec_context.is_hwaccel:
            stream.codec_context.thread_count = MAX_CARD_THREADS
        tracker = DamageTracker(
            stream,
            tolerant,
            mid_stream=may_start_mid_stream(container),
            timed=timed,
            decoder=decoder_with_alpha(path, stream) if alpha else None,
        )
        for packet in chain(first, packets):
            for frame, time in tracker.decode(packet):
                yield from tracker.lost_at(skipped.before(time, tracker.clock_shift))
                yield frame, time
        for frame, time in tracker.finish():
            yield from tracker.lost_at(skipped.before(time, tracker.clock_shift))
            yield frame, time
        _warn_of_losses(path, container, skipped, tracker, warn)


def _warn_of_losses(
    path: Path,
    container: InputContainer,
    skipped: SkippedFrames,
    tracker: DamageTracker,
    warn: Warn,
) -> None:
    """Tell which frames the file has lost and nobody could count, when it has been read."""
    if skipped.renumbered:
        warn(
            f"{path}: damaged; frames are missing, and the times of the others do not say how "
            "many: those after them have lower numbers"
        )
    if tracker.damaged:
        count = f"{tracker.damaged} frames are" if tracker.damaged > 1 else "one frame is"
        warn(f"{path}: {count} damaged in parts, and used as they are")
    stream = container.streams.best("video")
    assert isinstance(stream, VideoStream)
    promised = _promised_frames(container, stream, tracker)
    if tracker.frames < promised:
        warn(
            f"{path}: the header promises {promised} frames, {tracker.frames} could be read; "
            "the file may be cut off"
        )
    elif container.format.name == "avi" and 0 < stream.frames < tracker.frames:
        warn(
            f"{path}: the header promises {stream.frames} frames, {tracker.frames} could be read; "
            "the file may be damaged, with frames that come twice"
        )
    elif tracker.missing > tracker.lost or skipped.may_differ(tracker.lost, tracker.joints):
        warn(
            f"{path}: cut off or damaged; it may have held other frames than the {tracker.frames} "
            "that could be read"
        )


def are_timed(packets: list[Packet]) -> bool:
    """Whether the packets of a stream with B-frames carry presentation times.

    Those of AVI and of some MXF and ASF files carry decoding times, which never decrease.
    """
    times = [packet.pts for packet in packets if packet.size]
    return not times or any(x is None or y is None or y < x for x, y in pairwise(times))


def _demux(
    container: InputContainer, stream: VideoStream, skipped: SkippedFrames | None = None
) -> Iterator[Packet]:
    """All packets, and an empty one at the end; an error in the file counts as its end."""
    try:
        if skipped is None or not skipped.applies:
            yield from container.demux(stream)
            return
        for packet in container.demux():
            skipped.see(packet)
            if packet.stream_index == stream.index:
                yield packet
    except FFmpegError:
        yield Packet()


def _promised_frames(container: InputContainer, stream: VideoStream, tracker: DamageTracker) -> int:
    """Number of frames according to the header.

    A header without a frame count promises frames only if its duration clearly exceeds the last
    frame. AVI counts the ticks of its clock instead, including those without a frame.
    """
    is_avi = container.format.name == "avi"
    rate, seconds = stream.average_rate or stream.guessed_rate, _duration(container, stream)
    if stream.frames and not is_avi:
        if not rate or not seconds:
            return stream.frames - tracker.discarded
        # A trim in the middle of a frame leaves part of its time, but no packet.
        rounding = 0 if tracker.discarded else Fraction(1, 2)
        return min(stream.frames - tracker.discarded, int(seconds * rate + rounding))
    if not seconds or not rate or tracker.last_time is None or stream.time_base is None:
        return 0
    start = stream.start_time or 0
    covered = (tracker.last_time - start) * stream.time_base + 1 / rate
    if stream.frames and is_avi:
        return tracker.frames + stream.frames - round(covered * rate)
    allowed = max(seconds / 20, _MAX_EXCESS_FRAMES / rate)
    if container.format.name.startswith(_EXACT_FORMAT):
        allowed = 1 / rate / 2
    exceeds = seconds - covered > allowed
    return round(tracker.frames * seconds / covered) if exceeds else 0


def length_hint(container: InputContainer, stream: VideoStream) -> int | None:
    """Expected number of frames; None if there are none.

    It follows from the duration in the header. Without a duration, as in a recording that was cut
    off or a live stream, the packets are counted, which reads the whole file.
    """
    rate, seconds = stream.average_rate or stream.guessed_rate, _duration(container, stream)
    if rate and seconds:
        return int(seconds * rate + Fraction(1, 2))
    packets = (packet for packet in _demux(container, stream) if packet.size)
    return stream.frames or sum(not packet.is_discard for packet in packets) or None


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds that the stream lasts according to the header, or the file if only that is known."""
    tag = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))  # Matroska, for each stream
    if tag:
        hours, minutes, seconds = map(Fraction, tag.groups())
        end = 3600 * hours + 60 * minutes + seconds
        if stream.start_time and stream.time_base and _STATISTICS_TAG not in stream.metadata:
            return end - max(0, stream.start_time) * stream.time_base
        return end
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration, av.time_base) if container.duration else None
