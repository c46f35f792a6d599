"""A few frames of a source, without reading all of it."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice
from math import inf

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from .damage import may_start_mid_stream
from .decode import RUN_UPS, UNTIMED_FORMATS, open_video
from .folder import ImageFolder
from .images import read_image
from .scaling import resize
from .sources import Frame, FrameSource
from .video import VideoSource

#: Pixels that may be decoded on the way from keyframes to the frames that a glance is to show:
#: those of 3 s of 720p at 24 frames/s.
_MAX_DECODED_PIXELS = 70e6

#: Bytes that sampled frames may take; but never fewer frames than these are kept.
_MAX_BYTES, _MIN_FRAMES = 768 * 2**20, 16

#: Relative difference between the mean rate and the nominal one above which the rate varies.
_JITTER = 0.02

#: Frame numbers, approximate in a video, and pictures (H, W, 3), RGB.
Pictures = list[tuple[int, np.ndarray]]


def evenly_spaced(length: int | None, count: int) -> list[int]:
    """``count`` frame numbers evenly over a clip of ``length`` frames; if unknown, the first."""
    if not length or length <= count:
        return list(range(length or count))
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]


def thumbnails(source: FrameSource, numbers: Sequence[int], size: tuple[int, int]) -> Pictures:
    """Small pictures, uint8, at or near some frame numbers.

    Images are read alone. A video is sought by time and decoded from the keyframe before; where
    that would cost too much, the keyframe itself has to do.

    Args:
        source: Where to look.
        numbers: Ascending, from 0; those beyond the end give the last picture. What would be a
            picture twice is left out.
        size: (height, width) of the pictures.
    """
    budget = _MAX_DECODED_PIXELS / (source.size[0] * source.size[1])
    small = [(n, resize(x, size)) for n, x in _pictures(source, numbers, size, budget)]
    return [(n, x if x.dtype == np.uint8 else (x >> 8).astype(np.uint8)) for n, x in small]


def sample_evenly(
    src: FrameSource, between: Callable[[], None] = lambda: None, *, most: int
) -> np.ndarray:
    """Frames from a whole clip at even distances, in bounded memory whatever its length.

    Every n-th frame is kept. Whenever there are too many, every other one is dropped and n doubles:
    what the header says of the length does not matter.

    Args:
        src: The clip; it is read once, from start to end.
        between: Called after every frame; what it raises ends the reading.
        most: Frames to keep at most.

    Returns:
        (N, H, W, 3), RGB, uint8; at least one frame.
    """
    height, width = src.size
    most = min(most, max(_MIN_FRAMES, _MAX_BYTES // (height * width * 3)))
    kept = np.empty((most, height, width, 3), np.uint8)
    count, step = 0, 1
    for number, frame in enumerate(src):
        between()
        if number % step:
            continue
        if count == most:
            count = -(-most // 2)
            for i in range(1, count):
                kept[i] = kept[2 * i]
            step *= 2
            if number % step:
                continue
        image = frame.image
        kept[count] = image if image.dtype == np.uint8 else image >> 8
        count += 1
    return kept[:count]


class SampledFrames(FrameSource):
    """Some frames of a source, whole; like the source itself where that is still.

    Args:
        source: Where they are from.
        numbers: Which, as in :func:`thumbnails`; a video's go by its constant rate.
    """

    consecutive = False

    def __init__(self, source: FrameSource, numbers: Sequence[int]):
        self.name, self.size, self.still = source.name, source.size, source.still
        self.length_hint = len(numbers)
        self.numbers, self._source = numbers, source

    def __iter__(self) -> Iterator[Frame]:
        if self.still:
            yield from self._source
            return
        for _, image in _pictures(self._source, self.numbers, None, inf):
            yield Frame(image)


def _pictures(
    source: FrameSource, numbers: Sequence[int], size: tuple[int, int] | None, budget: float
) -> Iterator[tuple[int, np.ndarray]]:
    """See :func:`thumbnails`; with a ``size``, a video's pictures come in it."""
    if isinstance(source, ImageFolder):
        last = len(source.paths) - 1
        for number in sorted({min(number, last) for number in numbers}):
            yield number, read_image(source.paths[number])
        return
    found = _seek(source, numbers, budget) if isinstance(source, VideoSource) else {}
    for number, picture in sorted(found.items()):
        assert isinstance(source, VideoSource)
        yield number, source.upright(picture, size)
    if not found and budget == inf:
        yield from _counted(source, numbers)
    elif not found:
        first = islice(source, 1 if source.still else len(numbers))
        yield from ((number, frame.image) for number, frame in enumerate(first))


