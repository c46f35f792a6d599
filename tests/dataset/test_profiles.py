"""Colour profiles: what LittleCMS makes of 8 bits is the measure."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from footage import deepened
from PIL import Image, ImageCms
from test_images import display_p3

from dataset import MediaError, open_source, read_image

#: Primaries adapted to D50, as columns of XYZ, and gamma.
SPACES = {
    "ProPhoto": ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249), 1.8),
    "AdobeRGB": ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446), 2.2),
    "P3": ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841), 2.4),
}


def icc(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    text = b"desc\0\0\0\0" + (2).to_bytes(4, "big") + b"x\0" + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249)
    tags = {b"desc": text, b"wtpt": white, b"cprt": b"text\0\0\0\0none\0"} | tags
    table, data = len(tags).to_bytes(4, "big"), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = (start + len(data)).to_bytes(4, "big") + b"\0\0\0\0\x02\x40\0\0mntr" + space + pcs
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + data


def fixed(*values: float) -> bytes:
    return b"".join(round(v * 65536).to_bytes(4, "big", signed=True) for v in values)


def gamma(value: float, kind: str = "gamma") -> bytes:
    if kind == "table":
        levels = (65535 * np.linspace(0, 1, 1024) ** value).round().astype(int)
        return b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *levels)
    if kind == "para":  # with a linear part
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + fixed(*numbers)
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + bytes(2)


def rgb_profile(name: str, kind: str = "gamma") -> bytes:
    *columns, value = SPACES[name]
    tags = {
        letter + b"XYZ": b"XYZ \0\0\0\0" + fixed(*column)
        for letter, column in zip((b"r", b"g", b"b"), columns, strict=True)
    }
    return icc(b"RGB ", tags | {x + b"TRC": gamma(value, kind) for x in (b"r", b"g", b"b")})


def grey_profile(value: float = 1.8, pcs: bytes = b"XYZ ") -> bytes:
    return icc(b"GRAY", {b"kTRC": gamma(value)}, pcs)


def table_profile() -> bytes:
    """RGB through a table to Lab: lightness is the mean, a and b are differences (ICC.1, lut16)."""
    n = 9
    r, g, b = np.meshgrid(*3 * [np.linspace(0, 1, n)], indexing="ij")
    lab = np.stack([(r + g + b) / 3, 0.5 + 0.2 * (r - g), 0.5 + 0.2 * (g - b)], axis=-1)
    grid = (lab * 65280).round().astype(">u2").tobytes()
    head = b"mft2\0\0\0\0" + bytes((3, 3, n, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lines = struct.pack(">HH", 2, 2) + 3 * struct.pack(">HH", 0, 65535)
    return icc(b"RGB ", {b"A2B0": head + lines + grid + 3 * struct.pack(">HH", 0, 65535)}, b"Lab ")


def save_deep(path: Path, pixels: np.ndarray, profile: bytes) -> Path:
    """A 16-bit PNG or TIFF with a profile."""
    colours = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    assert cv2.imwrite(str(path.with_suffix(".png")), colours)
    if path.suffix == ".png":
        with_profile = path.with_name("other.png")
        mode = "L" if pixels.ndim == 2 else "RGB"
        Image.new(mode, (1, 1)).save(with_profile, icc_profile=profile)
        other, data = with_profile.read_bytes(), path.read_bytes()
        start = other.index(b"iCCP") - 4
        length = int.from_bytes(other[start : start + 4], "big") + 12
        path.write_bytes(data[:33] + other[start : start + length] + data[33:])
        with_profile.unlink()
    return path


def colours(step: int = 15) -> np.ndarray:
    axis = np.arange(0, 256, step, dtype=np.uint8)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return grid.reshape(len(axis), -1, 3)


@pytest.mark.parametrize("kind", ["gamma", "table", "para"])
@pytest.mark.parametrize("name", SPACES)
def test_16_bits_are_converted_as_8_are(tmp_path, name, kind):
    profile = rgb_profile(name, kind)
    Image.fromarray(colours()).save(tmp_path / "8.png", icc_profile=profile)
    deep = save_deep(tmp_path / "16.png", colours().astype(np.uint16) * 257, profile)
    eight, sixteen = read_image(tmp_path / "8.png", pytest.fail), read_image(deep, pytest.fail)
    assert sixteen.dtype == np.uint16
    assert np.abs(sixteen / 257 - eight).max() <= 1
    assert np.abs(eight.astype(int) - colours()).max() > 15, "the profile does something"


@pytest.mark.parametrize("height", [1, 63, 64, 65, 129])
def test_every_row_is_converted(tmp_path, height):
    """They are converted a few at a time."""
    pixels = np.full((height, 8, 3), 30_000, np.uint16)
    read = read_image(save_deep(tmp_path / "x.png", pixels, rgb_profile("ProPhoto")), pytest.fail)
    assert read.shape == pixels.shape and (read == read[0]).all() and read[0, 0, 0] != 30_000


def test_a_table_is_interpolated_for_16_bits(tmp_path):
    profile = table_profile()
    Image.fromarray(colours()).save(tmp_path / "8.png", icc_profile=profile)
    deep = save_deep(tmp_path / "16.png", colours().astype(np.uint16) * 257, profile)
    eight, sixteen = read_image(tmp_path / "8.png", pytest.fail), read_image(deep, pytest.fail)
    assert np.abs(sixteen / 257 - eight).max() <= 1
    other = save_deep(tmp_path / "x.png", colours(17).astype(np.uint16) * 257, profile)
    Image.fromarray(colours(17)).save(tmp_path / "x8.png", icc_profile=profile)
    between = np.abs(read_image(other) / 257 - read_image(tmp_path / "x8.png"))
    assert np.percentile(between, 99.9) <= 1.01


@pytest.mark.parametrize("profile", [rgb_profile("ProPhoto"), table_profile(), display_p3()])
def test_a_ramp_of_16_bits_keeps_its_levels(tmp_path, profile):
    ramp = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64)
    read = read_image(save_deep(tmp_path / "r.png", np.dstack(3 * [ramp]), profile), pytest.fail)
    assert len(np.unique(read[..., 1])) > 1000
    assert (np.diff(read[..., 1].reshape(-1).astype(int)) >= 0).all()


@pytest.mark.parametrize("pcs", [b"XYZ ", b"Lab "])
@pytest.mark.parametrize("deep", [False, True])
def test_grey_with_a_grey_profile(tmp_path, deep, pcs):
    """Gamma 1.8 is darker in the middle than sRGB's curve; (128/255)^1.8 is encoded as 147."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = tmp_path / "g.png"
    profile = grey_profile(pcs=pcs)
    if deep:
        save_deep(path, ramp.astype(np.uint16) * 257, profile)
    else:
        Image.fromarray(ramp).save(path, icc_profile=profile)
    read = read_image(path, pytest.fail) / (257 if deep else 1)
    with Image.open(path) as image:
        grey = Image.fromarray(ramp)
        srgb = ImageCms.createProfile("sRGB")
        embedded = ImageCms.getOpenProfile(__import__("io").BytesIO(image.info["icc_profile"]))
        wanted = np.array(ImageCms.profileToProfile(grey, embedded, srgb, outputMode="RGB"))
    assert np.abs(read - wanted).max() <= 1
    assert pcs == b"Lab " or read[8, 0, 0] == pytest.approx(147, abs=1)


