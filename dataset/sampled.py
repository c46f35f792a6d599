"""A few frames of a source, without reading the whole source."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice
from math import inf

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from .coding import YuvCoding
from .damage import may_start_mid_stream
from .decode import SEEK_MARGINS, UNTIMED_FORMATS, open_video
from .folder import ImageFolder
from .scaling import resize
from .sources import Frame, FrameSource
from .video import VideoSource

#: Pixels to decode at most between keyframes and thumbnails: those of 3 s of 720p at 24 frames/s.
_MAX_DECODED_PIXELS = 70e6

#: Bytes of memory for sampled frames, and the number of frames to keep even if they take more.
_MAX_KEPT_BYTES, _MIN_KEPT_FRAMES = 768 * 2**20, 16

#: Relative difference between the mean frame rate and the nominal one, above which the rate varies.
_MAX_RATE_DIFFERENCE = 0.02

#: Frame numbers, approximate in a video, and frames (H, W, 3), RGB.
NumberedFrames = list[tuple[int, np.ndarray]]


def evenly_spaced(length: int | None, count: int) -> list[int]:
    """``count`` frame numbers, evenly spaced over ``length`` frames; the first ones for None."""
    if not length or length <= count:
        return list(range(length or count))
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]


def thumbnails(
    source: FrameSource, numbers: Sequence[int], size: tuple[int, int]
) -> NumberedFrames:
    """Small copies, uint8, of the frames at or near some numbers.

    Of a folder of images, only these files are read. In a video, it seeks to the keyframe before
    each frame and decodes from there; where that would take too long, it uses the keyframe itself.

    Args:
        source: The source.
        numbers: Frame numbers, ascending, from 0; one beyond the end stands for the last frame. No
            frame is returned twice.
        size: (height, width) of the copies.
    """
    budget = _MAX_DECODED_PIXELS / (source.size[0] * source.size[1])
    small = [(n, resize(x, size)) for n, x in _read_frames(source, numbers, size, budget)]
    return [(n, x if x.dtype == np.uint8 else (x >> 8).astype(np.uint8)) for n, x in small]


def codings_tried(
    source: VideoSource, numbers: Sequence[int], size: tuple[int, int], codings: Sequence[YuvCoding]
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Small copies of frames of a video, as each of several codings has them.

    Args:
        source: The video.
        numbers, size: As for :func:`thumbnails`; nothing comes of a video that cannot be sought.
        codings: What to read the frames as.

    Yields:
        The number of a frame, and a copy (H, W, 3), uint8 or uint16, for each coding.
    """
    budget = _MAX_DECODED_PIXELS / (source.size[0] * source.size[1])
    for number, decoded in sorted(_seek(source, numbers, budget).items()):
        yield number, [source.upright(decoded, size, coding) for coding in codings]


def sample_evenly(
    src: FrameSource, between: Callable[[], None] = lambda: None, *, most: int
) -> np.ndarray:
    """Evenly spaced frames of a whole clip of unknown length, in bounded memory.

    Every n-th frame is kept. When there are too many, every other one is dropped and n doubles. The
    length in the header is not used.

    Args:
        src: The clip; it is read once, from start to end.
        between: Called for every frame; an exception from it ends the reading.
        most: Maximum number of frames to keep.

    Returns:
        (N, H, W, 3), RGB, uint8; at least one frame.
    """
    return sample_with_places(src, between, most=most)[0]


