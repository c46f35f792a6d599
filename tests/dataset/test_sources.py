"""Where pictures come from: a contract for every source, then what each kind promises."""

import io
from fractions import Fraction

import av
import footage
import numpy as np
import pytest
import torch
from footage import make_clip, numbered, read_number
from PIL import Image

from dataset import (
    FlatColour,
    ImageFolder,
    MediaError,
    StillImage,
    VideoSource,
    open_source,
    parse_colour,
)
from writers import VideoWriter


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
    return FlatColour((255, 255, 255), footage.SIZE), [4095]


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
    assert source.size == footage.SIZE
    assert source.still == (make in (still_source, colour_source))
    assert source.length_hint in (None, len(numbers))


@pytest.mark.parametrize("size", [(48, 96), (720, 96)], ids=["SD", "HD"])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv444p10le"])
@pytest.mark.parametrize(
    ("matrix", "full"),
    [
        *((None, False), (1, False), (4, False), (5, False), (6, False), (7, False), (9, False)),
        *((1, True), (5, True)),
    ],
)
def test_colour_matrix_and_range_are_honoured(tmp_path, size, pix_fmt, matrix, full):
    """Against the definitions of ITU-R BT.601, BT.709 and BT.2020, of the FCC and SMPTE 240M."""
    untagged = 1 if size[0] >= 720 else 5
    others = {1: (0.2126, 0.0722), 4: (0.3, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
    kr, kb = others.get(matrix or untagged, (0.299, 0.114))
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


@pytest.mark.parametrize(("pix_fmt", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
def test_grey_video_has_all_levels(tmp_path, pix_fmt, bits):
    ramp = np.linspace(0, 2**bits - 1, 96).round()
    kind = np.uint16 if bits > 8 else np.uint8
    with av.open(str(tmp_path / "grey.mkv"), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.height, stream.width, stream.pix_fmt = 48, 96, pix_fmt
        picture = av.VideoFrame(96, 48, pix_fmt)
        (plane,) = picture.planes
        rows = np.zeros((48, plane.line_size // kind().itemsize), kind)
        rows[:, :96] = ramp
        plane.update(rows)
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    (frame,) = VideoSource(tmp_path / "grey.mkv", pytest.fail)
    got = frame.image[20] / np.iinfo(frame.image.dtype).max
    assert np.abs(got - ramp[:, None] / (2**bits - 1)).max() < (0.3 if bits > 8 else 0.01) / 255


def test_oddities_of_a_clip_are_told(tmp_path):
    told: list[str] = []
    path = make_clip(tmp_path / "hdr.mp4", 2, tags={"color_trc": 16})
    assert VideoSource(path, told.append).size == footage.SIZE
    assert len(told) == 1 and "PQ" in told[0] and str(path) in told[0]
    make_clip(path, 2, tags={"colorspace": 8})  # YCgCo
    assert VideoSource(path, told.append).size == footage.SIZE
    assert len(told) == 2 and "unknown colour matrix (8)" in told[1]
    make_clip(path, 2, tags={"color_primaries": 9})
    assert VideoSource(path, told.append).size == footage.SIZE
    assert len(told) == 3 and "primaries of BT.2020" in told[2]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("c.mp4", "libx264", "yuv420p"),
        ("c.webm", "libvpx-vp9", "yuv420p"),
        ("c.mov", "prores_ks", "yuv422p10le"),
        ("c.mkv", "ffv1", "yuv422p"),
        ("c.avi", "mjpeg", "yuvj422p"),
    ],
)
def test_chroma_is_read_where_it_is(tmp_path, name, codec, pix_fmt):
    """On the left pixel of two, as MPEG has it; in JPEG between both, as Pillow reads it."""
    options = {"crf": "0"} if codec.startswith("lib") else {}
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, 25, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 128, pix_fmt
        picture = av.VideoFrame(128, 64, pix_fmt)
        deep = 4 if "10" in pix_fmt else 1
        for index, plane in enumerate(picture.planes):
            kind = np.uint16 if deep > 1 else np.uint8
            row = np.full(plane.line_size // kind().itemsize, 128 * deep)
            row[:64] += index == 2 and deep * (np.arange(64) - 32)  # red rises to the right
            plane.update(np.tile(row.astype(kind), (plane.height, 1)))
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    (frame,) = VideoSource(tmp_path / name, pytest.fail)
    wanted = 64.0
    if codec == "mjpeg":
        with av.open(str(tmp_path / name)) as container:
            data = bytes(next(container.demux(video=0)))
        wanted = _where_grey(np.array(Image.open(io.BytesIO(data))))
    assert _where_grey(frame.image) == pytest.approx(wanted, abs=0.1)


def _where_grey(image: np.ndarray) -> float:
    """The column at which a rising red is as strong as green."""
    columns = np.arange(40, 90)
    red, green, _ = image[32, columns].T.astype(float)
    slope, offset = np.polyfit(columns, red - green, 1)
    return -offset / slope


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        stream = container.add_stream("aac", 48000)
        for packet in footage._tone(stream, Fraction(1, 5)):
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


def test_a_plate_among_the_frames_is_no_frame(tmp_path):
    for number in range(3):
        Image.fromarray(numbered(number)).save(tmp_path / f"{number:04d}.png")
    plate = footage.make_plate(tmp_path / "plate.png")
    told: list[str] = []
    source = open_source(tmp_path, told.append, besides=[plate, tmp_path / "0001.png"])
    assert [read_number(frame.image) for frame in source] == [0, 1, 2], "an empty frame is one"
    assert len(told) == 1 and f"{plate}: is used for something else" in told[0]
    told.clear()
    assert len(list(open_source(tmp_path, told.append))) == 3, "where nobody named it"
    assert told == [
        f"{tmp_path}: %04d.png (3 images) is read as the clip; plate.png is left out, as named "
        "otherwise"
    ]


def test_pairs_of_formats_are_told(tmp_path):
    for name in ("here.JPG", "here.png", "there.JPG", "there.png"):
        Image.fromarray(numbered(1)).save(tmp_path / name)
    told: list[str] = []
    assert len(list(open_source(tmp_path, told.append))) == 4
    assert len(told) == 1 and "here.JPG and here.png are two frames" in told[0]


@pytest.mark.parametrize("suffix", [".avi", ".mov"])
def test_motion_jpeg_with_exif_blocks(tmp_path, suffix):
    """As cameras write it; PyAV knows nothing of what FFmpeg hands on of these."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    packets = []
    for number in range(3):
        coded = io.BytesIO()
        Image.fromarray(numbered(number)[::-1].transpose(1, 0, 2)).transpose(
            Image.Transpose.ROTATE_180
        ).save(coded, "JPEG", quality=95, exif=exif)
        packets.append(coded.getvalue())
    path = tmp_path / f"camera{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", 25)
        stream.height, stream.width, stream.pix_fmt = footage.SIZE[1], footage.SIZE[0], "yuvj420p"
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, 25)
            container.mux(packet)
    source = VideoSource(path, pytest.fail)
    assert [read_number(frame.image) for frame in source] == [0, 1, 2]
    assert source.size == footage.SIZE


def test_a_matroska_file_cut_out_of_a_longer_one_is_whole(tmp_path):
    times = [5 + Fraction(n, 25) for n in range(50)]
    path = make_clip(
        tmp_path / "part2.mkv", 50, times=times, rate=Fraction(25), time_base=Fraction(1, 1000)
    )
    clip = open_source(path, pytest.fail)
    assert clip.length_hint == 50 and len(list(clip)) == 50


def test_titles_need_not_be_utf_8(tmp_path):
    path = tmp_path / "old.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Zuerich"
        stream = container.add_stream("mpeg4", 25)
        stream.height, stream.width = footage.SIZE
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(5), "rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"Zuerich", b"Z\xfcrich "))
    assert [read_number(frame.image) for frame in open_source(path, pytest.fail)] == [5]


def test_a_video_that_nothing_decodes_is_named(tmp_path):
    path = make_clip(tmp_path / "raw.mp4", 3)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"brxq"))
    with pytest.raises(MediaError, match=r"raw\.mp4: no decoder for this kind of video"):
        open_source(path, pytest.fail)


def test_a_clock_that_begins_before_0_hides_no_frame(tmp_path):
    """Flash holds how long after its decoding a picture is shown, in signed milliseconds."""
    path = make_clip(tmp_path / "c.flv", 12)
    data = bytearray(path.read_bytes())
    place = 13  # behind the header: tags of eleven bytes, contents, and four bytes of length
    while place + 11 < len(data):
        length = int.from_bytes(data[place + 1 : place + 4], "big")
        if data[place] == 9 and data[place + 12] == 1:
            delay = int.from_bytes(data[place + 13 : place + 16], "big", signed=True) - 120
            data[place + 13 : place + 16] = delay.to_bytes(3, "big", signed=True)
        place += 11 + length + 4
    path.write_bytes(data)
    source = VideoSource(path, pytest.fail)
    times = [frame.time for frame in source]
    assert len(times) == 12 and times[0] == source.origin < 0
    with VideoWriter(
        tmp_path / "out.mp4", 25, 96, 48, timestamps=times, time_base=source.time_base,
        origin=source.origin,
    ) as writer:  # fmt: skip
        writer.add_batch(torch.zeros(12, 3, 48, 96))
    assert len(footage.read_video(tmp_path / "out.mp4")[0]) == 12


def test_names_outside_ascii(tmp_path):
    folder = tmp_path / "plåte 背景"
    folder.mkdir()
    Image.fromarray(numbered(5)).save(folder / "bild-ä.png")
    assert read_number(StillImage(folder / "bild-ä.png")._frame.image) == 5


def test_a_link_to_nothing_is_no_gap(tmp_path):
    (tmp_path / "links").mkdir()
    for number in range(3):
        Image.fromarray(numbered(number)).save(tmp_path / f"{number}.png")
        (tmp_path / f"links/{number}.png").symlink_to(tmp_path / f"{number}.png")
    assert len(ImageFolder.open(tmp_path / "links", pytest.fail).paths) == 3
    (tmp_path / "2.png").unlink()
    with pytest.raises(MediaError, match=r"links/2\.png: a link to .*/2\.png, which is not there"):
        ImageFolder.open(tmp_path / "links", pytest.fail)


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#78ff9b", (120, 255, 155)),
        ("120,255,155", (120, 255, 155)),
        (" 0, 0 ,0 ", (0, 0, 0)),
        ("teal", (0, 128, 128)),
        ("rgb(20%, 0, 0)", None),
        ("rgb(20%, 0%, 100%)", (51, 0, 255)),
        ("256,0,0", None),
        ("rgb(300,0,0)", None),
        ("rgb(200%,0%,0%)", None),
        ("hsl(0,200%,50%)", None),
        ("nocolour", None),
        ("green.mp4", None),
    ],
)
def test_colours(text, colour):
    assert parse_colour(text) == colour
