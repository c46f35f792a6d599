"""Small pictures of a few frames of a source, without reading all of it."""

from collections.abc import Sequence
from itertools import islice

import av
import numpy as np
from av.error import FFmpegError

from .decode import open_video
from .fit import resize
from .images import ImageFolder, read_image
from .sources import FrameSource
from .video import VideoSource, to_rgb, turn

#: Pixels that may be decoded on the way from keyframes to the frames wanted: 3 s of 720p at 24 fps.
_BUDGET = 70e6


def spread(length: int | None, count: int) -> list[int]:
    """``count`` frame numbers evenly over a clip of ``length`` frames; the first ones if unknown."""
    if not length or length <= count:
        return list(range(length or count))
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]


def glance(
    source: FrameSource, numbers: Sequence[int], size: tuple[int, int]
) -> list[tuple[int, np.ndarray]]:
    """Pictures at or near some frame numbers.

    Images are read alone. A video is sought by time and decoded from the keyframe before; where
    that would cost too much, the keyframe itself has to do. Numbers beyond the end give the last
    picture, and those for which there is no picture of their own are left out.

    Args:
        source: Where to look.
        numbers: Ascending, from 0.
        size: (height, width) of the pictures.

    Returns:
        Numbers, approximate in a video, and pictures (H, W, 3), uint8, RGB.
    """
    if isinstance(source, ImageFolder):
        last = len(source.paths) - 1
        picked = sorted({min(number, last) for number in numbers})
        return [(number, _small(read_image(source.paths[number]), size)) for number in picked]
    if isinstance(source, VideoSource):
        found = _seek(source, numbers, size)
        if found:
            return found
    first = islice(source, 1 if source.still else len(numbers))
    return [(number, _small(frame.image, size)) for number, frame in enumerate(first)]


def _small(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = resize(image, size)
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def _seek(
    source: VideoSource, numbers: Sequence[int], size: tuple[int, int]
) -> list[tuple[int, np.ndarray]]:
    """Pictures of a video by seeking; none where that cannot be done."""
    found: dict[int, av.VideoFrame] = {}
    budget = _BUDGET / (source.size[0] * source.size[1])
    try:
        with open_video(source.path) as (container, stream):
            if stream.time_base is None:
                return []
            stream.thread_type = "AUTO"
            stream.codec_context.skip_frame = "NONREF"  # what no other frame needs: half the work
            begin, at = stream.start_time or 0, -1
            for number in numbers:
                wanted = begin + round(number / source.frame_rate / stream.time_base)
                container.seek(wanted, stream=stream)
                picture = None
                for picture in container.decode(stream):
                    at = _number(source, picture, begin)
                    budget -= 1
                    if at >= number - 1 or budget < 0:
                        break
                if picture is not None:
                    found[at] = picture
    except FFmpegError:
        pass  # what was found until then will do
    return [(number, _upright(source, picture, size)) for number, picture in sorted(found.items())]


def _number(source: VideoSource, picture: av.VideoFrame, begin: int) -> int:
    if picture.pts is None or picture.time_base is None:
        return 0
    return round((picture.pts - begin) * picture.time_base * source.frame_rate)


def _upright(source: VideoSource, picture: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    transpose, mirror, flip = source.turned
    coded = size[::-1] if transpose else size
    return _small(turn(to_rgb(picture, coded), transpose, mirror, flip), size)
