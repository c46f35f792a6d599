"""Every image format, read back by two libraries that did not write it where there are two."""

from fractions import Fraction

import av
import cv2
import numpy as np
import OpenEXR
import pytest
import tifffile
import torch
from PIL import Image

from writers import FORMATS, ImageSequenceWriter
from writers.formats import encoder_of
from writers.outputs import Output

#: One-pixel hair over a ramp of alpha, in saturated colours.
HEIGHT, WIDTH = 20, 64


def drawn(channels: int) -> np.ndarray:
    """A picture (H, W, C) in [0, 1]."""
    picture = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    picture[..., 3] = np.linspace(0, 1, WIDTH)
    for row, colour in enumerate(((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0.2, 0.5, 0.7))):
        picture[4 * row : 4 * row + 4, :, :3] = colour
    picture[1, ::2] = (0.5, 0.25, 0.1, 0.75)
    return {1: picture[..., 3:], 3: picture[..., :3], 4: picture}[channels]


def write(folder, picture: np.ndarray, extension: str, **options):
    with ImageSequenceWriter(folder, extension, **options) as writer:
        writer.add_batch(torch.from_numpy(picture).permute(2, 0, 1)[None])
    (path,) = folder.iterdir()
    return path


def by_opencv(path) -> np.ndarray:
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    read = read[..., None] if read.ndim == 2 else read
    return read[..., [2, 1, 0, 3][: read.shape[2]]] if read.shape[2] > 1 else read


def by_ffmpeg(path) -> np.ndarray:
    with av.open(str(path)) as container:
        (frame,) = container.decode(video=0)
    read = frame.to_ndarray()
    return read[..., None] if read.ndim == 2 else read


def by_pillow(path) -> np.ndarray:
    read = np.asarray(Image.open(path))
    return read[..., None] if read.ndim == 2 else read


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("extension", "depth", "readers"),
    [
        ("png", 8, (by_opencv, by_pillow)),
        ("png", 16, (by_opencv,)),
        ("tif", 8, (by_ffmpeg, by_pillow)),
        ("tif", 16, (by_ffmpeg,)),
        ("webp", 8, (by_opencv, by_pillow)),
    ],
)
def test_integers_come_back_to_the_level(tmp_path, extension, depth, channels, readers):
    picture = drawn(channels)
    path = write(tmp_path, picture, extension, bit_depth=depth)
    for read in readers:
        found = read(path)
        if extension == "webp" and channels == 1:  # WebP has no grey
            found = found[..., :1]
        np.testing.assert_array_equal(found, np.round(picture * (2**depth - 1)))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", ["half", "float"])
def test_floats_come_back_as_they_were(tmp_path, depth, channels):
    picture = drawn(channels) * 4 - 1
    path = write(tmp_path, picture, "exr", bit_depth=depth)
    planes = OpenEXR.File(str(path), separate_channels=True).channels()
    names = {1: "Y", 3: "RGB", 4: "RGBA"}[channels]
    assert set(planes) == set(names)
    kind = np.float16 if depth == "half" else np.float32
    for index, name in enumerate(names):
        np.testing.assert_array_equal(planes[name].pixels, picture[..., index].astype(kind))
    with av.open(str(path)) as container:  # FFmpeg's own decoder
        (frame,) = container.decode(video=0)
        assert (frame.height, frame.width) == (HEIGHT, WIDTH)


def test_exr_says_its_rate_its_time_and_its_colours(tmp_path):
    path = write(
        tmp_path,
        drawn(4),
        "exr",
        start_number=24 * 3600 + 49,
        frame_rate=Fraction(24000, 1001),
        exr_compression="piz",
    )
    header = OpenEXR.File(str(path), header_only=True).header()
    assert header["framesPerSecond"] == Fraction(24000, 1001)
    time = header["timeCode"]
    assert (time.hours, time.minutes, time.seconds, time.frame) == (1, 0, 2, 1)
    assert header["compression"] == OpenEXR.PIZ_COMPRESSION
    assert header["chromaticities"] == pytest.approx(
        (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
    )


@pytest.mark.parametrize(("alpha", "kind"), [("straight", 2), ("premultiplied", 1)])
def test_a_tiff_says_what_its_alpha_is(tmp_path, alpha, kind):
    with tifffile.TiffFile(write(tmp_path, drawn(4), "tif", alpha=alpha)) as file:
        assert file.pages[0].tags["ExtraSamples"].value == (kind,)


@pytest.mark.parametrize("extension", ["tif", "exr", "webp"])
def test_a_file_that_was_cut_off_or_emptied_is_not_whole(tmp_path, extension):
    content = write(tmp_path, drawn(4), extension).read_bytes()
    is_whole = encoder_of(FORMATS[extension]).is_whole
    assert is_whole(content)
    assert not is_whole(content[:-9])
    assert not is_whole(content[: len(content) // 2].ljust(len(content), b"\0"))
    assert not is_whole(b"")
    output = Output("com", ".", extension)
    assert output.whole(tmp_path, [0]) == {0}


def test_a_format_says_which_depths_it_holds(tmp_path):
    for extension, depth, words in (("webp", 16, "16 bits"), ("tif", "half", "half floats")):
        with pytest.raises(ValueError, match=f"{extension} does not hold {words}"):
            ImageSequenceWriter(tmp_path, extension, bit_depth=depth)
