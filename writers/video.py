"""Writes frames as a video."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from itertools import count
from pathlib import Path
from threading import local
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream
from torch import Tensor

from media import UsageError, Warn, exact_rate, os_errors_as

from .audio import open_tracks
from .base import FILES, FrameWriter, WriteError, logger
from .encoder import Converter, Encoding, Order
from .formats import FORMATS, STDOUT, Alpha, Clip, Depth, Format, encoder_of, in_words
from .outputs import Output
from .quantize import to_host_levels
from .threaded import ThreadedWriter, usable_cores
from .video_file import VideoFile

# FFmpeg's numbers for primaries, curves and matrices, and for ranges.
_BT709, _SRGB_CURVE, _NO_MATRIX = 1, 13, 0
_LIMITED, _FULL = 1, 2


class VideoWriter(ThreadedWriter):
    """Encodes frames as a video, by default H.264 (yuv420p, BT.709, limited range) in MP4.

    The file is called ``NAME.mp4.part`` until it is closed; the one that a killed program leaves
    can be played, and lacks at most the last two seconds (30 frames at less than 15 a second) of
    the frames that the writer was given. Where chroma is sampled every other pixel, an odd width or
    height is padded with a copy of the edge.

    Args:
        path: The file, with the ending of the format; its folder is created if it does not exist.
            ``-`` is standard output, for NUT.
        frame_rate: Frames per second; a rounded one is made exact by :func:`media.exact_rate`.
        width: Width of a frame in pixels.
        height: Height of a frame in pixels.
        timestamps: Presentation time of each frame in seconds, read one by one as frames arrive; by
            default, times follow from the frame rate.
        time_base: Tick in seconds; every timestamp is a multiple of it. By default 1 / frame rate.
        origin: Time at which the video begins, in seconds, on the clock of timestamps and audio.
        audio: A media file whose audio is copied, or encoded anew if the container cannot hold it;
            after an error it ends with the last frame. It may have no audio; damaged audio is left
            out.
        is_part: The frames are a part of the clip: the audio ends with the last one.
        format_name: One of the video formats of ``writers.FORMATS``, such as ``prores4444``.
        channels: 4 for frames with alpha, which the format has to hold.
        bit_depth: Bits per level of frames, for formats with a choice.
        alpha: Whether frames are multiplied by alpha.
        crf: Constant rate factor: 0 is lossless, 18 visually lossless, 51 the worst.
        preset: x264's preset, from ``ultrafast`` to ``veryslow``.
        on_card: Encode on an NVIDIA card if there is one that can, with a constant quantizer of
            ``crf`` and a preset of its own. Lossless video is always encoded by x264.
        warn: Called if audio is lost, possibly from another thread; by default, it is logged.

    Raises:
        UsageError: The format does not hold such frames.
        WriteError: The file cannot be created.
    """

    def __init__(
        self,
        path: str | Path,
        frame_rate: Fraction | float,
        width: int,
        height: int,
        *,
        timestamps: Iterable[Fraction | None] | None = None,
        time_base: Fraction | None = None,
        origin: Fraction = Fraction(0),
        audio: str | Path | None = None,
        is_part: bool = False,
        format_name: str = "video",
        channels: int = 3,
        bit_depth: Depth | None = None,
        alpha: Alpha = "straight",
        crf: int = 18,
        preset: str = "medium",
        on_card: bool = False,
        warn: Warn = logger.warning,
    ):
        self.path = Path(path)
        self.size = (height, width)
        form = FORMATS[format_name]
        self.depth = form.depth_for(bit_depth, deep=False)
        if self.depth not in form.depths:
            raise UsageError(f"{format_name} does not hold {in_words(self.depth)}")
        if channels == 4 and not form.alpha:
            raise UsageError(f"{self.path}: {format_name} holds no alpha")
        self.margin = form.margin
        self.premultiplied = alpha == "premultiplied"
        self._has_alpha = channels == 4
        self._rate = exact_rate(frame_rate)
        self._time_base = time_base or 1 / self._rate
        self._times = self._clock(timestamps, origin)
        self._frames = 0
        self._end = Fraction(0)
        self._is_part = is_part
        self._duration = round(1 / self._rate / self._time_base)  # of each frame, in ticks
        self._shown: list[Fraction] = []  # the first and the last moment of the encoded frames
        self._of_thread = local()
        threads = max(1, min(4, usable_cores() // 4))
        queue_size = 2 + 2 * threads
        order = Order(
            size=self.size,
            rate=self._rate,
            alpha=self._has_alpha,
            depth=16 if self.depth == 16 else 8,
            crf=crf,
            preset=preset,
            on_card=on_card,
            cores=usable_cores(),
            queue=queue_size,
            warn=lambda message: warn(f"{self.path}: {message}"),
        )
        encoding: Encoding = encoder_of(form).plan(order)
        self._converter, self._padded_size = encoding.converter, encoding.padded(self.size)
        self._unordered = encoding.unordered
        self.holds = {
            "codec": encoding.encoder,
            "pixel_format": encoding.pixel_format,
            "bits": encoding.bits,
            "transfer": "sRGB" if encoding.rgb else "BT.709",
        }
        with (
            os_errors_as(WriteError, self.path, FFmpegError, ValueError),  # a NUL character
            ExitStack() as on_failure,
        ):
            seconds = encoding.fragment / self._rate
            self._file = VideoFile(self.path, form.extension, self._time_base, seconds)
            on_failure.callback(self._file.discard)
            self._container = self._file.container
            self._open_stream(encoding)
            self._audio = []
            if audio is not None:
                self._audio = open_tracks(audio, self._container, warn, origin, is_part)
            self._container.start_encoding()
            on_failure.pop_all()
        self._converters = ThreadPoolExecutor(threads, thread_name_prefix="convert")
        super().__init__(workers=1, queue_size=queue_size)

    def _open_stream(self, encoding: Encoding) -> None:
        stream = self._container.add_stream(encoding.encoder, self._rate, options=encoding.options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = self._padded_size
        stream.pix_fmt = encoding.pixel_format
        context = stream.codec_context
        context.time_base = self._time_base
        self._tags = {
            "color_primaries": _BT709,
            "color_trc": _SRGB_CURVE if encoding.rgb else _BT709,
            "colorspace": _NO_MATRIX if encoding.rgb else _BT709,
            "color_range": _FULL if encoding.rgb else _LIMITED,
        }
        for name, value in self._tags.items():
            setattr(context, name, value)
        if encoding.tag is not None:
            context.codec_tag = encoding.tag
        context.thread_type = "AUTO"  # PyAV's default, slices, uses fewer cores
        context.thread_count = encoding.threads
        self._stream = stream

    def _clock(
        self, timestamps: Iterable[Fraction | None] | None, origin: Fraction
    ) -> Iterator[Fraction]:
        times = iter(timestamps) if timestamps is not None else None
        for number in count():
            time = next(times, None) if times is not None else None
            yield number / self._rate if time is None else time - origin

    def add_batch(self, frames: Tensor) -> None:
        self._check()
        frames = to_host_levels(frames, self.depth)
        height, width = frames.shape[2:]
        if (frames.shape[1] == 4) != self._has_alpha:
            expected = "4 channels" if self._has_alpha else "1 or 3 channels"
            raise UsageError(
                f"{self.path}: holds {'' if self._has_alpha else 'no '}alpha; expected {expected}, "
                f"not {frames.shape[1]}"
            )
        if (height, width) != self.size:
            raise UsageError(
                f"{self.path}: a frame of {width}x{height} in a video of "
                f"{self.size[1]}x{self.size[0]}"
            )
        for frame in frames:
            converted = self._converters.submit(self._convert, frame.permute(1, 2, 0).numpy())
            self._submit(self._add_frame, converted, next(self._times))

    def _add_frame(self, converted: Future[av.VideoFrame], time: Fraction) -> None:
        """Encode a frame with its presentation time in seconds, once it is converted."""
        if self._error is not None:
            return
        frame = converted.result()
        frame.pts = round(time / self._time_base)
        frame.time_base = self._time_base
        frame.duration = self._duration
        for name, value in self._tags.items():  # some encoders look at each frame
            setattr(frame, name, value)
        self._end = time + 1 / self._rate
        with self._file.errors_told(playable=bool(self._shown)):
            self._mux(frame)
        self._frames += 1

    def _mux(self, frame: av.VideoFrame | None) -> None:
        """Encode a frame, or what the encoder still holds, and write what comes out of it.

        Audio goes with the packets, not with the frames: when an encoder of many threads gives a
        packet out varies from run to run, and the order in the file would vary with it.
        """
        for packet in self._stream.encode(frame):
            if self._frames <= self._unordered:
                packet.dts = packet.pts
            if packet.dts is not None and packet.time_base is not None:
                for track in self._audio:
                    track.feed(until=packet.dts * packet.time_base + 1 / self._rate)
            if packet.pts is not None and packet.time_base is not None:
                begin = packet.pts * packet.time_base
                self._shown = [
                    min([begin, *self._shown]),
                    max([begin + self._duration * self._time_base, *self._shown]),
                ]
            self._container.mux_one(packet)

    def _finalize(self, *, aborted: bool) -> None:
        """Close the file and give it its final name, after an error, too, if that is possible."""
        self._converters.shutdown()
        # Each step may fail. The first error is kept, and the file is closed in any case.
        if self._frames:
            self._run(self._drain, aborted=aborted)
        for track in self._audio:
            self._run(track.close)
        with self._file.errors_told(playable=bool(self._shown)):
            lasts = self._shown[-1] - self._shown[0] if self._shown else None
            self._file.finish(lasts if self._frames else None)
        if self._frames:
            logger.log(FILES, "%s", self.path)

    def _drain(self, *, aborted: bool) -> None:
        """Write the frames that the encoder still holds, and the rest of the audio."""
        with self._file.errors_told(playable=bool(self._shown)):
            self._mux(None)
            for track in self._audio:
                track.feed(until=self._end if aborted or self._is_part else None)

    def _convert(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, C), integer levels, to a frame for the encoder."""
        height, width, channels = image.shape
        image = np.broadcast_to(image, (height, width, 3)) if channels == 1 else image
        if self._padded_size != self.size:
            below, right = self._padded_size[0] - height, self._padded_size[1] - width
            image = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
        if not hasattr(self._of_thread, "convert"):
            self._of_thread.convert = self._converter(self._padded_size)
        convert: Converter = self._of_thread.convert
        return convert(image)


def open_writer(
    form: Format, output: Output, root: Path, clip: Clip, *, hwaccel: str = "none", **options: Any
) -> FrameWriter:
    """Open the writer for an output in ``root``; ``options`` are those of the format."""
    height, width = clip.size
    return VideoWriter(
        root if str(root) == STDOUT else root / output.path,
        clip.frame_rate,
        width,
        height,
        timestamps=clip.timestamps(),
        time_base=clip.time_base,
        origin=clip.origin,
        audio=clip.audio if output.kind == "com" else None,
        is_part=clip.is_part,
        format_name=form.name,
        channels=4 if form.alpha and output.kind == "com" else 3,
        on_card=hwaccel == "auto",
        warn=clip.warn,
        **options,
    )
