"""Writes frames as an H.264 video."""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from itertools import count
from pathlib import Path
from threading import local

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from torch import Tensor

from media import UsageError, Warn, exact_rate, os_errors_as

from .audio import open_tracks
from .base import FrameWriter, WriteError
from .formats import Clip
from .outputs import Output, partial_name
from .quantize import to_host_levels
from .threaded import ThreadedWriter, usable_cores
from .yuv import ToYuv

logger = logging.getLogger("bgmv2")

_BT709, _LIMITED = 1, 1  # FFmpeg's numbers
_NVENC = "h264_nvenc"
#: Ticks per second, at least, for the start times of video and audio.
_MIN_MOVIE_TIMESCALE = 48000
#: Limits memory, as each of x264's threads holds frames; more than 16 cores gain little.
_MAX_ENCODER_THREADS = 24


def _card_encodes(size: tuple[int, int]) -> bool:
    """Whether there is an NVIDIA card that encodes H.264 of this (height, width)."""
    try:
        encoder = av.CodecContext.create(_NVENC, "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.height, encoder.width = size
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
        encoder.open()
    except (ValueError, FFmpegError):  # FFmpeg without NVENC; no card, no driver, or too large
        return False
    return True


def _container_options(time_base: Fraction) -> dict[str, str]:
    ticks = time_base.denominator
    return {
        # A fragmented MP4 while it is written, an ordinary one once closed. The index is written
        # late, as one at the start cannot account for the encoder's delay and shifts all times.
        "movflags": "hybrid_fragmented+delay_moov",
        "flush_packets": "1",
        # The unit of the start times of video and audio.
        "movie_timescale": str(ticks * -(-_MIN_MOVIE_TIMESCALE // ticks)),
    }


class VideoWriter(ThreadedWriter):
    """Encodes frames as H.264 (yuv420p, BT.709, limited range) in MP4.

    The file is called ``NAME.mp4.part`` until it is closed; the one that a killed program leaves
    can be played. An odd width or height is padded with a copy of the edge.

    Args:
        path: The file, ending in ``.mp4``; its folder is created if it does not exist.
        frame_rate: Frames per second; a rounded one is made exact by :func:`media.exact_rate`.
        width: Width of a frame in pixels.
        height: Height of a frame in pixels.
        timestamps: Presentation time of each frame in seconds, read one by one as frames arrive; by
            default, times follow from the frame rate.
        time_base: Tick in seconds; every timestamp is a multiple of it. By default 1 / frame rate.
        origin: Time at which the video begins, in seconds, on the clock of timestamps and audio.
        audio: A media file whose audio is copied, or re-encoded to AAC if MP4 cannot hold it; after
            an error it ends with the last frame. It may have no audio; damaged audio is left out.
        crf: x264's constant rate factor: 0 is lossless, 18 visually lossless, 51 the worst.
        preset: x264's preset, from ``ultrafast`` to ``veryslow``.
        on_card: Encode on an NVIDIA card if there is one that can, with a constant quantizer of
            ``crf`` and a preset of its own. Lossless video is always encoded by x264.
        warn: Called if audio is lost, possibly from another thread; by default, it is logged.

    Raises:
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
        crf: int = 18,
        preset: str = "medium",
        on_card: bool = False,
        warn: Warn = logger.warning,
    ):
        self.path = Path(path)
        self.size = (height, width)
        self._even_size = height + height % 2, width + width % 2
        self._rate = exact_rate(frame_rate)
        self._time_base = time_base or 1 / self._rate
        self._times = self._clock(timestamps, origin)
        self._final = self.path.absolute()  # the current folder may change later
        self._partial = partial_name(self._final)
        self._frames = 0
        self._end = Fraction(0)
        self._of_thread = local()
        with (
            os_errors_as(WriteError, self.path, FFmpegError, ValueError),  # a NUL character
            ExitStack() as on_failure,
        ):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            options = _container_options(self._time_base)
            self._container = av.open(str(self._partial), "w", format="mp4", options=options)
            on_failure.callback(self._partial.unlink, missing_ok=True)
            on_failure.callback(self._container.close)
            self._open_stream(*self._choose_encoder(crf, preset, on_card=on_card, warn=warn))
            self._audio = []
            if audio is not None:
                self._audio = open_tracks(audio, self._container, warn, origin)
            self._container.start_encoding()
            on_failure.pop_all()
        threads = max(1, min(4, usable_cores() // 4))
        self._converters = ThreadPoolExecutor(threads, thread_name_prefix="convert")
        super().__init__(workers=1, queue_size=2 + 2 * threads)

    def _choose_encoder(
        self, crf: int, preset: str, *, on_card: bool, warn: Warn
    ) -> tuple[str, dict[str, str]]:
        """An encoder and its options."""
        if on_card and crf:
            if _card_encodes(self._even_size):
                return _NVENC, {"rc": "constqp", "qp": str(crf), "preset": "p5"}
            warn(f"{self.path}: no NVIDIA card here can encode it; encoding on the CPU")
        return "libx264", {"crf": str(crf), "preset": preset}

    def _open_stream(self, encoder: str, options: dict[str, str]) -> None:
        stream = self._container.add_stream(encoder, self._rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = self._even_size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        context.thread_type = "AUTO"  # PyAV's default, slices, uses fewer cores
        context.thread_count = min(_MAX_ENCODER_THREADS, 3 * usable_cores() // 2)
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
        frames = to_host_levels(frames)
        height, width = frames.shape[2:]
        if frames.shape[1] == 4:
            raise UsageError(f"{self.path}: H.264 holds no alpha; expected 1 or 3 channels, not 4")
        if (height, width) != self.size:
            raise UsageError(
                f"{self.path}: a frame of {width}x{height} in a video of "
                f"{self.size[1]}x{self.size[0]}"
            )
        for frame in frames:
            converted = self._converters.submit(self._to_yuv, frame.permute(1, 2, 0).numpy())
            self._submit(self._add_frame, converted, next(self._times))

    def _add_frame(self, converted: Future[av.VideoFrame], time: Fraction) -> None:
        """Encode a frame with its presentation time in seconds, once it is converted."""
        if self._error is not None:
            return
        frame = converted.result()
        frame.pts = round(time / self._time_base)
        frame.time_base = self._time_base
        frame.duration = round(1 / self._rate / self._time_base)
        self._end = time + 1 / self._rate
        with os_errors_as(WriteError, self.path, FFmpegError):
            for track in self._audio:
                track.feed(until=self._end)
            self._container.mux(self._stream.encode(frame))
        self._frames += 1

    def _finalize(self, *, aborted: bool) -> None:
        """Close the file and give it its final name, after an error, too, if that is possible."""
        self._converters.shutdown()
        # Each step may fail. The first error is kept, and the file is closed in any case.
        if self._frames:
            self._run(self._drain, aborted=aborted)
        for track in self._audio:
            self._run(track.close)
        with os_errors_as(WriteError, self.path, FFmpegError):
            self._container.close()
            if self._frames:
                self._partial.replace(self._final)
            else:
                self._partial.unlink()

    def _drain(self, *, aborted: bool) -> None:
        """Write the frames that the encoder still holds, and the rest of the audio."""
        with os_errors_as(WriteError, self.path, FFmpegError):
            self._container.mux(self._stream.encode(None))
            for track in self._audio:
                track.feed(until=self._end if aborted else None)

    def _to_yuv(self, image: np.ndarray) -> av.VideoFrame:
        """Convert (H, W, 1 or 3), uint8, to a yuv420p frame of even size."""
        height, width, channels = image.shape
        image = np.broadcast_to(image, (height, width, 3)) if channels == 1 else image
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if not hasattr(self._of_thread, "to_yuv"):
            self._of_thread.to_yuv = ToYuv(self._even_size)
        converted: av.VideoFrame = self._of_thread.to_yuv(image)
        return converted


def open_writer(output: Output, root: Path, clip: Clip, *, crf: int, hwaccel: str) -> FrameWriter:
    """Open the writer for an output in ``root``."""
    height, width = clip.size
    return VideoWriter(
        root / output.path,
        clip.frame_rate,
        width,
        height,
        timestamps=clip.timestamps(),
        time_base=clip.time_base,
        origin=clip.origin,
        audio=clip.audio if output.kind == "com" else None,
        crf=crf,
        on_card=hwaccel == "auto",
        warn=clip.warn,
    )
