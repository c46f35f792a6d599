"""Where each frame of an intact video is: times and keyframes, listed without decoding."""

from bisect import bisect_right
from dataclasses import dataclass
from heapq import heappush, heappushpop
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from .damage import ONE_FRAME_PER_PACKET
from .decode import PROBED_PACKETS, UNTIMED_FORMATS, are_timed, open_video
from .gaps import SkippedFrames
from .mp4 import is_fragmented

if TYPE_CHECKING:
    from .video import VideoSource

#: Codecs without frames that refer to others.
_INTRA_CODECS = frozenset(("prores", "mjpeg", "dnxhd"))
#: Frames by which a decoder reorders at most.
_MAX_REORDERED = 16


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video in presentation order.

    Attributes:
        times: (N,), int64: their times in ticks, ascending.
        key_places: Ascending; decoding from a keyframe gives all frames from its place on.
        key_times: Times to seek to, in ticks, for each of these keyframes.
    """

    times: np.ndarray
    key_places: list[int]
    key_times: list[int]

    def key_before(self, place: int) -> tuple[int, int]:
        """Place and time of the keyframe from which to decode a frame."""
        number = max(0, bisect_right(self.key_places, place) - 1)
        return self.key_places[number], self.key_times[number]


def list_frames(source: "VideoSource") -> FrameIndex | None:
    """List the frames of a video that can be sought in.

    The index of an MP4 or MOV is enough where all frames last as long, or are keyframes. In other
    files the packets are read.

    Returns:
        None where frames have to be counted from the start: if the file is damaged, or its packets
        do not say which frame they hold.
    """
    if not source.starts_whole or source.start is None:
        return None
    try:
        with open_video(source.path) as (container, stream):
            packets = islice(container.demux(stream), PROBED_PACKETS)
            if stream.codec_context.has_b_frames and not are_timed(list(packets)):
                return None
        with open_video(source.path) as (container, stream):
            name = stream.codec_context.name
            if name not in ONE_FRAME_PER_PACKET or container.format.name in UNTIMED_FORMATS:
                return None
            assert stream.time_base is not None, "it has a start"
            start = round(source.start / stream.time_base)
            return _by_index(container, stream, start) or _by_packets(container, stream, start)
    except FFmpegError:
        return None


def _by_index(container: InputContainer, stream: VideoStream, start: int) -> FrameIndex | None:
    """From the index of an MP4 or MOV, which has decoding times."""
    entries = stream.index_entries
    is_complete = 0 < len(entries) == stream.frames
    if not (container.format.name.startswith("mov") and is_complete):
        return None
    if is_fragmented(Path(container.name)) or any(entry.is_discard for entry in entries):
        return None
    times = np.fromiter((entry.timestamp for entry in entries), np.int64, len(entries))
    steps = np.diff(times)
    reordered = 0
    if stream.codec_context.name not in _INTRA_CODECS:
        if (steps != steps[:1]).any():
            return None
        reordered = _MAX_REORDERED
    if (steps <= 0).any():
        return None
    keys = [n for n, entry in enumerate(entries) if entry.is_keyframe]
    if not keys or keys[0]:
        return None
    places = [n + reordered if n else 0 for n in keys]
    return FrameIndex(times - times[0] + start, places, [int(times[n]) for n in keys])


def _by_packets(container: InputContainer, stream: VideoStream, start: int) -> FrameIndex | None:
    """From all packets; None if the file is damaged or holds several recordings."""
    skipped = SkippedFrames(container, stream)
    times: list[int] = []
    keys: list[tuple[int, int]] = []  # presentation time, time to seek to
    waiting: list[int] = []  # a heap of times, in which packets are reordered as frames are
    last = None
    for packet in container.demux() if skipped.applies else container.demux(stream):
        skipped.see(packet)
        if packet.stream_index != stream.index or (packet.dts is None and not packet.size):
            continue
        broken = packet.is_corrupt or not packet.size or packet.pts is None
        if broken or (last is not None and packet.dts is not None and packet.dts < last):
            return None
        last = packet.dts if packet.dts is not None else last
        assert packet.pts is not None
        if packet.is_discard or packet.pts < start:
            continue
        if packet.is_keyframe:
            keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        times.append(packet.pts)
        if len(waiting) < _MAX_REORDERED:
            heappush(waiting, packet.pts)
        elif skipped.before(heappushpop(waiting, packet.pts), 0):
            return None
    if any(skipped.before(time, 0) for time in sorted(waiting)) or skipped.renumbered:
        return None
    times.sort()
    keys.sort()
    if not times or not keys or keys[0][0] != times[0] or times[0] != start:
        return None
    if any(a == b for a, b in pairwise(times)):
        return None
    shown = np.array(times, np.int64)
    places = np.searchsorted(shown, [time for time, _ in keys])
    return FrameIndex(shown, places.tolist(), [time for _, time in keys])
