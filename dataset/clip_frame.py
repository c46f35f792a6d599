"""One frame of a clip, by its time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from media import Warn, format_time, os_errors_as

from .colourspace import ColourSpace
from .decode import SEEK_MARGINS, UNTIMED_FORMATS, open_video
from .images import is_image_name
from .sources import Frame, FrameSource, MediaError, refuse_pipe
from .video import VideoSource

#: Seconds before its time from which a frame counts: users write times to the millisecond, and this
#: is half of one.
_MAX_ROUNDING = Fraction(1, 2000)


class ClipFrame(FrameSource):
    """The frame that a clip shows at a time, counted from its first frame.

    Args:
        path: The clip.
        time: In seconds.
        warn: Called with one sentence for each oddity that the user should know about.
        space: The colour space of the clip.

    Raises:
        MediaError: The clip ends before that time, or cannot be read.
    """

    still = True

    def __init__(self, path: Path, time: Fraction, warn: Warn, space: ColourSpace | None = None):
        with os_errors_as(MediaError, path):
            if path.is_dir() or is_image_name(path):
                raise MediaError(f"{path}: has no times; name the image itself, without @")
        refuse_pipe(path)
        clip = VideoSource(path, warn, space=space)
        self.name = f"{path}@{format_time(time)}"
        self.size = clip.size
        self._frame = _find_by_seek(clip, time) or _find_by_decoding(clip, time)

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame


def _find_by_seek(clip: VideoSource, time: Fraction) -> Frame | None:
    """The frame, decoded from a keyframe before it; None where seeking is not reliable."""
    if clip.start is None:
        return None
    with open_video(clip.path) as (container, stream):
        tick = stream.time_base
        if tick is None or not stream.duration or container.format.name in UNTIMED_FORMATS:
            return None
        wanted = clip.start + time + _MAX_ROUNDING
        if wanted >= clip.start + stream.duration * tick - 1 / clip.frame_rate:
            return None  # the header may be wrong about the end, so it is decoded
        for margin in SEEK_MARGINS:
            target = max(clip.start, wanted - margin)
            try:
                container.seek(int(target / tick), stream=stream)
                shown = _last_until(container.decode(stream), wanted / tick)
            except FFmpegError:
                return None
            if shown is not None:
                return Frame(clip.upright(shown))
    return None


def _last_until(frames: Iterator[av.VideoFrame], wanted: Fraction) -> av.VideoFrame | None:
    """The last frame up to ``wanted`` ticks; None if it may come before the first of ``frames``.

    Frames before the first keyframe refer to frames that were not decoded; they do not count.
    """
    shown: av.VideoFrame | None = None
    for frame in frames:
        if frame.pts is None or frame.is_corrupt:
            return None
        if frame.pts > wanted:
            return shown
        if shown is not None or frame.key_frame:
            shown = frame
    return None


def _find_by_decoding(clip: VideoSource, time: Fraction) -> Frame:
    """The frame, decoded from the start of the clip."""
    shown: Frame | None = None
    start = last = Fraction(0)
    for frame in clip:
        assert frame.time is not None, "videos have a clock"
        if shown is None:
            start = frame.time
        elif frame.time - start > time + _MAX_ROUNDING:
            return shown
        shown, last = frame, frame.time
    end = last - start + 1 / clip.frame_rate
    if shown is None or time >= end:
        raise MediaError(
            f"{clip.name}: ends at {format_time(end)}, before the {format_time(time)} asked for"
        )
    return shown
