"""Frames of a video file: upright, in RGB, with their times."""

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import cos, lcm, radians, sin
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from media import Warn, exact_rate, prefetch

from .damage import Decoded, may_start_mid_stream
from .decode import decode, decodes_on_card, length_hint, open_video
from .images import turn
from .rgb import MATRICES, ToRgb
from .sources import Frame, FrameSource, MediaError
from .threads import spare_threads

#: FFmpeg's names of formats whose times are rounded: Matroska and WebM, Flash, Windows Media.
_ROUNDING_FORMATS = ("matroska", "flv", "asf")
_LINEAR = 8
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
#: FFmpeg's numbers for RGB, which has no matrix, and for a tag that says nothing.
_NO_MATRIX = (0, 2)
#: FFmpeg's names of pixel formats with floating-point numbers.
_FLOATING = re.compile(r"f(16|32)(le|be)$")
#: Its numbers for primaries that are not those of BT.709, nor close to them.
_WIDE_PRIMARIES = {4: "BT.470 M", 8: "film", 9: "BT.2020", 10: "XYZ", 11: "DCI-P3", 12: "P3"}


class VideoSource(FrameSource):
    """A video file, decoded from its first frame to the end of its stream.

    Nothing is sought and no count in the header is trusted. A frame that cannot be decoded is
    replaced by the one before it (at the start by the first one that can), so that all others keep
    their numbers.

    Args:
        path: The file.
        warn: Called with one sentence for each oddity that the user should know about.
        on_card: Decode on an NVIDIA card, where there is one that can.

    Attributes:
        path: The file.
        start: Time in seconds of the first picture that can be decoded; None without a clock.

    Raises:
        MediaError: The file holds no video that can be decoded.
    """

    frame_rate: Fraction

    def __init__(self, path: Path, warn: Warn, *, on_card: bool = False):
        self.path = path
        self.name = str(path)
        self._warn = warn
        self._on_card = on_card
        with open_video(path, on_card=on_card) as (container, stream):
            if on_card and not decodes_on_card(container, stream):
                warn(f"{path}: no NVIDIA card here decodes it; the processor does")
                self._on_card = False
            rounds = container.format.name.startswith(_ROUNDING_FORMATS)
            self.frame_rate = stream.guessed_rate or stream.average_rate or Fraction(30)
            if rounds:  # the length of a frame, too
                self.frame_rate = exact_rate(self.frame_rate)
            self.length_hint = length_hint(container, stream)
            if may_start_mid_stream(container):
                self.origin = _beginning(container, stream)
            self._tick = stream.time_base or 1 / self.frame_rate
            aspect = stream.sample_aspect_ratio
            self._to_rgb = ToRgb(stream.codec_context)
        self._choose_clock(rounds)
        pictures = (picture for picture, _ in decode(path, _say_nothing) if picture)
        first = next(pictures, None)
        if first is None:
            raise _undecodable(path)
        if _FLOATING.search(first.format.name):
            raise MediaError(
                f"{path}: floating-point levels, which are linear light mostly; save it with 8 or "
                "16 bits, in sRGB"
            )
        self.start = None if first.pts is None else first.pts * self._tick
        if self.start is not None:  # players show nothing before the origin
            self.origin = min(self.origin, self.start)
        self._turn = _turn_of(first)
        self._coded_size = (first.height, first.width)
        self.size = self._coded_size[::-1] if self._turn[0] else self._coded_size
        if aspect not in (None, 0, 1):
            warn(f"{path}: pixels are not square ({aspect}); they are read as square")
        if first.interlaced_frame:
            warn(f"{path}: interlaced video; deinterlace it first for clean edges")
        if first.colorspace not in (*MATRICES, *_NO_MATRIX):
            unknown = f"a colour matrix that is not known ({first.colorspace})"
            warn(f"{path}: tagged with {unknown}; it is read as if it had no tag")
        if first.color_trc in _HDR_TRANSFERS:
            transfer = _HDR_TRANSFERS[first.color_trc]
            warn(f"{path}: HDR video ({transfer}); its levels are used without tone mapping")
        elif first.color_primaries in _WIDE_PRIMARIES:
            colours = _WIDE_PRIMARIES[first.color_primaries]
            warn(f"{path}: tagged with the primaries of {colours}; they are taken for BT.709's")
        if first.color_trc == _LINEAR:
            warn(f"{path}: tagged as linear light; its levels are used as they are")

    def _choose_clock(self, rounds: bool) -> None:
        """Find a tick in which all times are whole.

        Some formats round times to their own tick, a millisecond mostly. Where a frame does not
        last a whole number of these, a time within one of the constant rate is taken as that
        rate's: the rounding is undone.
        """
        self.time_base = self._tick
        finest = Fraction(1, lcm(self.frame_rate.numerator, self._tick.denominator))
        self._rounded = rounds and finest != self._tick and finest.denominator < 2**31
        if self._rounded:
            self.time_base = finest

    def __iter__(self) -> Iterator[Frame]:
        start: Fraction | None = None
        previous: Frame | None = None
        nothing_yet: list[Fraction] = []  # times of frames before the first that can be decoded
        images = prefetch(self._decoded, enumerate(self._decode()), spare_threads(), name="convert")
        for number, (image, pts) in enumerate(images):
            if start is None:
                start = Fraction(0) if pts is None else pts * self._tick
            time = self._time(number, pts, start)
            if previous is not None and previous.time is not None and time <= previous.time:
                time = previous.time + self._tick  # a broken clock; players need it to advance
            if image is not None:
                previous = Frame(image, time)
                for lost in nothing_yet:
                    yield replace(previous, time=lost, repeated=True)
                nothing_yet = []
            elif previous is not None:
                previous = replace(previous, time=time, repeated=True)
            else:
                nothing_yet.append(time)
            if previous is not None:
                yield previous
        if previous is None:  # though the first one could be decoded before
            raise _undecodable(self.path)

    def _decode(self) -> Iterator[Decoded]:
        return decode(self.path, self._warn, on_card=self._on_card)

    def _decoded(self, item: tuple[int, Decoded]) -> tuple[np.ndarray | None, int | None]:
        """The picture as RGB, (H, W, 3); None stays None."""
        number, (picture, pts) = item
        if picture is None:
            return None, pts
        self._check_size(number, picture)
        return self.upright(picture), pts

    def upright(self, picture: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray:
        """A decoded picture as RGB (H, W, 3), turned as the display matrix says.

        Args:
            picture: As :func:`decode` has it.
            size: Another upright (height, width).
        """
        return turn(self._to_rgb(picture, self.as_coded(size) if size else None), *self._turn)

    def as_coded(self, size: tuple[int, int]) -> tuple[int, int]:
        """What an upright (height, width) is before that turn."""
        return size[::-1] if self._turn[0] else size

    def _time(self, number: int, pts: int | None, start: Fraction) -> Fraction:
        constant = start + number / self.frame_rate
        if pts is None:
            return constant
        time = pts * self._tick
        return constant if self._rounded and abs(constant - time) <= self._tick else time

    def _check_size(self, number: int, picture: av.VideoFrame) -> None:
        if (picture.height, picture.width) != self._coded_size:
            height, width = self._coded_size
            raise MediaError(
                f"{self.path}: frame {number} is {picture.width}x{picture.height}, "
                f"the frames before it are {width}x{height}"
            )


def _beginning(container: InputContainer, stream: VideoStream) -> Fraction:
    """When the first of pictures and sound begins, in seconds."""
    begins = [
        one.start_time * one.time_base
        for one in (stream, container.streams.best("audio"))
        if one is not None and one.start_time is not None and one.time_base is not None
    ]
    return min(begins, default=Fraction(0))


def _say_nothing(message: str) -> None:
    """For a look at the first picture only; the warnings come when the frames are read."""


def _undecodable(path: Path) -> MediaError:
    return MediaError(f"{path}: not one frame of this video can be decoded")


def _turn_of(picture: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How to turn pictures upright: (transpose, mirror, flip), as the display matrix says.

    The matrix maps a column x and a row y to (a x + c y, b x + d y); see ISO/IEC 14496-12, 6.2.2.
    """
    try:
        matrix = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside it is something that PyAV does not know, such as an EXIF block
        angle = -radians(picture.rotation)
        a, b, c, d = cos(angle), sin(angle), -sin(angle), cos(angle)
    else:
        if matrix is None:
            return False, False, False
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))  # type: ignore[call-overload]
    if abs(b) > abs(a):
        return True, c < 0, b < 0
    return False, a < 0, d < 0
