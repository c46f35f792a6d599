"""Frames of a video file: upright, in RGB, with their times."""

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from math import cos, lcm, radians, sin
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from media import Warn, exact_rate, prefetch

from .alpha import alpha_of_frame, has_alpha, has_picture_of_alpha, is_clear
from .coding import YuvCoding
from .colourspace import ColourSpace
from .damage import DamagedError, Decoded, may_start_mid_stream
from .decode import decode, decodes_on_card, length_hint, open_video
from .images import ALPHA_IGNORED
from .index import FrameIndex, list_frames
from .orientation import turn
from .places import Places
from .rgb import MATRICES, ToRgb, untagged
from .seek import Reading, seek_frames
from .sources import Frame, FrameSource, MediaError, to_levels
from .threads import spare_threads

#: FFmpeg's names of formats that round times: Matroska and WebM, Flash, Windows Media.
_ROUNDING_FORMATS = ("matroska", "flv", "asf")
#: FFmpeg's numbers for transfer functions.
_LINEAR_TRANSFER = 8
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
#: FFmpeg's numbers for RGB, which has no matrix, and for an unspecified matrix.
_NO_MATRIX = (0, 2)
#: FFmpeg's names of pixel formats with floating-point numbers.
_FLOAT_FORMAT = re.compile(r"f(16|32)(le|be)$")
#: FFmpeg's numbers for primaries that differ clearly from those of BT.709.
_WIDE_PRIMARIES = {4: "BT.470 M", 8: "film", 9: "BT.2020", 10: "XYZ", 11: "DCI-P3", 12: "P3"}


