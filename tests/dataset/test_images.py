"""Images: formats, depths, orientation, profiles."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from footage import deepened, numbered, read_number
from PIL import Image, ImageCms

from dataset import MediaError, open_source, read_image
from dataset.images import open_image

EXIF_ORIENTATION = 0x0112


@pytest.mark.parametrize("extension", ["png", "jpg", "jfif", "tif", "webp", "bmp", "heic"])
def test_image_formats(tmp_path, extension):
    pillow_heif.register_heif_opener()
    picture = numbered(1234)
    Image.fromarray(picture).save(tmp_path / f"x.{extension}", quality=95)
    read = read_image(tmp_path / f"x.{extension}")
    assert read_number(read) == 1234
    assert np.abs(read.astype(int) - picture).mean() < 3


@pytest.mark.parametrize("extension", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_keep_their_range(tmp_path, extension, channels):
    ramp = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    stack = ramp if channels == 1 else np.dstack([ramp, ramp[::-1], ramp[:, ::-1], ramp][:channels])
    path = tmp_path / f"x.{extension}"
    assert cv2.imwrite(str(path), stack)
    read = read_image(path)
    assert read.dtype == np.uint16
    wanted = np.dstack([ramp] * 3) if channels == 1 else stack[..., 2::-1]
    np.testing.assert_array_equal(read, wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_exif_orientation_is_applied(tmp_path, orientation, deep):
    """Against the table of the EXIF standard: where row 0 and column 0 belong."""
    stored = np.arange(6 * 4 * 3).reshape(6, 4, 3).astype(np.uint8)
    first_row, first_column = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    wanted = stored.transpose(1, 0, 2) if first_row in ("left", "right") else stored
    wanted = wanted[::-1] if "bottom" in (first_row, first_column) else wanted
    wanted = wanted[:, ::-1] if "right" in (first_row, first_column) else wanted
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    path = tmp_path / "x.png"
    Image.fromarray(stored).save(path, exif=exif)
    if deep:
        path.write_bytes(with_exif_of(path, deepened(stored)))
        wanted = deepened(wanted)
    np.testing.assert_array_equal(read_image(path), wanted)


def with_exif_of(path: Path, picture: np.ndarray) -> bytes:
    """A 16-bit PNG of ``picture``, with the EXIF chunk of another PNG."""
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    assert done
    data, other = encoded.tobytes(), path.read_bytes()
    start = other.index(b"eXIf") - 4
    length = int.from_bytes(other[start : start + 4], "big") + 12
    return data[:33] + other[start : start + length] + data[33:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_16_bit_tiff_is_applied_once(tmp_path, orientation):
    stored = np.arange(6 * 4 * 3, dtype=np.uint16).reshape(6, 4, 3) * 900
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray((stored // 257).astype(np.uint8)).save(tmp_path / "8.tif", exif=exif)
    (tmp_path / "16.tif").write_bytes(tiff(stored, orientation))
    eight, sixteen = read_image(tmp_path / "8.tif"), read_image(tmp_path / "16.tif")
    assert sixteen.dtype == np.uint16
    np.testing.assert_array_equal(sixteen // 257, eight)


def test_in_a_16_bit_tiff_0_may_be_white(tmp_path):
    grey = np.arange(6 * 4, dtype=np.uint16).reshape(6, 4, 1) * 2500
    (tmp_path / "white.tif").write_bytes(tiff(0xFFFF - grey, photometric=0))
    (tmp_path / "black.tif").write_bytes(tiff(grey, photometric=1))
    for name in ("white", "black"):
        found = read_image(tmp_path / f"{name}.tif")
        np.testing.assert_array_equal(found, np.repeat(grey, 3, axis=2))


def test_colours_of_a_16_bit_tiff_come_straight(tmp_path):
    colours = np.arange(6 * 4 * 3, dtype=np.uint16).reshape(6, 4, 3) * 900
    alpha = np.linspace(20000, 65535, 24).astype(np.uint16).reshape(6, 4, 1)
    held = np.round(colours * (alpha / 65535)).astype(np.uint16)
    for extra, stored in ((1, held), (2, colours)):
        path = tmp_path / f"{extra}.tif"
        path.write_bytes(tiff(np.concatenate([stored, alpha], axis=2), extra=extra))
        assert np.abs(read_image(path).astype(int) - colours).max() <= 2 * (extra == 1)


def test_a_16_bit_tiff_with_its_channels_apart_is_refused(tmp_path):
    picture = np.arange(6 * 4 * 3, dtype=np.uint16).reshape(6, 4, 3)
    (tmp_path / "apart.tif").write_bytes(tiff(picture, apart=True))
    with pytest.raises(MediaError, match=r"apart\.tif: 16 bits with one channel after the other"):
        read_image(tmp_path / "apart.tif")


@pytest.mark.parametrize("suffix", ["webp", "png", "tif"])
def test_of_a_held_animation_only_the_first_picture_is_used_and_that_is_said(tmp_path, suffix):
    pictures = [Image.fromarray(numbered(number)) for number in range(3)]
    path = tmp_path / f"moving.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **lossless)
    warnings: list[str] = []
    source = open_source(path, warnings.append, hold=suffix != "tif")
    assert [read_number(frame.image) for frame in source] == [0]
    assert warnings == [f"{path}: holds 3 images, and only the first is used"]


def tiff(
    picture: np.ndarray,
    orientation: int = 1,
    *,
    photometric: int = 2,
    extra: int | None = None,
    apart: bool = False,
) -> bytes:
    """An uncompressed TIFF of (H, W, C), uint16; ``apart`` stores one channel after the other."""
    height, width, channels = picture.shape
    count = channels if apart else 1
    data = (picture.transpose(2, 0, 1) if apart else picture).astype("<u2").tobytes()
    size = len(data) // count
    behind = 8 + len(data)  # where values lie that need more than four bytes
    values = b""

    def tag(number: int, kind: str, *given: int) -> bytes:
        nonlocal values
        value = struct.pack(f"<{len(given)}{kind}", *given)
        if len(value) > 4:
            values, value = values + value, struct.pack("<I", behind + len(values))
        return struct.pack("<HHI4s", number, {"H": 3, "I": 4}[kind], len(given), value)

    tags = [
        tag(256, "I", width),
        tag(257, "I", height),
        tag(258, "H", *[16] * channels),
        tag(259, "H", 1),
        tag(262, "H", photometric),
        tag(273, "I", *(8 + size * n for n in range(count))),
        tag(274, "H", orientation),
        tag(277, "H", channels),
        tag(278, "I", height),
        tag(279, "I", *[size] * count),
        tag(284, "H", 2 if apart else 1),
        *([tag(338, "H", extra)] if extra is not None else []),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)
    header = struct.pack("<2sHI", b"II", 42, behind + len(values))
    return header + data + values + directory


def test_32_bits_a_channel_are_refused(tmp_path):
    Image.fromarray(np.ones((8, 8), np.int32)).save(tmp_path / "x.tif")
    with pytest.raises(MediaError, match=r"x\.tif: 32 bits a channel"):
        read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_a_broken_exif_block_leaves_the_picture_as_it_lies(tmp_path, suffix):
    picture = Image.new("RGB", (12, 8), (60, 120, 180))
    picture.save(tmp_path / f"x.{suffix}", exif=b"Exif\0\0no directory")
    image = read_image(tmp_path / f"x.{suffix}")
    assert image.shape == (8, 12, 3)
    assert np.abs(image - np.array([60, 120, 180])).max() <= 3
    if suffix == "png":
        (tmp_path / "cut.png").write_bytes((tmp_path / "x.png").read_bytes()[:-40])
        with pytest.raises(MediaError, match=r"cut\.png"):
            read_image(tmp_path / "cut.png")


def test_a_kind_of_16_bits_that_is_not_read_is_named(tmp_path):
    pixels = np.full((8, 8, 4), 40_000, np.uint16)
    path = tmp_path / "ink.tif"
    write_cmyk(path, pixels)
    with pytest.raises(MediaError, match=r"ink\.tif: 16 bits a channel.*C/M/Y/K.*save it as RGB"):
        read_image(path)


def write_cmyk(path: Path, pixels: np.ndarray) -> None:
    """A TIFF of (H, W, 4), uint16, inks."""
    height, width, inks = pixels.shape
    data = pixels.astype("<u2").tobytes()
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 4, 8), (259, 3, 1, 1), (262, 3, 1, 5)),
        *((273, 4, 1, 16), (277, 3, 1, inks), (278, 4, 1, height), (279, 4, 1, len(data))),
    ]
    begin = 16 + len(data)
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = struct.pack("<2sHI4H", b"II", 42, begin, *(4 * [16]))
    path.write_bytes(head + data + struct.pack("<H", len(entries)) + directory + bytes(4))


def test_embedded_profile_is_converted_to_srgb(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    grey = Image.new("RGB", (8, 8), (55, 55, 55))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    grey.save(tmp_path / "same.png", icc_profile=srgb.tobytes())
    assert np.abs(read_image(tmp_path / "same.png").astype(int) - 55).max() <= 1
    grey.save(tmp_path / "odd.png", icc_profile=profile.tobytes())  # a profile of another mode
    assert read_image(tmp_path / "odd.png").max() == 55
    grey.save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert read_image(tmp_path / "broken.png").max() == 55
    p3 = tmp_path / "p3.png"
    Image.new("RGB", (8, 8), (200, 60, 60)).save(p3, icc_profile=display_p3())
    red, green, blue = read_image(p3)[0, 0].astype(int)
    assert red > 208 and green < 50, "Display P3 red is stronger than sRGB's"
    assert 40 < blue < 60


def display_p3() -> bytes:
    """A minimal ICC profile: P3 primaries adapted to D50, and a gamma of 2.2."""

    def fixed(*values: float) -> bytes:
        return b"".join(round(v * 65536).to_bytes(4, "big", signed=True) for v in values)

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*values)

    gamma = b"curv\0\0\0\0" + (1).to_bytes(4, "big") + round(2.2 * 256).to_bytes(2, "big") + b"\0\0"
    text = b"desc\0\0\0\0" + (3).to_bytes(4, "big") + b"P3\0" + bytes(4 + 4 + 2 + 1 + 67)
    tags = {
        b"desc": text,
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.5151, 0.2412, -0.0011),
        b"gXYZ": xyz(0.2919, 0.6922, 0.0419),
        b"bXYZ": xyz(0.1572, 0.0666, 0.7841),
        b"rTRC": gamma,
        b"gTRC": gamma,
        b"bTRC": gamma,
        b"cprt": b"text\0\0\0\0none\0",
    }
    table, data = len(tags).to_bytes(4, "big"), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + (start + len(data)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        data += value
    head = (start + len(data)).to_bytes(4, "big") + b"\0\0\0\0\x02\x40\0\0mntrRGB XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + data


def test_an_image_as_large_as_phones_take_is_opened(tmp_path, recwarn):
    Image.new("1", (16384, 12288)).save(tmp_path / "plate.png")  # 201 megapixels
    before = Image.MAX_IMAGE_PIXELS
    with open_image((tmp_path / "plate.png").read_bytes()) as image:
        assert image.size == (16384, 12288)
    assert before == Image.MAX_IMAGE_PIXELS and not recwarn.list


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_a_jpeg_that_was_cut_off_and_closed_again_is_told(tmp_path, options):
    """As programs that rescue files leave it: decoders fill the rest with grey."""
    path = tmp_path / "x.jpg"
    Image.fromarray(numbered(5)).save(path, quality=95, **options)
    read_image(path, pytest.fail)
    data = path.read_bytes()
    read_image_of(path, data + b"some more", pytest.fail)
    told: list[str] = []
    read_image_of(path, data[: len(data) * 3 // 4] + b"\xff\xd9", told.append)
    assert told == [f"{path}: damaged or cut off; parts of it may be grey or show something else"]


def read_image_of(path: Path, data: bytes, warn) -> np.ndarray:
    path.write_bytes(data)
    return read_image(path, warn)
