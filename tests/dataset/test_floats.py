"""Floats and colour spaces: linear light, values above 1, logs of cameras."""

import io
import resource
import struct
from pathlib import Path

import av
import numpy as np
import OpenEXR
import pytest
import tifffile
import torch
from footage import make_clip
from PIL import Image
from processes import Finished, Forked

from dataset import ColourSpace, MediaError, open_source, read_image, warn_if_transparent
from media import UsageError, from_linear, to_linear

#: Primaries of ACES AP0.
ACES = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)


def light(top: float = 6.0) -> np.ndarray:
    """Linear light (H, W, 3) from below 0 to ``top``."""
    ramp = np.linspace(-0.5, top, 40 * 3, dtype=np.float32).reshape(1, 40, 3)
    return np.repeat(ramp, 24, axis=0)


def save_exr(path: Path, picture: np.ndarray, names: str = "RGB", **header: object) -> Path:
    planes = {name: np.ascontiguousarray(picture[..., i]) for i, name in enumerate(names)}
    compression = OpenEXR.ZIP_COMPRESSION
    OpenEXR.File(
        {"type": OpenEXR.scanlineimage, "compression": compression, **header}, planes
    ).write(str(path))
    return path


def save_dpx(path: Path, levels: np.ndarray, form: str, transfer: int = 0) -> Path:
    """Save (H, W, 3), integer levels of the pixel format, as a DPX with a tag of its transfer."""
    encoder = av.CodecContext.create("dpx", "w")
    encoder.height, encoder.width = levels.shape[:2]
    encoder.pix_fmt, encoder.framerate = form, 25
    content = bytearray(bytes(encoder.encode(av.VideoFrame.from_ndarray(levels, form))[0]))
    content[801] = transfer
    path.write_bytes(content)
    return path


def only(path: Path, **options):
    """The one frame of a source, and what it said."""
    told: list[str] = []
    (frame,) = open_source(path, told.append, hold=False, **options)
    return frame, told


def first(path: Path, **options):
    """The first frame of a source, and what it said."""
    told: list[str] = []
    return next(iter(open_source(path, told.append, hold=False, **options))), told


def test_the_curve_goes_on_beyond_0_and_1_and_back():
    levels = torch.linspace(-2, 3, 1001)
    back = from_linear(to_linear(levels))
    torch.testing.assert_close(back, levels, atol=2e-6, rtol=0)
    assert to_linear(torch.tensor(0.5)).item() == pytest.approx(0.21404, abs=1e-5)
    assert to_linear(torch.tensor(-0.5)).item() == pytest.approx(-0.21404, abs=1e-5)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("names", ["RGB", "RGBA"])
def test_exr_is_linear_and_keeps_its_highlights(tmp_path, kind, names):
    picture = light().astype(kind)
    if names == "RGBA":
        picture = np.concatenate([picture, np.ones_like(picture[..., :1])], axis=2)
    frame, told = only(save_exr(tmp_path / "a.exr", picture, names))
    wanted = picture[..., :3].astype(np.float32)
    back = to_linear(torch.from_numpy(frame.extended)).numpy()
    np.testing.assert_allclose(back, wanted, rtol=1e-5, atol=1e-6)
    assert frame.image.dtype == np.uint16
    np.testing.assert_allclose(frame.image / 65535, frame.extended.clip(0, 1), atol=1 / 65535)
    assert len(told) == (names == "RGBA")  # its alpha is ignored


def test_a_tiff_of_floats_reads_as_the_same_exr(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", light(), photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", light().transpose(2, 0, 1), photometric="rgb")
    wanted, _ = only(save_exr(tmp_path / "a.exr", light()))
    for name in ("a.tif", "b.tif"):
        frame, told = only(tmp_path / name)
        np.testing.assert_array_equal(frame.extended, wanted.extended)
        assert told == []


def test_other_primaries_become_those_of_bt709(tmp_path):
    # ACES AP0 to BT.709 by Bradford's adaptation, as ACES publishes it:
    # 2.52169 -1.13413 -0.38756, -0.27648 1.37272 -0.09624, -0.01538 -0.15298 1.16835
    picture = np.full((4, 4, 3), (0.4, 0.2, 0.1), np.float32)
    frame, _ = only(save_exr(tmp_path / "a.exr", picture, chromaticities=ACES))
    found = to_linear(torch.from_numpy(frame.extended)).numpy()[0, 0]
    np.testing.assert_allclose(found, (0.743094, 0.154328, 0.080087), atol=1e-4)
    grey = np.full((4, 4, 3), 0.5, np.float32)
    frame, _ = only(save_exr(tmp_path / "b.exr", grey, chromaticities=ACES))
    found = to_linear(torch.from_numpy(frame.extended)).numpy()
    np.testing.assert_allclose(found, 0.5, atol=1e-5)


