"""One frame of a clip, by its time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from media import Warn, format_time

from .decode import RUN_UPS, UNTIMED_FORMATS, open_video
from .images import is_image_name
from .sources import Frame, FrameSource, MediaError, refuse_pipe
from .video import VideoSource

#: Times are noted to the millisecond; a frame counts from half of one before its own time.
_ROUNDING = Fraction(1, 2000)


class ClipFrame(FrameSource):
    """The frame that a clip shows at a time, counted from its first frame.

    Args:
        path: The clip.
        time: In seconds.
        warn: Called with one sentence for each oddity that the user should know about.

    Raises:
        MediaError: The clip ends before that time, or cannot be read.
    """

    still = True

    def __init__(self, path: Path, time: Fraction, warn: Warn):
        if path.is_dir() or is_image_name(path):
            raise MediaError(f"{path}: has no times; name the image itself, without @")
        refuse_pipe(path)
        clip = VideoSource(path, warn)
        self.name = f"{path}@{format_time(time)}"
        self.size = clip.size
        self._frame = _sought(clip, time) or _decoded(clip, time)

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame


def _sought(clip: VideoSource, time: Fraction) -> Frame | None:
    """The frame, decoded from a key frame before it; None where seeking is not to be trusted."""
    if clip.start is None:
        return None
    with open_video(clip.path) as (container, stream):
        tick = stream.time_base
        if tick is None or not stream.duration or container.format.name in UNTIMED_FORMATS:
            return None
        wanted = clip.start + time + _ROUNDING
        if wanted >= clip.start + stream.duration * tick - 1 / clip.frame_rate:
            return None  # the end is told by decoding, not by a header
        for run_up in RUN_UPS:
            begin = max(clip.start, wanted - run_up)
            try:
                container.seek(int(begin / tick), stream=stream)
                shown = _last_before(container.decode(stream), wanted / tick)
            except FFmpegError:
                return None
            if shown is not None:
                return Frame(clip.upright(shown))
    return None


def _last_before(pictures: Iterator[av.VideoFrame], wanted: Fraction) -> av.VideoFrame | None:
    """The last of the pictures up to ``wanted`` ticks; None if it may lie before the first.

    Pictures ahead of the first key picture lack what they build on, and are passed over.
    """
    shown: av.VideoFrame | None = None
    for picture in pictures:
        if picture.pts is None or picture.is_corrupt:
            return None
        if picture.pts > wanted:
            return shown
        if shown is not None or picture.key_frame:
            shown = picture
    return None


def _decoded(clip: VideoSource, time: Fraction) -> Frame:
    """The frame, decoded from the start of the clip."""
    shown: Frame | None = None
    start = last = Fraction(0)
    for frame in clip:
        assert frame.time is not None, "videos have a clock"
        if shown is None:
            start = frame.time
        elif frame.time - start > time + _ROUNDING:
            return shown
        shown, last = frame, frame.time
    end = last - start + 1 / clip.frame_rate
    if shown is None or time >= end:
        raise MediaError(
            f"{clip.name}: ends at {format_time(end)}, before the {format_time(time)} asked for"
        )
    return shown
