"""Clips, plates and networks made on the spot, with truths that a test can read back."""

from fractions import Fraction
from pathlib import Path

import av
import golden_rule
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model import BaseOutput, MattingRefine, Prediction

_BITS, _BLOCK = 12, 8
#: (height, width) of numbered pictures, large enough for their number.
SIZE = (48, 96)


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture (H, W, 3), uint8, that shows ``number`` as twelve black or white blocks.

    Below the blocks, colours change with the place and the number, so that no two look alike.
    """
    height, width = size
    y, x = np.mgrid[:height, :width]
    picture = np.stack([60 + 120 * x / width, 60 + 120 * y / height, np.full(size, 120.0)], axis=2)
    picture[..., 2] += 40 * np.sin(number / 5)
    for bit in range(_BITS):
        picture[:_BLOCK, bit * _BLOCK : (bit + 1) * _BLOCK] = 255 * (number >> bit & 1)
    return picture.round().astype(np.uint8)


def deepened(picture: np.ndarray) -> np.ndarray:
    """16 bits of a picture of 8: their high bytes are its levels, their low ones are others."""
    levels = picture.astype(np.uint16)
    return levels * 256 + (levels + 128) % 256


def read_number(picture: np.ndarray) -> int:
    """The number that :func:`numbered` drew, from a picture (H, W, 3 or 4) of 8 or 16 bits."""
    middle = np.iinfo(picture.dtype).max / 2
    centres = [_BLOCK // 2 + bit * _BLOCK for bit in range(_BITS)]
    return sum(1 << bit for bit, x in enumerate(centres) if picture[_BLOCK // 2, x, 1] > middle)


def make_clip(
    path: Path,
    count: int,
    *,
    size: tuple[int, int] = SIZE,
    rate: Fraction = Fraction(25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: list[Fraction] | None = None,
    time_base: Fraction | None = None,
    matrix: list[int] | None = None,
    sound: str | None = None,
    sound_lasts: int | None = None,
    tags: dict[str, int] | None = None,
) -> Path:
    """Encode ``count`` numbered pictures, at a rate or at given ``times`` in seconds."""
    tick = time_base or 1 / rate
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate, options={"crf": "10", **(options or {})})
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = tick
        for tag, value in (tags or {}).items():
            setattr(stream.codec_context, tag, value)
        if matrix:
            stream.set_display_matrix(matrix)
        audio = container.add_stream(sound, 48000) if sound else None
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(numbered(number, size), "rgb24")
            time = times[number] if times else number / rate
            picture.pts, picture.time_base = round(time / tick), tick
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if audio is not None:
            for packet in _tone(audio, sound_lasts or count / rate):
                container.mux(packet)
    return path


def _tone(stream: av.AudioStream, seconds: Fraction):
    for start in range(0, int(seconds * 48000), 1024):
        wave = np.sin(np.arange(start, start + 1024) * 0.05).astype(np.float32) * 0.3
        samples = (wave * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def make_plate(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """A grey plate."""
    Image.new("RGB", size[::-1], (90, 90, 90)).save(path)
    return path


def read_video(path: Path) -> tuple[list[np.ndarray], list[Fraction]]:
    """All pictures (H, W, 3) of a video, as PyAV shows them, and their times in seconds."""
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
        return [p.to_ndarray(format="rgb24") for p in pictures], [
            p.pts * p.time_base for p in pictures
        ]


def make_checkpoint(path: Path, alpha: float = 0.5) -> Path:
    """A mobilenetv2 checkpoint that sees ``alpha`` everywhere, and the source as foreground."""
    network = golden_rule.fill(MattingRefine("mobilenetv2"))
    state = network.state_dict()
    for part in ("decoder", "refiner"):
        state[f"{part}.conv4.weight"].zero_()
        state[f"{part}.conv4.bias"].zero_()
        state[f"{part}.conv4.bias"][0] = alpha
    torch.save(state, path)
    return path


class KnownNetwork(nn.Module):
    """Says that alpha is the source's red and that the foreground is its negative."""

    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        return BaseOutput(src[:, :1], 1 - src, (src - bgr).abs()[:, :1], src)


def known_matte(pha: Tensor) -> Prediction:
    """A prediction of this alpha for a frame that was padded to a multiple of 4."""
    batch, _, height, width = pha.shape
    padded = (-(-height // 4) * 4, -(-width // 4) * 4)
    coarse = torch.rand(batch, 1, padded[0] // 4, padded[1] // 4)
    return Prediction(pha, pha.expand(-1, 3, -1, -1), coarse, coarse.round(), padded)
