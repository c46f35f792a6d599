"""Where pictures come from: a contract for every source, then what each kind promises."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import media
import numpy as np
import pillow_heif
import pytest
from media import make_clip, numbered, read_number
from PIL import Image, ImageCms

from dataset import (
    FlatColour,
    ImageFolder,
    MediaError,
    StillImage,
    VideoSource,
    open_source,
    parse_colour,
    read_image,
)
from dataset.images import _open

EXIF_ORIENTATION = 0x0112


def folder_source(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in (2, 0, 10, 1):
        Image.fromarray(numbered(number)).save(folder / f"shot_{number}.png")
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "notes.txt").write_text("not an image")
    return open_source(folder, pytest.fail), [0, 1, 2, 10]


def video_source(tmp_path):
    return open_source(make_clip(tmp_path / "clip.mp4", 4), pytest.fail), [0, 1, 2, 3]


def still_source(tmp_path):
    Image.fromarray(numbered(7)).save(tmp_path / "still.png")
    return open_source(tmp_path / "still.png", pytest.fail), [7]


def single_source(tmp_path):
    Image.fromarray(numbered(7)).save(tmp_path / "frame.png")
    return open_source(tmp_path / "frame.png", pytest.fail, hold=False), [7]


def colour_source(tmp_path):
    return FlatColour((255, 255, 255), media.SIZE), [4095]


@pytest.mark.parametrize(
    "make", [folder_source, video_source, still_source, single_source, colour_source]
)
def test_every_source_gives_its_frames_in_order_each_time_anew(tmp_path, make):
    source, numbers = make(tmp_path)
    for _ in range(2):
        frames = list(source)
        assert [read_number(frame.image) for frame in frames] == numbers
        for frame in frames:
            assert frame.image.shape == (*source.size, 3)
            assert frame.image.dtype in (np.uint8, np.uint16)
            assert frame.image.flags.c_contiguous and frame.image.flags.writeable
            assert (frame.time is None) == (source.time_base is None)
    assert source.size == media.SIZE
    assert source.still == (make in (still_source, colour_source))
    assert source.length_hint in (None, len(numbers))


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "webp", "bmp", "heic"])
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
        path.write_bytes(with_exif_of(path, stored.astype(np.uint16) * 257))
        wanted = wanted.astype(np.uint16) * 257
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
def test_of_an_animation_only_the_first_picture_is_used_and_that_is_said(tmp_path, suffix):
    pictures = [Image.fromarray(numbered(number)) for number in range(3)]
    path = tmp_path / f"moving.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **lossless)
    warnings: list[str] = []
    source = open_source(path, warnings.append, hold=False)
    assert [read_number(frame.image) for frame in source] == [0]
    assert warnings == [f"{path}: holds 3 pictures, and only the first is used"]


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


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_32_bits_a_channel_are_refused(tmp_path, kind):
    Image.fromarray(np.ones((8, 8), kind)).save(tmp_path / "x.tif")
    with pytest.raises(MediaError, match=r"x\.tif: 32 bits a channel"):
        read_image(tmp_path / "x.tif")


def test_embedded_profile_is_converted_to_srgb(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    grey = Image.new("RGB", (8, 8), (55, 55, 55))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    grey.save(tmp_path / "same.png", icc_profile=srgb.tobytes())
    assert np.abs(read_image(tmp_path / "same.png").astype(int) - 55).max() <= 1
    grey.save(tmp_path / "odd.png", icc_profile=profile.tobytes())  # a profile of another mode
    assert read_image(tmp_path / "odd.png").max() == 55
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


@pytest.mark.parametrize("size", [(48, 96), (720, 96)], ids=["SD", "HD"])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv444p10le"])
@pytest.mark.parametrize(
    ("matrix", "full"),
    [(None, False), (1, False), (5, False), (9, False), (1, True), (5, True), (6, False)],
)
def test_colour_matrix_and_range_are_honoured(tmp_path, size, pix_fmt, matrix, full):
    """Against the definitions of ITU-R BT.601, BT.709 and BT.2020."""
    untagged = 1 if size[0] >= 720 else 5
    kr, kb = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}.get(matrix or untagged, (0.299, 0.114))
    wanted = np.array([[255, 255, 255], [0, 0, 0], [200, 40, 90], [20, 180, 60], [128, 128, 128]])
    red, green, blue = wanted.T / 255
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = np.stack([(blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)])
    bits = 10 if "10" in pix_fmt else 8
    unit = 2 ** (bits - 8)
    if full:
        levels = np.stack([luma, *chroma]) * (2**bits - 1)
        levels[1:] += 128 * unit
    else:
        levels = np.stack([16 + 219 * luma, *(128 + 224 * chroma)]) * unit
    path = tmp_path / "clip.mkv"
    tags = {"colorspace": matrix} if matrix else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        for tag, value in (tags | {"color_range": 2 if full else 1}).items():
            setattr(stream.codec_context, tag, value)
        for y, u, v in levels.T.round():
            picture = av.VideoFrame(size[1], size[0], pix_fmt)
            for plane, level in zip(picture.planes, (y, u, v), strict=True):
                kind = np.uint16 if bits > 8 else np.uint8
                plane.update(np.full(plane.buffer_size // kind().itemsize, level, kind))
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    frames = [frame.image for frame in VideoSource(path, pytest.fail)]
    got = np.array([image[size[0] // 2, 40] / np.iinfo(image.dtype).max * 255 for image in frames])
    assert frames[0].dtype == (np.uint16 if bits > 8 else np.uint8)
    assert np.abs(got - wanted).max() <= (1.01 if bits == 8 else 0.5)


def test_oddities_of_a_clip_are_told(tmp_path):
    told: list[str] = []
    path = make_clip(tmp_path / "hdr.mp4", 2, tags={"color_trc": 16})
    assert VideoSource(path, told.append).size == media.SIZE
    assert len(told) == 1 and "PQ" in told[0] and str(path) in told[0]


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        stream = container.add_stream("aac", 48000)
        for packet in media._tone(stream, Fraction(1, 5)):
            container.mux(packet)
    with pytest.raises(MediaError, match=r"sound\.m4a.*no video"):
        open_source(tmp_path / "sound.m4a", pytest.fail)


def test_natural_order_of_a_folder_with_gaps_and_cases(tmp_path):
    names = ["B10.PNG", "b9.png", "a1.png", "B2.png"]
    for name in names:
        Image.fromarray(numbered(1)).save(tmp_path / name)
    paths = ImageFolder.open(tmp_path, pytest.fail).paths
    assert [path.name for path in paths] == ["a1.png", "B2.png", "b9.png", "B10.PNG"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["f.0998.png", "f.0999.png", "f.1001.png"], ["number 1000 is missing"]),
        (["7.png", "8.png", "10.png", "13.png"], ["number 9 and 2 more are missing"]),
        (["shot2_1.jpg", "shot2_2.jpg", "shot2_3.jpg"], []),
        (["0.png", "25.png", "50.png"], []),  # every 25th
        (["a1.png", "b3.png"], []),
        (["plate.png"], []),
    ],
)
def test_gaps_in_a_sequence_are_told(tmp_path, names, told):
    for name in names:
        Image.fromarray(numbered(1)).save(tmp_path / name)
    warnings: list[str] = []
    assert len(list(open_source(tmp_path, warnings.append))) == len(names)
    assert len(warnings) == len(told)
    assert all(part in warning for part, warning in zip(told, warnings, strict=True))


def test_a_matroska_file_cut_out_of_a_longer_one_is_whole(tmp_path):
    times = [5 + Fraction(n, 25) for n in range(50)]
    path = make_clip(
        tmp_path / "part2.mkv", 50, times=times, rate=Fraction(25), time_base=Fraction(1, 1000)
    )
    clip = open_source(path, pytest.fail)
    assert clip.length_hint == 50 and len(list(clip)) == 50


def test_an_image_as_large_as_phones_take_is_opened(tmp_path, recwarn):
    Image.new("1", (16384, 12288)).save(tmp_path / "plate.png")  # 201 megapixels
    before = Image.MAX_IMAGE_PIXELS
    with _open((tmp_path / "plate.png").read_bytes()) as image:
        assert image.size == (16384, 12288)
    assert before == Image.MAX_IMAGE_PIXELS and not recwarn.list


def test_names_outside_ascii(tmp_path):
    folder = tmp_path / "plåte 背景"
    folder.mkdir()
    Image.fromarray(numbered(5)).save(folder / "bild-ä.png")
    assert read_number(StillImage(folder / "bild-ä.png")._frame.image) == 5


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#78ff9b", (120, 255, 155)),
        ("120,255,155", (120, 255, 155)),
        (" 0, 0 ,0 ", (0, 0, 0)),
        ("teal", (0, 128, 128)),
        ("256,0,0", None),
        ("nocolour", None),
        ("green.mp4", None),
    ],
)
def test_colours(text, colour):
    assert parse_colour(text) == colour
