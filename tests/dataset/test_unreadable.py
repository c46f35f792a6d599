"""Paths and files that cannot be read: each error is one that a user can mend, with the path."""

from fractions import Fraction

import av
import numpy as np
import pillow_heif
import pytest
from footage import numbered
from PIL import Image

from dataset import ClipFrame, MediaError, VideoSource, frames_in, open_source, read_image

TOO_LONG = "x" * 300


@pytest.mark.parametrize("name", [TOO_LONG, f"{TOO_LONG}.png", f"{TOO_LONG}.mp4"])
def test_a_name_that_is_too_long(tmp_path, name):
    for read in (
        lambda path: open_source(path, pytest.fail),
        lambda path: ClipFrame(path, Fraction(1), pytest.fail),
        read_image,
        lambda path: frames_in(path, []),
    ):
        with pytest.raises(MediaError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["nul\0", "nul\0.png", "nul\0.mp4"])
def test_a_name_with_a_nul_character(tmp_path, name):
    for read in (
        lambda path: open_source(path, pytest.fail),
        lambda path: ClipFrame(path, Fraction(1), pytest.fail),
        lambda path: VideoSource(path, pytest.fail),
        read_image,
        lambda path: frames_in(path, []),
    ):
        with pytest.raises(MediaError, match="nul"):
            read(tmp_path / name)


def test_a_folder_that_is_a_loop_of_links_or_missing(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(MediaError, match="loop: Too many levels of symbolic links"):
        frames_in(tmp_path / "loop", [])
    with pytest.raises(MediaError, match="missing: No such file"):
        frames_in(tmp_path / "missing", [])


def test_a_plate_that_is_a_loop_of_links_does_not_hide_the_frames(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "shots").mkdir()
    Image.fromarray(numbered(1)).save(tmp_path / "shots/1.png")
    paths, others = frames_in(tmp_path / "shots", [tmp_path / "loop"])
    assert [path.name for path in paths] == ["1.png"] and others == []


def test_a_heic_file_with_a_damaged_header(tmp_path):
    pillow_heif.register_heif_opener()
    path = tmp_path / "photo.heic"
    Image.fromarray(numbered(1)).save(path)
    data = bytearray(path.read_bytes())
    width = data.index(b"ispe") + 8  # ISO/IEC 23008-12, 6.5.3.2
    data[width : width + 4] = b"\xbc\0\0\0"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"photo\.heic: not a readable image"):
        read_image(path)


def test_an_image_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    Image.fromarray(numbered(1)).save(tmp_path / "plate.bmp")

    def load(image):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(MediaError, match=r"plate\.bmp: there is not enough memory"):
        read_image(tmp_path / "plate.bmp")


def test_a_pixel_format_that_cannot_be_converted(tmp_path):
    path = tmp_path / "raw.nut"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", 25)
        stream.height, stream.width, stream.pix_fmt = 48, 96, "rgb4"
        frame = av.VideoFrame(96, 48, "rgb4")
        frame.planes[0].update(np.zeros(frame.planes[0].buffer_size, np.uint8))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match=r"raw\.nut: cannot convert pixel format rgb4 to RGB"):
        list(VideoSource(path, pytest.fail))
