"""A clip and its plate at any size, made from the sample: real content that moves."""

from fractions import Fraction
from itertools import chain, cycle
from pathlib import Path

import av
from av.packet import Packet
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from PIL import Image

SAMPLES = Path(__file__).parent.parent / "samples"
_RATE = Fraction(24)
#: Frames that are encoded; in a longer clip they come again and again.
_PERIOD = 144


def make_clip(folder: Path, size: tuple[int, int], frames: int, *, exact: bool = False) -> Path:
    """Scale the sample up and encode it, forwards and backwards in turn.

    Args:
        folder: Where the clip goes; one that is there already is taken as it is.
        size: (height, width).
        frames: How many.
        exact: Losslessly, in RGB, so that every decoder sees the same levels; else as a camera
            would, in H.264.

    Returns:
        The clip's path.
    """
    height, width = size
    codec, pix_fmt, ending = ("ffv1", "bgr0", "mkv") if exact else ("libx264", "yuv420p", "mp4")
    path = folder / f"clip-{width}x{height}-{frames}.{ending}"
    if path.exists():
        return path
    # Without B-frames, the packets of a period can be repeated, and cut off anywhere.
    options = {} if exact else {"crf": "18", "preset": "superfast", "bf": "0"}
    with av.open(str(SAMPLES / "clip.mp4")) as container:
        pictures = list(container.decode(video=0))
    there_and_back = cycle(chain(pictures, reversed(pictures)))
    packets: list[Packet] = []
    partial = path.with_suffix(f".part.{ending}")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream(codec, _RATE, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        for number in range(min(frames, _PERIOD)):
            picture = next(there_and_back).reformat(
                width, height, pix_fmt, interpolation=Interpolation.BICUBIC
            )
            picture.pts, picture.time_base = number, 1 / _RATE
            packets += stream.encode(picture)
        packets += stream.encode(None)
        for number, packet in zip(range(frames), cycle(packets), strict=False):
            copy = Packet(bytes(packet))
            copy.is_keyframe = packet.is_keyframe
            copy.pts = copy.dts = number
            copy.duration, copy.time_base, copy.stream = 1, 1 / _RATE, stream
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
