"""Formats of images in folders, animations, and images that are too large or cut off."""

import io
import struct
import zlib
from fractions import Fraction

import cv2
import numpy as np
import pytest
from footage import deepened, numbered, read_number
from PIL import Image, PngImagePlugin
from test_images import with_exif_of

from dataset import AnimatedWebp, MediaError, StillImage, open_source, read_image


@pytest.mark.parametrize(
    "extension",
    ["tga", "ppm", "pnm", "bmp", "dib", "jp2", "j2k", "avif", "gif", "pcx", "qoi", "webp"],
)
def test_what_reads_as_a_file_reads_in_a_folder(tmp_path, extension):
    quality = {"quality": 95} if extension == "avif" else {}
    for number in range(3):
        Image.fromarray(numbered(number)).save(tmp_path / f"f_{number}.{extension}", **quality)
    source = open_source(tmp_path, pytest.fail)
    assert [read_number(frame.image) for frame in source] == [0, 1, 2]
    still = open_source(tmp_path / f"f_1.{extension}", pytest.fail)
    assert isinstance(still, StillImage) and read_number(read_image(still_path(still))) == 1


def still_path(still):
    from pathlib import Path

    return Path(still.name)


def test_gifs_are_frames_only_where_there_is_nothing_else(tmp_path):
    for name in ("1.png", "2.png", "preview.gif"):
        Image.fromarray(numbered(1)).save(tmp_path / name)
    assert len(list(open_source(tmp_path, pytest.fail))) == 2


@pytest.mark.parametrize("extension", ["ppm", "pgm", "jp2"])
def test_16_bits_of_other_formats(tmp_path, extension):
    ramp = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    stack = ramp if extension == "pgm" else np.dstack([ramp, ramp[::-1], ramp[:, ::-1]])
    assert cv2.imwrite(str(tmp_path / f"x.{extension}"), stack)
    read = read_image(tmp_path / f"x.{extension}")
    wanted = np.dstack(3 * [ramp]) if extension == "pgm" else stack[..., ::-1]
    assert read.dtype == np.uint16 and np.abs(read.astype(int) - wanted).max() <= 1


def test_a_ppm_of_10_bits_has_its_full_range(tmp_path):
    levels = np.array([[0, 512, 1023] * 4], ">u2")
    (tmp_path / "x.ppm").write_bytes(b"P6\n4 1\n1023\n" + levels.tobytes())
    assert np.abs(read_image(tmp_path / "x.ppm")[0, 0] / 65535 - [0, 512 / 1023, 1]).max() < 0.001


DURATIONS = [40, 80, 40, 40, 40, 40]


@pytest.mark.parametrize("name", ["a.png", "a.apng", "a.webp", "a.gif"])
def test_an_animation_as_the_clip_gives_all_frames_with_their_times(tmp_path, name):
    pictures = [Image.fromarray(numbered(number)) for number in range(6)]
    lossless = {"lossless": True} if name.endswith("webp") else {}
    pictures[0].save(
        tmp_path / name, save_all=True, append_images=pictures[1:], duration=DURATIONS, **lossless
    )
    source = open_source(tmp_path / name, pytest.fail, hold=False)
    for _ in range(2):
        frames = list(source)
        assert [read_number(frame.image) for frame in frames] == list(range(6))
        times = [Fraction(sum(DURATIONS[:n]), 1000) for n in range(6)]
        assert [frame.time for frame in frames] == times
    assert source.frame_rate and source.time_base
    assert all((frame.time / source.time_base).denominator == 1 for frame in frames)


def test_animated_webp_in_detail(tmp_path):
    pictures = [Image.fromarray(numbered(n)).convert("RGBA") for n in range(4)]
    path = tmp_path / "a.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=33, lossless=True)
    source = open_source(path, pytest.fail, hold=False)
    assert isinstance(source, AnimatedWebp) and source.size == (48, 96)
    assert source.length_hint == 4 and abs(source.frame_rate - Fraction(1000, 33)) < 0.01
    data = bytearray(path.read_bytes())
    second = data.index(b"ANMF", data.index(b"ANMF") + 4) + 20
    data[second : second + 3] = bytes(3)  # no duration: browsers show it for 100 ms
    path.write_bytes(data)
    times = [frame.time for frame in open_source(path, pytest.fail, hold=False)]
    assert times == [Fraction(n, 1000) for n in (0, 33, 133, 166)]
    path.write_bytes(data[:-300])
    with pytest.raises(MediaError, match=r"a\.webp"):
        list(open_source(path, pytest.fail, hold=False))


