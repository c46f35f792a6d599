"""A clip and its plate at any size, scaled from the sample: real content in motion."""

from fractions import Fraction
from itertools import chain, cycle
from pathlib import Path

import av
from av.packet import Packet
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from PIL import Image

SAMPLES = Path(__file__).parent.parent / "samples"
_FRAME_RATE = Fraction(24)
#: Maximum number of encoded frames; a longer clip repeats them.
_ENCODED_FRAMES = 144


def make_clip(folder: Path, size: tuple[int, int], frames: int, *, exact: bool = False) -> Path:
    """Scale the sample up and encode it, alternately forwards and backwards.

    Args:
        folder: Where to write the clip; an existing clip of the same name is used as it is.
        size: (height, width).
        frames: Number of frames.
        exact: Encode losslessly in RGB, so that every decoder gives the same levels; otherwise in
            H.264, as a camera does.

    Returns:
        The clip's path.
    """
    height, width = size
    codec, pix_fmt, ending = ("ffv1", "bgr0", "mkv") if exact else ("libx264", "yuv420p", "mp4")
    path = folder / f"clip-{width}x{height}-{frames}.{ending}"
    if path.exists():
        return path
    # Without B-frames, the packets can be repeated and cut off anywhere.
    options = {} if exact else {"crf": "18", "preset": "superfast", "bf": "0"}
    with av.open(str(SAMPLES / "clip.mp4")) as container:
        decoded = list(container.decode(video=0))
    there_and_back = cycle(chain(decoded, reversed(decoded)))
    packets: list[Packet] = []
    partial = path.with_suffix(f".part.{ending}")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream(codec, _FRAME_RATE, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        for number in range(min(frames, _ENCODED_FRAMES)):
            frame = next(there_and_back).reformat(
                width, height, pix_fmt, interpolation=Interpolation.BICUBIC
            )
            frame.pts, frame.time_base = number, 1 / _FRAME_RATE
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for number, packet in zip(range(frames), cycle(packets), strict=False):
            copy = Packet(bytes(packet))
            copy.is_keyframe = packet.is_keyframe
            copy.pts = copy.dts = number
            copy.duration, copy.time_base, copy.stream = 1, 1 / _FRAME_RATE, stream
            container.mux_one(copy)
    partial.rename(path)
    return path


def make_plate(folder: Path, size: tuple[int, int]) -> Path:
    """The sample's plate at ``size`` (height, width), as a PNG."""
    path = folder / f"plate-{size[1]}x{size[0]}.png"
    if not path.exists():
        with Image.open(SAMPLES / "plate.png") as plate:
            plate.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC).save(path)
    return path