def test_a_data_window_is_placed_in_the_display_window(tmp_path):
    window = {
        "displayWindow": (np.array([0, 0], np.int32), np.array([9, 7], np.int32)),
        "dataWindow": (np.array([3, -2], np.int32), np.array([12, 3], np.int32)),
    }
    picture = np.arange(6 * 10 * 3, dtype=np.float32).reshape(6, 10, 3) / 100
    frame, _ = only(save_exr(tmp_path / "a.exr", picture, **window))
    found = to_linear(torch.from_numpy(frame.extended)).numpy()
    wanted = np.zeros((8, 10, 3), np.float32)
    wanted[:4, 3:] = picture[2:, :7]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_values_that_are_no_numbers_are_black_or_the_brightest(tmp_path):
    picture = light()
    picture[0, :3, 0] = np.nan, np.inf, -np.inf
    frame, _ = only(save_exr(tmp_path / "a.exr", picture))
    assert np.isfinite(frame.extended).all()
    assert frame.image[0, :3, 0].tolist() == [0, 65535, 0]


def test_exr_that_cannot_be_read_is_an_error_that_names_it(tmp_path, capfd):
    content = save_exr(tmp_path / "a.exr", light()).read_bytes()
    (tmp_path / "cut.exr").write_bytes(content[:-200])
    (tmp_path / "head.exr").write_bytes(content[:40])
    save_exr(tmp_path / "z.exr", light()[..., :1], "Z")
    for name, words in (("cut", "damaged"), ("head", "not a readable"), ("z", "no channels")):
        with pytest.raises(MediaError, match=rf"{name}\.exr: {words}"):
            read_image(tmp_path / f"{name}.exr")


def test_a_sequence_of_exr_is_a_clip(tmp_path):
    for number in (1001, 1002):
        save_exr(tmp_path / f"shot.{number}.exr", light(number - 1000))
    source = open_source(tmp_path / "shot.####.exr", pytest.fail)
    assert source.deep and source.size == (24, 40)
    brightest = [frame.extended.max() for frame in source]
    assert brightest == pytest.approx([1.0, 1.353256], abs=1e-5)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_dpx_keeps_its_levels(tmp_path, bits):
    form = {8: "rgb24", 10: "gbrp10le", 12: "gbrp12le"}[bits]
    ramp = np.linspace(0, 2**bits - 1, 64).round().astype(np.uint8 if bits == 8 else np.uint16)
    picture = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (16, 64, 3)))
    save_dpx(tmp_path / "a.0001.dpx", picture, form)
    image = read_image(tmp_path / "a.0001.dpx")
    most = np.iinfo(image.dtype).max
    np.testing.assert_allclose(image / most, picture / (2**bits - 1), atol=1.1 / 2**bits)


