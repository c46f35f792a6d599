"""The alpha that a clip holds, read exactly from every kind of file."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import footage
import numpy as np
import pytest
import tifffile
from footage import make_clip, numbered
from PIL import Image

from dataset import Places, VideoSource, open_source
from dataset.alpha import alpha_of_frame
from dataset.pipe import PipeSource

H, W = footage.SIZE
#: A level of alpha for each column, the least and the highest among them, and rows that differ.
ALPHA = np.rint(np.linspace(0, 255, W)).astype(np.uint8) ^ (np.arange(H)[:, None] // 8 == 2)
DEEP = np.rint(np.linspace(0, 65535, H * W)).astype(np.uint16).reshape(H, W)
RGB = numbered(5)


def frames(path: Path, **options):
    return list(open_source(path, pytest.fail, hold=False, alpha=True, **options))


def alpha_of(path: Path) -> np.ndarray:
    (frame,) = frames(path)
    assert frame.pha is not None and frame.pha.shape == (*frame.image.shape[:2], 1)
    return frame.pha[..., 0]


# Images


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.avif", "a.jp2", "a.tga", "a.heic"])
def test_the_alpha_of_images_of_8_bits(tmp_path, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    if name.endswith(("avif", "heic")):
        options = {"quality": 100 if name.endswith("avif") else -1}
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / name, **options)
    (frame,) = frames(tmp_path / name)
    assert frame.pha.dtype == np.uint8
    assert np.abs(frame.pha[..., 0].astype(int) - ALPHA).max() <= (2 if "ei" in name else 0)


def test_a_frame_without_being_asked_has_none(tmp_path):
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / "a.png")
    (frame,) = open_source(tmp_path / "a.png", pytest.fail, hold=False)
    assert frame.pha is None


def test_grey_palettes_and_clear_colours_have_alpha(tmp_path):
    grey = RGB[..., 0]
    Image.fromarray(np.dstack([grey, ALPHA])).save(tmp_path / "grey.png")
    assert (alpha_of(tmp_path / "grey.png") == ALPHA).all()
    Image.fromarray(RGB).save(tmp_path / "clear.png", transparency=tuple(map(int, RGB[20, 30])))
    assert (alpha_of(tmp_path / "clear.png") == 255 * (RGB[20, 30] != RGB).any(axis=2)).all()
    indices = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    palette = Image.fromarray(indices, "P")
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    palette.save(tmp_path / "palette.png", transparency=bytes(range(256)))
    assert (alpha_of(tmp_path / "palette.png") == indices).all()
    palette.save(tmp_path / "one.gif", transparency=7)
    assert (alpha_of(tmp_path / "one.gif") == 255 * (indices != 7)).all()


def deep_png(path: Path, levels: np.ndarray, colour: int, clear: bytes = b"") -> Path:
    """A PNG of 16 bits with a clear colour, which OpenCV does not write."""
    height, width = levels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = [(b"IHDR", header), (b"tRNS", clear), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            if data or kind != b"tRNS":
                crc = struct.pack(">I", zlib.crc32(kind + data))
                file.write(struct.pack(">I", len(data)) + kind + data + crc)
    return path


def test_the_alpha_of_images_of_16_bits(tmp_path):
    colours = footage.deepened(RGB)
    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), np.dstack([colours, DEEP]))
        assert (alpha_of(tmp_path / name) == DEEP).all()
    grey = deep_png(tmp_path / "grey.png", np.dstack([colours[..., 0], DEEP]), 4)
    assert (alpha_of(grey) == DEEP).all()
    key = deep_png(tmp_path / "key.png", DEEP, 0, struct.pack(">H", DEEP[3, 4]))
    assert (alpha_of(key) == 65535 * (DEEP[3, 4] != DEEP)).all()
    key = deep_png(tmp_path / "rgb.png", colours, 2, colours[3, 4].astype(">u2").tobytes())
    assert (alpha_of(key) == 65535 * (colours != colours[3, 4]).any(axis=2)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_alpha_turns_with_its_image(tmp_path, orientation, deep):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    if deep:
        _, data = cv2.imencode(".png", np.dstack([np.dstack([DEEP] * 3), DEEP]))
        block = exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(block)) + b"eXIf" + block
        chunk += struct.pack(">I", zlib.crc32(b"eXIf" + block))
        path.write_bytes(data[:33].tobytes() + chunk + data[33:].tobytes())
    else:
        Image.fromarray(np.dstack([ALPHA] * 4)).save(path, exif=exif)
    (frame,) = frames(path)
    assert (frame.image[..., :1] == frame.pha).all()
    assert frame.image.shape[:2] == ((W, H) if orientation > 4 else (H, W))


@pytest.mark.parametrize("premultiplied", [False, True])
def test_floats_become_straight(tmp_path, premultiplied):
    rng = np.random.default_rng(1)
    colours = rng.uniform(0, 2, (H, W, 3)).astype(np.float32)
    alpha = rng.uniform(0, 1, (H, W, 1)).astype(np.float32)
    alpha[:4], alpha[4:8], alpha[8] = 0, 1, np.nan
    held = colours * np.where(alpha > 0, alpha, 0.5) if premultiplied else colours
    kind = "ASSOCALPHA" if premultiplied else "UNASSALPHA"
    tifffile.imwrite(
        tmp_path / "a.tif", np.dstack([held, alpha]), photometric="rgb", extrasamples=[kind]
    )
    (straight,) = frames(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", colours, photometric="rgb")
    (wanted,) = open_source(tmp_path / "b.tif", pytest.fail, hold=False)
    shown = alpha[..., 0] > 0
    np.testing.assert_allclose(straight.extended[shown], wanted.extended[shown], rtol=1e-4)
    assert (straight.pha == np.rint(np.nan_to_num(alpha) * 65535)).all()
    assert np.isfinite(straight.extended).all()


@pytest.mark.parametrize("prefix", ["", "beauty."])
def test_exr_is_divided_by_its_alpha(tmp_path, prefix):
    import OpenEXR

    alpha = np.tile(np.array([0, 0.25, 0.5, 1], np.float32), (4, 1))
    light = np.full((4, 4), 0.25, np.float32) * alpha
    planes = {f"{prefix}{name}": light for name in "RGB"} | {f"{prefix}A": alpha}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, planes).write(str(tmp_path / "a.exr"))
    (frame,) = frames(tmp_path / "a.exr")
    assert (frame.pha[0, :, 0] == [0, 16384, 32768, 65535]).all()
    assert (frame.image[:, 0] == 0).all() and (frame.image[:, 1:] == frame.image[0, 3]).all()
    told = []
    (frame,) = open_source(tmp_path / "a.exr", told.append, hold=False)
    assert frame.pha is None and "--input-alpha multiply" in told[0]
    assert (frame.image[0, 1] < frame.image[0, 3]).all()


# Videos


def clear_clip(path: Path, codec: str, pix_fmt: str, count: int = 3, matrix=None) -> Path:
    """Frames whose alpha is shifted by a column each time; magenta where it is 0."""
    with av.open(str(path), "w") as container:
        options = {"auto-alt-ref": "0", "lossless": "1"} if codec.startswith("libvpx") else {}
        stream = container.add_stream(codec, 25, options=options)
        stream.height, stream.width, stream.pix_fmt = H, W, pix_fmt
        if matrix:
            stream.set_display_matrix(matrix)
        for number in range(count):
            picture = np.dstack([numbered(number), np.roll(ALPHA, number, axis=1)])
            frame = av.VideoFrame.from_ndarray(picture, "rgba").reformat(format=pix_fmt)
            _set_alpha(frame, np.roll(ALPHA, number, axis=1))
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _set_alpha(frame: av.VideoFrame, alpha: np.ndarray) -> None:
    """Write planes of alpha as they should be: the scaler is off by a level."""
    if not frame.format.name.startswith(("yuva", "gbrap")):
        return
    bits, plane = frame.format.components[3].bits, frame.planes[3]
    levels = np.rint(alpha / 255 * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    rows = np.zeros((H, plane.line_size // levels.itemsize), levels.dtype)
    rows[:, :W] = levels
    plane.update(rows)


VIDEOS = [
    ("a.mov", "prores_ks", "yuva444p10le", 0),
    ("a.mov", "qtrle", "argb", 0),
    ("a.mov", "png", "rgba", 0),
    ("a.mkv", "ffv1", "bgra", 0),
    ("a.mkv", "ffv1", "gbrap16le", 0),
    ("a.mkv", "ffv1", "yuva420p", 0),
    ("a.webm", "libvpx-vp9", "yuva420p", 0),
    ("a.webm", "libvpx", "yuva420p", 8),
    ("a.apng", "apng", "rgba", 0),
]


@pytest.mark.parametrize(("name", "codec", "pix_fmt", "error"), VIDEOS)
def test_the_alpha_of_videos(tmp_path, name, codec, pix_fmt, error):
    path = clear_clip(tmp_path / name, codec, pix_fmt)
    found = frames(path)
    assert len(found) == 3
    for number, frame in enumerate(found):
        levels = frame.pha[..., 0] / np.iinfo(frame.pha.dtype).max * 255
        assert np.abs(levels - np.roll(ALPHA, number, axis=1)).max() <= error + 0.2
        assert footage.read_number(frame.image) == number
    told = []
    colours = [frame.image for frame in VideoSource(path, told.append)]
    assert len(told) == 1 and "--input-alpha multiply" in told[0]
    for frame, image in zip(found, colours, strict=True):
        assert (frame.image == image).all()


@pytest.mark.parametrize("video", [VIDEOS[4], VIDEOS[6]])
def test_a_pipe_has_the_alpha_of_its_file(tmp_path, video):
    path = clear_clip(tmp_path / video[0], *video[1:3])
    with open(path, "rb") as file:
        source = PipeSource(pytest.fail, alpha=True, stream=file)
        assert source.has_alpha
        for piped, read in zip(source, frames(path), strict=True):
            assert (piped.pha == read.pha).all() and (piped.image == read.image).all()


def test_frames_that_are_sought_have_their_alpha(tmp_path):
    for name, codec, pix_fmt, error in VIDEOS[:1] + VIDEOS[6:7]:
        path = clear_clip(tmp_path / name, codec, pix_fmt, count=20)
        source = VideoSource(path, pytest.fail, alpha=True)
        assert source.index is not None and source.has_alpha
        for number, frame in zip((4, 15), source.pick(Places([4, 15], None)), strict=True):
            levels = frame.pha[..., 0] / np.iinfo(frame.pha.dtype).max * 255
            assert np.abs(levels - np.roll(ALPHA, number, axis=1)).max() <= error + 0.2


def test_the_alpha_of_videos_turns_with_them(tmp_path):
    quarter = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
    path = clear_clip(tmp_path / "a.mov", "qtrle", "argb", matrix=quarter)
    first = frames(path)[0]
    assert first.image.shape == (W, H, 3) and first.pha.shape == (W, H, 1)
    turned = [np.rot90(ALPHA, k) for k in (1, 3)]
    assert any((first.pha[..., 0] == one).all() for one in turned)


@pytest.mark.parametrize(
    "name",
    ["ya16le", "ya16be", "rgba64le", "rgba64be", "bgra64le", "gbrap12le", "yuva422p12be", "ya8"],
)
def test_every_level_of_a_format_is_read(name):
    form = av.VideoFormat(name, 256, 256)
    bits = form.components[0].bits
    levels = (np.arange(65536) % 2**bits).reshape(256, 256)
    frame = av.VideoFrame(256, 256, name)
    kind = np.dtype("u1" if bits == 8 else ">u2" if name.endswith("be") else "<u2")
    plane = frame.planes[3 if len(frame.planes) > 1 else 0]
    rows = np.zeros((256, plane.line_size // kind.itemsize), kind)
    channels = 1 if len(frame.planes) > 1 else len(form.components)
    rows[:, channels - 1 : channels * 256 : channels] = levels
    plane.update(rows)
    wanted = np.rint(levels / (2**bits - 1) * (255 if bits == 8 else 65535))
    assert (alpha_of_frame(frame)[..., 0] == wanted).all()


def test_a_palette_has_alpha(tmp_path):
    frame = av.VideoFrame(16, 16, "pal8")
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rows = np.zeros((16, frame.planes[0].line_size), np.uint8)
    rows[:, :16] = indices
    frame.planes[0].update(rows)
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 3] = np.arange(256)[::-1]
    frame.planes[1].update(colours)
    assert (alpha_of_frame(frame)[..., 0] == 255 - indices).all()


def test_a_clip_without_alpha_has_none(tmp_path):
    (frame, *_) = frames(make_clip(tmp_path / "a.mp4", 2, rate=Fraction(25)))
    assert frame.pha is None


def test_damage_costs_alpha_no_frame(tmp_path):
    """A frame that cannot be decoded repeats its neighbour with its alpha."""
    path = clear_clip(tmp_path / "a.webm", "libvpx-vp9", "yuva420p", count=12)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size][6]
    data[place + 12 : place + 40] = bytes(28)
    path.write_bytes(data)
    found = list(VideoSource(path, pytest.fail, alpha=True))
    assert [frame.repeated for frame in found[:7]] == [False] * 6 + [True]
    assert len(found) == 12 and (found[6].pha == found[5].pha).all()