def test_grey_with_alpha_and_ink_have_profiles_of_their_kind(tmp_path):
    grey = Image.fromarray(np.full((4, 4), 128, np.uint8)).convert("LA")
    grey.save(tmp_path / "la.png", icc_profile=grey_profile())
    assert abs(int(read_image(tmp_path / "la.png", pytest.fail)[0, 0, 0]) - 147) <= 1
    told: list[str] = []
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    ink.save(tmp_path / "ink.jpg", icc_profile=rgb_profile("P3"))
    read_image(tmp_path / "ink.jpg", told.append)
    assert len(told) == 1 and "one for RGB images" in told[0]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("profile", "told"), [(b"no profile", "cannot be read"), (grey_profile(), "one for GRAY")]
)
def test_a_profile_that_cannot_be_applied_is_told_once(tmp_path, deep, profile, told):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        pixels = np.full((8, 8, 3), 55, np.uint8)
        if deep:
            save_deep(folder / f"{number}.png", deepened(pixels), profile)
        else:
            Image.fromarray(pixels).save(folder / f"{number}.png", icc_profile=profile)
    warnings: list[str] = []
    source = open_source(folder, warnings.append)
    for _ in range(2):
        assert all(int(f.image.max()) == (55 * 256 + 183 if deep else 55) for f in source)
    assert len(warnings) == 1 and told in warnings[0] and "as if they were sRGB" in warnings[0]
    warnings.clear()
    open_source(folder / "1.png", warnings.append)
    assert len(warnings) == 1


def test_a_damaged_profile_is_no_error(tmp_path):
    profile = rgb_profile("P3")
    for cut in (4, 100, 140, 200, 300, len(profile) - 8):
        path = save_deep(tmp_path / "x.png", np.full((4, 4, 3), 9000, np.uint16), profile[:cut])
        try:
            assert read_image(path).dtype == np.uint16
        except MediaError:
            pytest.fail(f"refused with {cut} bytes")