def _counted(source: FrameSource, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Pictures by number, from the first on; the last stands for those beyond the end."""
    number, frame = -1, None
    for number, frame in enumerate(islice(source, max(numbers) + 1)):
        if number in numbers:
            yield number, frame.image
    if frame is not None and number not in numbers:
        yield number, frame.image


def _seek(source: VideoSource, numbers: Sequence[int], budget: float) -> dict[int, av.VideoFrame]:
    """Pictures of a video by number; none where it cannot be sought."""
    found: dict[int, av.VideoFrame] = {}
    exact = budget == inf
    try:
        with open_video(source.path) as (container, stream):
            if stream.time_base is None or (exact and container.format.name in UNTIMED_FORMATS):
                return {}
            stream.thread_type = "AUTO"
            if not exact:  # leave out what no other frame needs: half the work
                stream.codec_context.skip_frame = "NONREF"
            begin, at, pictures = stream.start_time or 0, -1, None
            if source.start is not None and may_start_mid_stream(container):
                begin = round(source.start / stream.time_base)
            rate = _mean_rate(stream, source)
            for number in numbers:
                wanted = begin + round(number / rate / stream.time_base)
                position = begin + round(at / rate / stream.time_base)
                if pictures is None or _keyframe(stream, wanted) > position:
                    pictures = _from_before(container, stream, wanted, begin, exact=exact)
                    if pictures is None:
                        return {}
                picture = None
                while (at < number - (not exact) and budget > 0) or picture is None:
                    following = next(pictures, None)
                    if following is None:  # the last one has to do
                        break
                    picture = following
                    pts = begin if picture.pts is None else picture.pts
                    at = round((pts - begin) * stream.time_base * rate)
                    budget -= 1
                if picture is not None and _fits(picture, source):
                    found[at] = picture
    except FFmpegError:
        return {} if exact else found  # what was found until then will do
    return found


def _from_before(
    container: InputContainer, stream: VideoStream, wanted: int, begin: int, *, exact: bool
) -> Iterator[av.VideoFrame] | None:
    """Pictures from a keyframe on, which lies before ``wanted`` ticks if it is to be ``exact``.

    Formats without an index land anywhere, and their first key picture may come too late: None
    where all of them do.
    """
    assert stream.time_base is not None
    for seconds in RUN_UPS if exact else (0,):
        container.seek(max(begin, wanted - round(seconds / stream.time_base)), stream=stream)
        pictures = container.decode(stream)
        first = next(pictures, None)
        if not exact or first is None or first.pts is None or first.pts <= wanted:
            return chain([first] if first is not None else [], pictures)
    return None


def _mean_rate(stream: VideoStream, source: VideoSource) -> Fraction:
    """Frames a second by which the numbers of a clip go: its own rate, where that is constant."""
    mean = stream.average_rate
    varies = mean is not None and abs(mean / source.frame_rate - 1) > _JITTER
    return mean if mean is not None and varies else source.frame_rate


def _keyframe(stream: VideoStream, pts: int) -> int:
    """The time of the keyframe before ``pts``, as the file's index tells it; else ``pts``."""
    number = stream.index_entries.search_timestamp(pts)
    return stream.index_entries[number].timestamp if number >= 0 else pts


def _fits(picture: av.VideoFrame, source: VideoSource) -> bool:
    return (picture.height, picture.width) == source.as_coded(source.size)