def png(width: int, height: int, rows: bytes, *, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG of filtered ``rows``."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_a_header_that_claims_too_much_is_refused_at_once(tmp_path, bits):
    path = tmp_path / "bomb.png"
    for width, height in ((32000, 32000), (20000, 10000), (9000, 9000), (3000, 3000)):
        path.write_bytes(png(width, height, bytes(60000), bits=bits))
        assert path.stat().st_size < 300
        with pytest.raises(MediaError, match=r"bomb\.png: ") as error:
            read_image(path)
        assert "\n" not in str(error.value)


def test_a_picture_that_fills_the_memory_is_refused_at_once(tmp_path):
    encoded = io.BytesIO()
    Image.new("L", (64, 64)).save(encoded, "JPEG")
    data = encoded.getvalue()
    place = data.index(b"\xff\xc0") + 5
    for height, width in ((40000, 50000), (14000, 14000), (4000, 4000)):
        made = data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]
        (tmp_path / "bomb.jpg").write_bytes(made)
        with pytest.raises(MediaError, match=r"bomb\.jpg: "):
            read_image(tmp_path / "bomb.jpg")
    Image.new("RGB", (64, 64)).save(tmp_path / "bomb.webp", lossless=True)
    data = bytearray((tmp_path / "bomb.webp").read_bytes())
    place = data.index(b"VP8L") + 9  # width and height less one, 14 bits each
    (rest,) = struct.unpack_from("<I", data, place)
    struct.pack_into("<I", data, place, rest & 0xF0000000 | 16382 << 14 | 16382)
    (tmp_path / "bomb.webp").write_bytes(data)
    with pytest.raises(MediaError, match=r"bomb\.webp: 16383x16383 pixels are too many"):
        read_image(tmp_path / "bomb.webp")


def test_64_megapixels_of_one_colour_are_read(tmp_path):
    (tmp_path / "x.png").write_bytes(png(9248, 6936, bytes((1 + 9248) * 6936), colour=0))
    assert (tmp_path / "x.png").stat().st_size < 70_000
    assert read_image(tmp_path / "x.png").shape == (6936, 9248, 3)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_that_lacks_rows_is_refused(tmp_path, bits):
    random = np.random.default_rng(0)
    row = lambda: b"\0" + random.bytes(64 * 3 * bits // 8)  # noqa: E731
    whole = b"".join(row() for _ in range(64))
    path = tmp_path / "x.png"
    path.write_bytes(png(64, 64, whole, bits=bits))
    assert read_image(path).shape == (64, 64, 3)
    for rows in (whole[: len(whole) // 2], whole[:-1], whole[:400]):
        path.write_bytes(png(64, 64, rows, bits=bits))
        with pytest.raises(MediaError, match=r"x\.png: not a readable image"):
            read_image(path)
    path.write_bytes(png(64, 64, bytes(len(whole)), bits=bits))  # black to its corner
    assert not read_image(path).any()
    data = png(64, 64, whole, bits=bits)
    for cut in (len(data) - 1, len(data) - 12, len(data) - 20, len(data) // 2, 40):
        path.write_bytes(data[:cut])
        with pytest.raises(MediaError):
            read_image(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_off_is_refused(tmp_path, progressive):
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    path = tmp_path / "x.jpg"
    Image.fromarray(picture).save(path, progressive=progressive)
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(MediaError, match=r"x\.jpg: not a readable image"):
            read_image(path)
    sky = np.full((200, 300, 3), 90, np.uint8)  # flat to its lower edge
    Image.fromarray(sky).save(path, progressive=progressive)
    assert read_image(path).shape == (200, 300, 3)


def test_looking_for_exif_does_not_decode_a_16_bit_png(tmp_path, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 65535, (12, 16, 3)).astype(np.uint16)
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), picture)

    def decode(self) -> None:
        raise AssertionError("Pillow decodes it")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decode)
    np.testing.assert_array_equal(read_image(path), picture[..., ::-1])


def test_an_orientation_behind_the_pixels_of_a_16_bit_png_counts(tmp_path):
    stored = deepened(np.arange(6 * 4 * 3).reshape(6, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "x.png"
    Image.fromarray(stored.astype(np.uint8)).save(path, exif=exif)
    data = with_exif_of(path, stored)
    length = int.from_bytes(data[33:37], "big") + 12
    moved = data[:33] + data[33 + length : -12] + data[33 : 33 + length] + data[-12:]
    path.write_bytes(moved)
    assert read_image(path).shape == (4, 6, 3)
