"""``python -m benchmarks.formats``: what each format keeps of a frame, and what writing it costs.

The clip is drawn: saturated colours, ramps of alpha from 0 to 1, and hair of one pixel. Files are
read back by libraries that did not write them.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from media import from_linear, to_linear
from writers import FORMATS, Clip, Depth, Format, Kind, Output, plan_output

_SIZE = (1080, 1920)
_COLOURS = np.array(
    [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0.9, 0.6, 0.5), (0.2, 0.5, 0.7)], np.float32
)
#: Alpha above which colours count.
_MIN_ALPHA = 0.1


class Row(NamedTuple):
    """Figures of a format: errors in levels of 255, bytes and milliseconds of one core a frame."""

    form: Format
    depth: Depth
    alpha: tuple[float, float] | None
    colour: tuple[float, float]
    size: float
    milliseconds: float


def drawn(count: int, size: tuple[int, int]) -> np.ndarray:
    """Frames (N, H, W, 4), float32 in [0, 1], straight alpha."""
    y, x = np.mgrid[: size[0], : size[1]]
    frames = np.zeros((count, *size, 4), np.float32)
    for number, frame in enumerate(frames):
        place = (x + 8 * number) / size[1]
        frame[..., :3] = _COLOURS[y // 45 % len(_COLOURS)]
        frame[..., :3] *= 0.8 + 0.2 * np.sin(place * 40 + y / 30)[..., None]
        frame[..., 3] = np.clip(1.6 - 3.2 * abs(place - 0.5), 0, 1)
        frame[:, (x[0] + number) % 24 == 0, 3] = 1  # hair
        frame[frame[..., 3] == 0, :3] = 0
    return frames


def measure(form: Format, depth: Depth, frames: np.ndarray, folder: Path, repeat: int) -> Row:
    """Write ``frames`` (N, H, W, 4), read them back, and compare."""
    form.check()
    kind: Kind = "com" if form.alpha else "fgr"
    output = plan_output(kind, form, (frames.shape[1], frames.shape[2]))
    options = {"crf": 18, "bit_depth": depth, "alpha": form.alpha, "start_number": 0}
    options = {name: options[name] for name in form.options if name in options}
    batches = [_as_written(frame, form) for frame in frames]
    with form.open(output, folder, _clip(frames), options) as sink:
        sink.add_batch(batches[0])
        time.sleep(0.5)  # the encoder is ready
        started = time.process_time()
        for _ in range(repeat):
            for batch in batches:
                sink.add_batch(batch)
    seconds = time.process_time() - started
    found = list(_read(folder, output, form))[1 : 1 + len(frames)]
    written = 1 + repeat * len(frames)
    alpha, colour = [], []
    for (levels, pha), wanted in zip(found, frames, strict=True):
        counts = wanted[..., 3] > _MIN_ALPHA if form.alpha else np.ones(wanted.shape[:2], bool)
        colour.append(np.abs(levels - wanted[..., :3])[counts].max(axis=1) * 255)
        if pha is not None:
            alpha.append(np.abs(pha - wanted[..., 3]) * 255)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return Row(
        form,
        depth,
        _worst_and_mean(alpha) if form.alpha else None,
        _worst_and_mean(colour),
        sum(path.stat().st_size for path in files) / written,
        seconds / (written - 1) * 1000,
    )


def _as_written(frame: np.ndarray, form: Format) -> torch.Tensor:
    levels = torch.from_numpy(frame).permute(2, 0, 1)[None]
    colours, alpha = levels[:, :3], levels[:, 3:]
    if form.linear:
        colours = to_linear(colours)
    if form.alpha is None:
        return colours
    return torch.cat([colours * alpha if form.alpha == "premultiplied" else colours, alpha], dim=1)


def _clip(frames: np.ndarray) -> Clip:
    def ignore(message: str) -> None:
        """Nothing is left out here."""

    return Clip(
        size=(frames.shape[1], frames.shape[2]),
        frame_rate=Fraction(24),
        time_base=None,
        timestamps=lambda: iter(()),
        origin=Fraction(0),
        audio=None,
        warn=ignore,
    )


def _read(
    folder: Path, output: Output, form: Format
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Colours (H, W, 3) and alpha (H, W) or None of each frame, in [0, 1]."""
    path = folder / output.path
    if not form.is_images:
        for frame in _decoded(path):
            yield _colours_of(frame), _alpha_of(frame) if form.alpha else None
        return
    for file in sorted(path.iterdir()):
        if form.name == "exr":
            yield _straight(file)
        elif form.name == "tif":
            yield _split(_by_ffmpeg(file))
        else:
            yield _split(_by_opencv(file))


