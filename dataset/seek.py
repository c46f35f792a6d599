"""Some frames of a video, sought rather than read from the start, and exactly the right ones."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from media import prefetch

from .alpha import decoder_with_alpha
from .damage import DamagedError, DamageTracker
from .decode import MAX_CARD_THREADS, SEEK_MARGINS, open_video
from .index import FrameIndex
from .places import Places
from .sources import Frame

if TYPE_CHECKING:
    from .video import VideoSource

#: Place of a frame, the frame, and its time in ticks.
_Sought = tuple[int, av.VideoFrame, int]


@dataclass
class Reading:
    """A video that is being decoded, from one frame to the next.

    Attributes:
        decoding: Gives its frames; None before the first one.
        position: Place of the next frame that it gives.
    """

    decoding: Iterator[_Sought] | None = None
    position: int = 0


def seek_frames(
    source: "VideoSource", index: FrameIndex, places: Places, reading: Reading
) -> Iterator[Frame]:
    """The frames at some places of an intact video.

    Args:
        source: The video.
        index: Its frames.
        places: Those to read.
        reading: Goes on from where it is, if that is nearer than a keyframe.

    Raises:
        DamagedError: The video is damaged on the way, or is not what its index says; all frames
            before that were given.
    """
    convert = partial(_converted, source, index)
    with closing(_sought(source, index, places, reading)) as sought:
        yield from prefetch(convert, sought, source.threads, name="convert")


def _converted(source: "VideoSource", index: FrameIndex, sought: _Sought) -> Frame:
    place, decoded, pts = sought
    before = int(index.times[place - 1]) if place else None
    return source.frame_at(place, decoded, pts, before)


def _sought(
    source: "VideoSource", index: FrameIndex, places: Places, reading: Reading
) -> Generator[_Sought]:
    for place in places:
        if place >= len(index.times):
            return
        goes_on = index.key_before(place)[0] <= reading.position <= place
        decoding = reading.decoding if goes_on else None
        reading.decoding = None  # until the frame is there
        if decoding is None:
            decoding = _decode_from(source, index, place)
        found = next((item for item in decoding if item[0] == place), None)
        if found is None:
            raise DamagedError
        reading.decoding, reading.position = decoding, place + 1
        yield found


def _decode_from(source: "VideoSource", index: FrameIndex, place: int) -> Iterator[_Sought]:
    """Decode from a keyframe; yields the frame at a place, and all after it."""
    with open_video(source.path, on_card=source.on_card) as (container, stream):
        stream.thread_type = "AUTO"
        if stream.codec_context.is_hwaccel:
            stream.codec_context.thread_count = MAX_CARD_THREADS
        decoder = decoder_with_alpha(source.path, stream) if source.alpha else None
        tracker = DamageTracker(stream, False, mid_stream=True, timed=True, decoder=decoder)
        for packet in _packets_from(container, stream, index, place):
            for frame, time in tracker.decode(packet):
                if time is None or frame is None or frame.interlaced_frame or tracker.clock_shift:
                    raise DamagedError
                if frame.is_corrupt:  # what stands in for lost parts depends on earlier frames
                    raise DamagedError
                if time < index.times[place]:
                    continue
                if time > index.times[place]:
                    raise DamagedError
                yield place, frame, time
                place += 1
                if place == len(index.times):
                    return


def _packets_from(
    container: InputContainer, stream: VideoStream, index: FrameIndex, place: int
) -> Iterator[Packet]:
    """The packets from a keyframe on from which the frame at a place can be decoded."""
    wanted, tick = int(index.times[place]), stream.time_base
    assert tick is not None
    for seconds in SEEK_MARGINS:
        start = index.key_before(place)[1] - round(seconds / tick)
        try:
            container.seek(max(start, index.key_times[0]), stream=stream)
            packets = container.demux(stream)
            for packet in packets:
                if packet.is_keyframe and packet.pts is not None and packet.pts >= index.times[0]:
                    break
            else:
                continue
            if packet.pts <= wanted:
                yield packet
                yield from packets
                return
        except FFmpegError as error:
            raise DamagedError from error
    raise DamagedError