def sample_with_places(
    src: FrameSource, between: Callable[[], None] = lambda: None, *, most: int
) -> tuple[np.ndarray, range]:
    """As :func:`sample_evenly`, with the places of the frames in the clip."""
    height, width = src.size
    most = min(most, max(_MIN_KEPT_FRAMES, _MAX_KEPT_BYTES // (height * width * 3)))
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
        image = resize(frame.image, src.size)  # of a clip that changes size
        kept[count] = image if image.dtype == np.uint8 else image >> 8
        count += 1
    return kept[:count], range(0, count * step, step)


class SampledFrames(FrameSource):
    """Some frames of a source at full size; all frames of a still one.

    Args:
        source: The source.
        numbers: Frame numbers as in :func:`thumbnails`; in a video, at its constant rate.
    """

    consecutive = False

    def __init__(self, source: FrameSource, numbers: Sequence[int]):
        self.name, self.size, self.still = source.name, source.size, source.still
        self.deep = source.deep
        self.length_hint = len(numbers)
        self.numbers, self._source = numbers, source

    def __iter__(self) -> Iterator[Frame]:
        if self.still:
            yield from self._source
            return
        for _, image in _read_frames(self._source, self.numbers, None, inf):
            yield Frame(image)


def _read_frames(
    source: FrameSource, numbers: Sequence[int], size: tuple[int, int] | None, budget: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Numbers and frames; see :func:`thumbnails`.

    Args:
        source: The source.
        numbers: Frame numbers, ascending.
        size: (height, width) to which frames of a video are resized; None for full size.
        budget: Frames to decode at most between keyframes; infinite for exact frame numbers.
    """
    if isinstance(source, ImageFolder):
        last = len(source.paths) - 1
        for number in sorted({min(number, last) for number in numbers}):
            yield number, source.read(number)
        return
    found = _seek(source, numbers, budget) if isinstance(source, VideoSource) else {}
    for number, decoded in sorted(found.items()):
        assert isinstance(source, VideoSource)
        yield number, source.upright(decoded, size)
    if not found and budget == inf:
        yield from _read_in_order(source, numbers)
    elif not found:
        first = islice(source, 1 if source.still else len(numbers))
        yield from ((number, frame.image) for number, frame in enumerate(first))


def _read_in_order(source: FrameSource, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Frames by number, read from the first one; the last one stands for those beyond the end."""
    number, frame = -1, None
    for number, frame in enumerate(islice(source, max(numbers) + 1)):
        if number in numbers:
            yield number, frame.image
    if frame is not None and number not in numbers:
        yield number, frame.image


def _seek(source: VideoSource, numbers: Sequence[int], budget: float) -> dict[int, av.VideoFrame]:
    """Decoded frames of a video by number; empty where seeking is not possible."""
    found: dict[int, av.VideoFrame] = {}
    exact = budget == inf
    try:
        with open_video(source.path) as (container, stream):
            if stream.time_base is None or (exact and container.format.name in UNTIMED_FORMATS):
                return {}
            stream.thread_type = "AUTO"
            if not exact:  # skip frames that no other one refers to: half the work
                stream.codec_context.skip_frame = "NONREF"
            begin, at, decoding = stream.start_time or 0, -1, None
            if source.start is not None and may_start_mid_stream(container):
                begin = round(source.start / stream.time_base)
            rate = _mean_rate(stream, source)
            for number in numbers:
                wanted = begin + round(number / rate / stream.time_base)
                position = begin + round(at / rate / stream.time_base)
                if decoding is None or _keyframe_before(stream, wanted) > position:
                    decoding = _decode_from(container, stream, wanted, begin, exact=exact)
                    if decoding is None:
                        return {}
                frame = None
                while (at < number - (not exact) and budget > 0) or frame is None:
                    following = next(decoding, None)
                    if following is None:  # the last frame stands for those beyond the end
                        break
                    frame = following
                    pts = begin if frame.pts is None else frame.pts
                    at = round((pts - begin) * stream.time_base * rate)
                    budget -= 1
                if frame is not None and _has_size_of(source, frame):
                    found[at] = frame
    except FFmpegError:
        return {} if exact else found
    return found


def _decode_from(
    container: InputContainer, stream: VideoStream, wanted: int, begin: int, *, exact: bool
) -> Iterator[av.VideoFrame] | None:
    """Seek to a keyframe before ``wanted`` ticks and decode from there.

    In a format without an index, seeking may end after ``wanted``. If ``exact``, earlier positions
    are tried then; None if all of them end after it.
    """
    assert stream.time_base is not None
    for seconds in SEEK_MARGINS if exact else (0,):
        container.seek(max(begin, wanted - round(seconds / stream.time_base)), stream=stream)
        decoding = container.decode(stream)
        first = next(decoding, None)
        if not exact or first is None or first.pts is None or first.pts <= wanted:
            return chain([first] if first is not None else [], decoding)
    return None


def _mean_rate(stream: VideoStream, source: VideoSource) -> Fraction:
    """Frames per second to turn frame numbers into times: the mean if the rate varies."""
    mean = stream.average_rate
    varies = mean is not None and abs(mean / source.frame_rate - 1) > _MAX_RATE_DIFFERENCE
    return mean if mean is not None and varies else source.frame_rate


def _keyframe_before(stream: VideoStream, pts: int) -> int:
    """The time of the keyframe before ``pts`` by the file's index; ``pts`` without an index."""
    number = stream.index_entries.search_timestamp(pts)
    return stream.index_entries[number].timestamp if number >= 0 else pts


def _has_size_of(source: VideoSource, frame: av.VideoFrame) -> bool:
    return source.any_size or (frame.height, frame.width) == source.as_coded(source.size)