def _split(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    levels = image / np.iinfo(image.dtype).max
    return levels[..., :3], levels[..., 3] if levels.shape[2] == 4 else None


def _by_opencv(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _by_ffmpeg(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        (frame,) = container.decode(video=0)
    return frame.to_ndarray()


def _straight(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """An EXR, by FFmpeg: divided by alpha, with the curve of sRGB."""
    with av.open(str(path)) as container:
        (frame,) = container.decode(video=0)
    kind = np.float16 if "f16" in frame.format.name else np.float32
    planes = [
        np.frombuffer(memoryview(plane), kind).reshape(frame.height, -1)[:, : frame.width]
        for plane in frame.planes
    ]
    green, blue, red, alpha = (plane.astype(np.float32) for plane in planes)
    light = np.stack([red, green, blue], axis=2) / np.maximum(alpha, 1e-6)[..., None]
    return from_linear(torch.from_numpy(light)).numpy(), alpha


def _decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if "vp9" not in stream.codec_context.name:
            return list(container.decode(stream))
        decoder = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own drops alpha
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [frame for packet in [*packets, None] for frame in decoder.decode(packet)]


def _colours_of(frame: av.VideoFrame) -> np.ndarray:
    form = frame.format.name
    if form in ("argb", "bgra", "bgr0", "rgb24"):
        order = {"argb": [1, 2, 3], "rgb24": [0, 1, 2]}.get(form, [2, 1, 0])
        return frame.to_ndarray()[..., order] / 255
    if form.startswith("gbr"):
        return frame.to_ndarray()[..., :3] / 65535
    sharp = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
    rgb = frame.reformat(
        format="rgb48le",
        src_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=sharp | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP,
    )
    return rgb.to_ndarray() / 65280  # what FFmpeg makes of white


def _alpha_of(frame: av.VideoFrame) -> np.ndarray:
    (index,) = (i for i, part in enumerate(frame.format.components) if part.is_alpha)
    bits = frame.format.components[index].bits
    if len(frame.planes) == 1:
        levels: np.ndarray = frame.to_ndarray()[..., 0 if frame.format.name == "argb" else 3]
    else:
        kind = np.uint8 if bits == 8 else np.uint16
        rows = np.frombuffer(memoryview(frame.planes[index]), kind)
        levels = rows.reshape(frame.height, -1)[:, : frame.width]
    alpha: np.ndarray = levels / (2**bits - 1)
    return alpha


def _worst_and_mean(errors: Sequence[np.ndarray]) -> tuple[float, float]:
    return max(float(error.max()) for error in errors), float(
        np.mean([error.mean() for error in errors])
    )


def table(rows: Sequence[Row]) -> str:
    """The figures as a table in Markdown."""
    lines = [
        "| format | bits | alpha: worst, mean | colour: worst, mean | KB a frame | ms a frame |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        alpha = "none" if row.alpha is None else "{:.2f}, {:.3f}".format(*row.alpha)
        bits = row.form.bits or row.depth
        colour = "{:.1f}, {:.2f}".format(*row.colour)
        lines.append(
            f"| `{row.form.name}` | {bits} | {alpha} | {colour} | {row.size / 1000:.0f} "
            f"| {row.milliseconds:.0f} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formats", description=__doc__)
    parser.add_argument("formats", nargs="*", default=list(FORMATS), metavar="FORMAT")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--size", nargs=2, type=int, default=_SIZE[::-1], metavar=("W", "H"))
    args = parser.parse_args(argv)
    frames, rows = drawn(args.frames, (args.size[1], args.size[0])), []
    for name in args.formats:
        for depth in FORMATS[name].depths:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(FORMATS[name], depth, frames, Path(folder), args.repeat))
                print(table(rows[-1:]).splitlines()[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
