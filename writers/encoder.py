"""What a video is encoded with, and how little of it an encoder may hold back."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import av
import numpy as np

from media import Warn

#: What a killed program may lose of a video: seconds, or frames if these are more.
_MAX_LOST_SECONDS, _MIN_LOST_FRAMES = 2, 30
#: Seconds that video waits for its audio, at most, where that has gaps.
INTERLEAVED_SECONDS = Fraction(1, 10)

#: Converts images (H, W, C) to frames of a pixel format. Each thread needs its own.
Converter = Callable[[np.ndarray], av.VideoFrame]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What an encoder is asked for.

    Attributes:
        size: (height, width) of the frames.
        rate: Frames per second.
        alpha: Frames have four channels.
        depth: Bits per level of the frames.
        crf: Constant rate factor: 0 is lossless.
        preset: x264's or x265's preset.
        on_card: Encode on an NVIDIA card if there is one that can.
        cores: CPU cores to use.
        queue: Frames that may wait for the encoder.
        warn: Called if a wish is not met.
    """

    size: tuple[int, int]
    rate: Fraction
    alpha: bool
    depth: int
    crf: int
    preset: str
    on_card: bool
    cores: int
    queue: int
    warn: Warn

    @property
    def spare(self) -> int:
        """Frames that encoder and muxer may hold, so that a killed program loses little."""
        may_be_lost = max(int(_MAX_LOST_SECONDS * self.rate), _MIN_LOST_FRAMES)
        return may_be_lost - self.queue - ceil(INTERLEAVED_SECONDS * self.rate)

    @property
    def fragment(self) -> int:
        """Frames that are written to the disk together, of an encoder that holds few."""
        return max(1, min(self.spare // 3, round(self.rate)))


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """An encoder and how it is used.

    Attributes:
        encoder: FFmpeg's name of it.
        pixel_format: FFmpeg's name of that of its frames.
        converter: Makes what converts images of a (height, width) to such frames.
        options: Options of the encoder.
        threads: Frames that it encodes at once; 0 lets FFmpeg decide.
        fragment: Frames that are written to the disk together.
        unordered: Frames up to which a clip's packets have no decoding times that can be used; they
            are in the order of presentation.
        tag: Four letters by which players know the codec; None for the usual ones.
        rgb: The frames are RGB, rather than BT.709 in limited range.
    """

    encoder: str
    pixel_format: str
    converter: Callable[[tuple[int, int]], Converter]
    options: dict[str, str]
    threads: int = 0
    fragment: int
    unordered: int = 0
    tag: str | None = None
    rgb: bool = False

    @property
    def bits(self) -> int:
        """Bits per level of its frames."""
        return max(part.bits for part in av.VideoFormat(self.pixel_format).components)

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) of its frames, even where chroma is sampled every other pixel."""
        components = av.VideoFormat(self.pixel_format, 8, 8).components
        rows = 8 // min(part.height for part in components)
        columns = 8 // min(part.width for part in components)
        return -(-size[0] // rows) * rows, -(-size[1] // columns) * columns