class VideoSource(FrameSource):
    """A video file, decoded from its first frame to the end of its stream.

    That does not seek, and does not rely on a frame count in the header. :meth:`pick` seeks in
    files without damage. A frame that cannot be decoded
    is replaced by the one before it (at the start, by the first one that can be decoded), so that
    all others keep their numbers.

    Args:
        path: The file.
        warn: Called with one sentence for each oddity that the user should know about.
        on_card: Decode on an NVIDIA card if there is one that can.
        space: The colour space of the frames, once the matrix of the video is undone.
        alpha: Read alpha, too.

    Attributes:
        path: The file.
        start: Time in seconds of the first frame that can be decoded; None without a clock.
        any_size: Frames may change size, as the reader resizes each of them; otherwise that is an
            error.
        on_card, threads: Where frames are decoded, and threads that convert them.
        alpha: Alpha is read, too.
        goes_on: :meth:`pick` leaves the file open and goes on from there the next time, for one
            reader after another.
        starts_whole: The first frame can be decoded, and is no pair of fields.
        matrix, range: Those that its frames are read with, by name; no matrix for RGB and grey.
        lacks_matrix, lacks_range: No tag says which it is.

    Raises:
        MediaError: The file holds no video that can be decoded.
    """

    frame_rate: Fraction

    def __init__(
        self,
        path: Path,
        warn: Warn,
        *,
        on_card: bool = False,
        space: ColourSpace | None = None,
        alpha: bool = False,
    ):
        self._space, self.alpha = space or ColourSpace(), alpha
        self.goes_on, self._reading = False, Reading()
        self.path = path
        self.name = str(path)
        self.any_size = False
        self._warn = warn
        self.on_card = on_card
        self.threads = spare_threads()  # now: a run changes PyTorch's number
        with open_video(path, on_card=on_card) as (container, stream):
            if on_card and not decodes_on_card(container, stream):
                warn(f"{path}: no NVIDIA card here can decode it; decoding on the CPU")
                self.on_card = False
            self.length_hint = length_hint(container, stream)
            self._note_stream(container, stream)
        lost_at_start, first = 0, None
        for first, _ in decode(path, _ignore_warning, alpha=alpha):
            if first is not None:
                break
            lost_at_start += 1
        if first is None:
            raise undecodable(self.name)
        self._note_first(first, lost_at_start, warn)

    def _note_stream(self, container: InputContainer, stream: VideoStream) -> None:
        """Note what the stream says of all frames."""
        rounds = container.format.name.startswith(_ROUNDING_FORMATS)
        self.frame_rate = stream.guessed_rate or stream.average_rate or Fraction(30)
        if rounds:  # the duration of a frame is rounded, too
            self.frame_rate = exact_rate(self.frame_rate)
        if may_start_mid_stream(container):
            self.origin = _earliest_start(container, stream)
        self._tick = stream.time_base or 1 / self.frame_rate
        self._aspect = stream.sample_aspect_ratio
        self._shows_alpha = has_picture_of_alpha(stream)
        self.on_card &= not (self.alpha and self._shows_alpha)  # no card decodes it
        self._is_gif = stream.codec_context.name == "gif"
        self._to_rgb = ToRgb(stream.codec_context, self._space.coding)
        self._choose_time_base(rounds)

    def _note_first(self, first: av.VideoFrame, lost_at_start: int, warn: Warn) -> None:
        """Note what the first frame that can be decoded shows, and warn of oddities.

        Raises:
            MediaError: Its levels cannot be read.
        """
        path = self.name
        if _FLOAT_FORMAT.search(first.format.name):
            raise MediaError(
                f"{path}: floating-point levels, which are usually linear light; save it with 8 or "
                "16 bits, in sRGB"
            )
        self.deep = max(component.bits for component in first.format.components) > 8
        self.matrix, self.range = self._to_rgb.names(first, self._to_rgb.coding)
        self.lacks_matrix, self.lacks_range = untagged(first)
        for text in self._to_rgb.denied(first):
            warn(f"{path}: {text}")
        self.start = None if first.pts is None else first.pts * self._tick
        if self.start is not None:  # players show nothing before the origin
            self.origin = min(self.origin, self.start)
        self.starts_whole = not (lost_at_start or first.interlaced_frame)
        self._turn = _turn_of(first)
        self._coded_size = (first.height, first.width)
        self.size = self._coded_size[::-1] if self._turn[0] else self._coded_size
        self.has_alpha = self.alpha and has_alpha(first)
        if not self.alpha and (self._shows_alpha or is_clear(first, is_gif=self._is_gif)):
            warn(f"{path}: {ALPHA_IGNORED}")
        if self._aspect not in (None, 0, 1):
            warn(f"{path}: pixels are not square ({self._aspect}); they are read as square")
        if first.interlaced_frame:
            warn(f"{path}: interlaced video; deinterlace it first for clean edges")
        if first.colorspace not in (*MATRICES, *_NO_MATRIX):
            unknown = f"an unknown colour matrix ({first.colorspace})"
            warn(f"{path}: tagged with {unknown}; it is read as if it had no tag")
        if not self._space.is_named:
            _warn_of_colours(path, first, warn)

    @property
    def coding(self) -> YuvCoding:
        """What the frames are read as, whatever their tags say."""
        return self._to_rgb.coding

    def read_as(self, coding: YuvCoding) -> None:
        """Read the frames with a matrix and a range, whatever the tags say."""
        self._to_rgb.coding = coding
        self.matrix = self.matrix if coding.matrix == "auto" else coding.matrix
        self.range = self.range if coding.range == "auto" else coding.range

    def _choose_time_base(self, rounds: bool) -> None:
        """Choose a tick of which all times are multiples.

        Some formats round times to their own tick, usually a millisecond. If a frame does not last
        a whole number of these ticks, the rounding is undone: a time less than a tick away from
        that of the constant rate is replaced by it.
        """
        self.time_base = self._tick
        finest = Fraction(1, lcm(self.frame_rate.numerator, self._tick.denominator))
        self._rounded = rounds and finest != self._tick and finest.denominator < 2**31
        if self._rounded:
            self.time_base = finest

    def __iter__(self) -> Iterator[Frame]:
        start: Fraction | None = None
        previous: Frame | None = None
        lost_at_start: list[Fraction] = []  # times of frames before the first that can be decoded
        frames = prefetch(self._converted, enumerate(self._decode()), self.threads, name="convert")
        for number, (frame, pts) in enumerate(frames):
            if start is None:
                start = Fraction(0) if pts is None else pts * self._tick
            time = self._time(number, pts, start)
            if previous is not None and previous.time is not None and time <= previous.time:
                time = previous.time + self._tick  # a broken clock; players need it to advance
            if frame is not None:
                previous = replace(frame, time=time)
                for lost_time in lost_at_start:
                    yield replace(previous, time=lost_time, repeated=True)
                lost_at_start = []
            elif previous is not None:
                previous = replace(previous, time=time, repeated=True)
            else:
                lost_at_start.append(time)
            if previous is not None:
                yield previous
        if previous is None:  # the file has changed since the constructor decoded a frame
            raise undecodable(self.name)

    @cached_property
    def index(self) -> FrameIndex | None:
        """The frames, listed without decoding; None where they have to be counted."""
        return list_frames(self)

    def length(self) -> int:
        return super().length() if self.index is None else len(self.index.times)

    def pick(self, places: Places) -> Iterator[Frame]:
        if places.are_all or self.index is None:
            yield from super().pick(places)
            return
        given = -1
        reading = self._reading if self.goes_on else Reading()
        frames = zip(places, seek_frames(self, self.index, places, reading), strict=False)
        try:
            for place, frame in frames:
                given = place
                yield frame
        except DamagedError:
            yield from super().pick(places.after(given))

    def time_at(self, place: int) -> Fraction:
        """Seconds from the first frame to another, in a video with an index."""
        assert self.index is not None and self.start is not None
        return self._time(place, int(self.index.times[place]), self.start) - self.start

    def frame_at(
        self, number: int, decoded: av.VideoFrame, pts: int, before: int | None = None
    ) -> Frame:
        """A decoded frame with its number; times of it and of the one before are in ticks."""
        frame, _ = self._converted((number, (decoded, pts)))
        assert frame is not None and self.start is not None
        time = self._time(number, pts, self.start)
        if before is not None:
            previous = self._time(number - 1, before, self.start)
            time = time if time > previous else previous + self._tick
        return replace(frame, time=time)

    def _decode(self) -> Iterator[Decoded]:
        return decode(self.path, self._warn, on_card=self.on_card, alpha=self.alpha)

    def _converted(self, item: tuple[int, Decoded]) -> tuple[Frame | None, int | None]:
        """A decoded frame with its time in ticks; a lost one stays None."""
        number, (frame, pts) = item
        if frame is None:
            return None, pts
        self._check_size(number, frame)
        pha = alpha_of_frame(frame) if self.alpha else None
        return Frame.of(self._pixels(frame), None if pha is None else turn(pha, *self._turn)), pts

    def upright(
        self,
        frame: av.VideoFrame,
        size: tuple[int, int] | None = None,
        coding: YuvCoding | None = None,
    ) -> np.ndarray:
        """The levels of a decoded frame: (H, W, 3), uint8 or uint16.

        Args:
            frame: A frame of this video.
            size: (height, width) to resize to, after rotation.
            coding: What it is read as, instead of what others are.

        Raises:
            MediaError: FFmpeg cannot convert its pixel format.
        """
        return to_levels(self._pixels(frame, size, coding))

    def _pixels(
        self,
        frame: av.VideoFrame,
        size: tuple[int, int] | None = None,
        coding: YuvCoding | None = None,
    ) -> np.ndarray:
        """A decoded frame as RGB, upright, as a :class:`ColourSpace` returns it."""
        try:
            image = self._to_rgb(frame, self.as_coded(size) if size else None, coding)
        except FFmpegError as error:
            raise MediaError(
                f"{self.path}: cannot convert pixel format {frame.format.name} to RGB; "
                "convert the video first"
            ) from error
        return self._space(turn(image, *self._turn))

    def as_coded(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) before rotation, from one after it."""
        return size[::-1] if self._turn[0] else size

    def _time(self, number: int, pts: int | None, start: Fraction) -> Fraction:
        constant = start + number / self.frame_rate
        if pts is None:
            return constant
        time = pts * self._tick
        return constant if self._rounded and abs(constant - time) <= self._tick else time

    def _check_size(self, number: int, frame: av.VideoFrame) -> None:
        if not self.any_size and (frame.height, frame.width) != self._coded_size:
            height, width = self._coded_size
            raise MediaError(
                f"{self.path}: frame {number} is {frame.width}x{frame.height}, the frames before "
                f"it are {width}x{height}; give one size to all with --video-resize WIDTH HEIGHT"
            )


def _warn_of_colours(path: str, frame: av.VideoFrame, warn: Warn) -> None:
    """Warn of tags that say that levels are not those of BT.709, as which they are read."""
    if frame.color_trc in _HDR_TRANSFERS:
        transfer = _HDR_TRANSFERS[frame.color_trc]
        warn(f"{path}: HDR video ({transfer}); its levels are used without tone mapping")
    elif frame.color_primaries in _WIDE_PRIMARIES:
        primaries = _WIDE_PRIMARIES[frame.color_primaries]
        warn(f"{path}: tagged with the primaries of {primaries}; it is read as BT.709")
    if frame.color_trc == _LINEAR_TRANSFER:
        warn(f"{path}: tagged as linear light; its levels are used as they are")


def _earliest_start(container: InputContainer, stream: VideoStream) -> Fraction:
    """Time in seconds at which the video or the audio starts, whichever is first."""
    starts = [
        one.start_time * one.time_base
        for one in (stream, container.streams.best("audio"))
        if one is not None and one.start_time is not None and one.time_base is not None
    ]
    return min(starts, default=Fraction(0))


def _ignore_warning(message: str) -> None:
    """For decoding the first frame only: the warnings come when the frames are read."""


def undecodable(name: str) -> MediaError:
    return MediaError(f"{name}: not one frame of this video can be decoded")


def _turn_of(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How to turn frames upright: (transpose, mirror, flip), by the display matrix.

    The matrix maps a column x and a row y to (a x + c y, b x + d y); see ISO/IEC 14496-12, 6.2.2.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # the frame also has side data that PyAV does not know, such as EXIF
        angle = -radians(frame.rotation)
        a, b, c, d = cos(angle), sin(angle), -sin(angle), cos(angle)
    else:
        if matrix is None:
            return False, False, False
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))  # type: ignore[call-overload]
    if abs(b) > abs(a):
        return True, c < 0, b < 0
    return False, a < 0, d < 0