def test_a_named_space_holds_for_integers_too(tmp_path):
    levels = np.full((8, 8, 3), 128, np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    frame, _ = only(tmp_path / "a.png", space=ColourSpace("linear"))
    assert frame.extended[0, 0, 0] == pytest.approx(0.7367, abs=1e-3)
    frame, _ = only(tmp_path / "a.png", space=ColourSpace("srgb"))
    assert frame.extended is None and (frame.image == 128).all()


def test_srgb_takes_floats_as_levels(tmp_path):
    frame, _ = only(save_exr(tmp_path / "a.exr", light()), space=ColourSpace("srgb"))
    np.testing.assert_array_equal(frame.extended, light())


def test_logs_of_cameras_are_undone(tmp_path):
    pytest.importorskip("PyOpenColorIO")
    grey = np.full((8, 8, 3), round(0.391007 * 65535), np.uint16)
    found = ColourSpace("ARRI LogC3 (EI800)")(grey)  # ARRI: 18 % grey is at 0.391007
    assert to_linear(torch.from_numpy(found)).numpy() == pytest.approx(0.18, abs=1e-3)
    with pytest.raises(UsageError, match=r"LogC9.*did you mean.*LogC"):
        ColourSpace("ARRI LogC9")


def test_ocio_of_the_user_counts(tmp_path, monkeypatch):
    pytest.importorskip("PyOpenColorIO")
    monkeypatch.setenv("OCIO", str(tmp_path / "none.ocio"))
    with pytest.raises(UsageError, match=r"\$OCIO: .*none\.ocio: not a configuration"):
        ColourSpace("V-Log V-Gamut")


def test_pixels_in_memory_are_not_changed():
    picture = light()
    kept = picture.copy()
    ColourSpace("linear")(picture)
    np.testing.assert_array_equal(picture, kept)


def test_a_file_that_only_says_it_is_exr_is_refused(tmp_path):
    (tmp_path / "a.exr").write_bytes(io.BytesIO(b"v/1\x01" + bytes(64)).getvalue())
    with pytest.raises(MediaError, match="not a readable image"):
        read_image(tmp_path / "a.exr")


def test_primaries_in_the_header_are_not_undone_twice(tmp_path):
    picture = np.full((4, 4, 3), (0.4, 0.2, 0.1), np.float32)
    path = save_exr(tmp_path / "a.exr", picture, chromaticities=ACES)
    levels, _ = only(path, space=ColourSpace("srgb"))
    np.testing.assert_array_equal(levels.extended, picture)
    wanted, _ = only(path)
    pytest.importorskip("PyOpenColorIO")
    named, _ = only(path, space=ColourSpace("ACES2065-1"))
    np.testing.assert_allclose(named.extended, wanted.extended, atol=1e-3)


@pytest.mark.parametrize("impossible", [0.0, float("nan")])
def test_impossible_primaries_are_told_and_left_alone(tmp_path, impossible, recwarn):
    path = save_exr(tmp_path / "a.exr", light(), chromaticities=(impossible,) * 8)
    frame, told = only(path)
    wanted, _ = only(save_exr(tmp_path / "b.exr", light()))
    np.testing.assert_array_equal(frame.extended, wanted.extended)
    assert told == [f"{path}: impossible primaries in its header; it is read as BT.709"]
    assert not recwarn.list


def test_channels_that_are_not_read_count_too(tmp_path):
    display = np.array([0, 0], np.int32), np.array([39, 23], np.int32)
    header = {"type": OpenEXR.scanlineimage, "displayWindow": display}
    grey = light()[..., 0].copy()
    seen = OpenEXR.Part({**header, "name": "a"}, {"RGB": light()})
    hidden = OpenEXR.Part({**header, "name": "b"}, dict.fromkeys(("X", "Y", "Z"), grey))
    path = tmp_path / "a.exr"
    OpenEXR.File([seen, hidden]).write(str(path))
    assert read_image(path).shape == (24, 40, 3)
    before, name, after = path.read_bytes().rpartition(b"dataWindow\0box2i\0")
    corner = struct.pack("<2i", 19999, 9999)
    path.write_bytes(before + name + after[:12] + corner + after[20:])
    with pytest.raises(MediaError, match=r"a\.exr: 600 million values .* save R, G and B alone"):
        read_image(path)


def test_the_log_of_film_is_told_unless_its_colour_space_is_named(tmp_path):
    path = save_dpx(tmp_path / "a.dpx", np.full((16, 64, 3), 500, np.uint16), "gbrp10le", 3)
    _, told = only(path)
    assert len(told) == 1 and "name its colour space" in told[0]
    _, told = only(path, space=ColourSpace("linear"))
    assert told == []


def test_hdr_is_told_unless_its_colour_space_is_named(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", 2, tags={"color_trc": 16, "color_primaries": 9})
    _, told = first(clip)
    assert len(told) == 1 and "HDR video (PQ)" in told[0]
    _, told = first(clip, space=ColourSpace("linear"))
    assert told == []


def test_a_named_space_holds_for_animations(tmp_path):
    pictures = [Image.new("RGB", (8, 8), (128, 128, n)) for n in range(2)]
    path = tmp_path / "a.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], lossless=True)
    frame, _ = first(path, space=ColourSpace("linear"))
    assert frame.extended[0, 0, 0] == pytest.approx(0.7367, abs=1e-3)


def test_names_that_are_built_in_have_no_case():
    assert ColourSpace("sRGB").is_named and ColourSpace("Linear").takes_light


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_exr_with_another_extension_is_opaque(tmp_path, name):
    save_exr(tmp_path / name, light())
    told: list[str] = []
    source = open_source(tmp_path / name, told.append)
    warn_if_transparent(source, tmp_path / name, told.append)
    assert source.deep and told == []


def _takes_at_most(megabytes: int, path: str) -> int:
    """The status is 0 if reading an image takes no more memory than that."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_image(Path(path))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 > megabytes


def test_an_image_of_floats_takes_the_memory_that_its_limit_says(tmp_path):
    picture = np.zeros((1000, 4000, 3), np.float32)
    picture[::2] = 0.5
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb")
    limit = 46 * picture[..., 0].size // 2**20 + 40  # and what PyTorch needs once
    assert Forked(_takes_at_most, limit, str(tmp_path / "a.tif"), cwd=tmp_path).wait() == Finished(
        0, "", ""
    )


def test_floats_are_refused_at_fewer_pixels_than_integers(tmp_path):
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, np.zeros((16, 16, 3), np.float32), photometric="rgb")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength"):
            file.pages[0].tags[name].overwrite(7000)
    with pytest.raises(MediaError, match=r"7000x7000 pixels are too many; at most 35 meg.* floats"):
        read_image(path, print)
