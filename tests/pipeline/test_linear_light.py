"""Deep and linear clips through the program: what goes in as light comes out as light."""

import cv2
import numpy as np
import OpenEXR
import pytest
import tifffile
import torch
from footage import make_checkpoint
from PIL import Image
from torch import Tensor, nn

from inference_video import matte_video
from media import UsageError, from_linear
from model import BaseOutput

SIZE = (32, 64)


class Everything(nn.Module):
    """Says that alpha is ``alpha`` everywhere and that the foreground is a bit brighter."""

    def __init__(self, alpha: float = 1.0, more: float = 0.0):
        super().__init__()
        self.alpha, self.more = alpha, more

    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        assert src.min() >= 0 and src.max() <= 1  # what the network was made for
        pha = torch.full_like(src[:, :1], self.alpha)
        return BaseOutput(pha, (src + self.more).clamp(0, 1), pha, src)


def save_light(path, picture: np.ndarray):
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"RGB": picture}).write(str(path))
    return path


def scene() -> np.ndarray:
    """Linear light (H, W, 3) with a highlight of 4 and a value below 0."""
    ramp = np.linspace(0.001, 1, SIZE[1], dtype=np.float32)
    picture = np.repeat(np.repeat(ramp[None, :, None], SIZE[0], axis=0), 3, axis=2)
    picture[4:8, 4:8] = 4.0
    picture[10, 10] = -0.01
    return picture


def matte(folder, src, network, **options):
    plate = folder / "plate.png"
    Image.new("RGB", SIZE[::-1], (90, 90, 90)).save(plate)
    return matte_video(
        video_src=src,
        video_bgr=plate,
        output_dir=folder / "out",
        output_format="image_sequences",
        network=network,
        preflight=False,
        **options,
    )


def rgba(folder) -> np.ndarray:
    path = str(folder / "out/com/00000.exr")
    return OpenEXR.File(path).channels()["RGBA"].pixels.astype(np.float32)


@pytest.mark.parametrize("fgr", ["network", "estimate"])
@pytest.mark.parametrize("depth", [None, "float"])
def test_highlights_and_shadows_come_out_as_they_went_in(tmp_path, depth, fgr):
    src = save_light(tmp_path / "a.exr", scene())
    matte(tmp_path, src, Everything(), image_extension="exr", bit_depth=depth, fgr=fgr)
    tolerance = 1e-5 if depth else 1e-3
    np.testing.assert_allclose(rgba(tmp_path)[..., :3], scene(), rtol=tolerance, atol=1e-6)


def test_a_highlight_stays_where_the_network_changes_colours(tmp_path):
    src = save_light(tmp_path / "a.exr", scene())
    matte(tmp_path, src, Everything(more=0.02), image_extension="exr")
    found = rgba(tmp_path)
    np.testing.assert_allclose(found[4:8, 4:8, :3], 4.0, rtol=5e-3)
    np.testing.assert_allclose(found[10, 10, :3], -0.01, rtol=5e-3)
    assert found[20, 20, 0] > scene()[20, 20, 0]


@pytest.mark.parametrize("alpha", ["premultiplied", "straight"])
def test_exr_is_multiplied_in_linear_light(tmp_path, alpha):
    src = save_light(tmp_path / "a.exr", scene())
    matte(tmp_path, src, Everything(0.5), image_extension="exr", alpha=alpha)
    share = 0.5 if alpha == "premultiplied" else 1
    found = rgba(tmp_path)
    np.testing.assert_allclose(found[..., :3], scene() * share, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(found[..., 3], 0.5)


def test_alpha_in_exr_is_data_without_a_curve(tmp_path):
    src = save_light(tmp_path / "a.exr", scene())
    matte(tmp_path, src, Everything(0.5), image_extension="exr", output_types=["pha", "err"])
    for kind in ("pha", "err"):
        path = str(tmp_path / f"out/{kind}/00000.exr")
        np.testing.assert_array_equal(OpenEXR.File(path).channels()["Y"].pixels, 0.5)


def test_light_beyond_half_floats_is_the_brightest_of_them(tmp_path):
    picture = scene()
    picture[4:8, 4:8] = 1e6
    src = save_light(tmp_path / "a.exr", picture)
    matte(tmp_path, src, Everything(), image_extension="exr", input_colorspace="srgb")
    np.testing.assert_array_equal(rgba(tmp_path)[4:8, 4:8, :3], 65504)


def test_premultiplied_images_are_multiplied_as_levels(tmp_path):
    Image.new("RGB", SIZE[::-1], (200, 100, 0)).save(tmp_path / "a.png")
    matte(tmp_path, tmp_path / "a.png", Everything(0.5), alpha="premultiplied")
    found = np.asarray(Image.open(tmp_path / "out/com/00000.png"))
    assert found[0, 0].tolist() == [100, 50, 0, 128]


@pytest.mark.parametrize("extension", ["png", "tif", "exr"])
def test_a_ramp_of_10_bits_keeps_its_levels(tmp_path, extension):
    ramp = (np.arange(1024) * 65535 / 1023).round().astype(np.uint16)
    picture = np.repeat(np.repeat(ramp[None, :, None], 32, axis=0), 3, axis=2)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    Image.new("RGB", (1024, 32)).save(tmp_path / "plate.png")
    matte_video(
        video_src=tmp_path / "a.png",
        video_bgr=tmp_path / "plate.png",
        output_dir=tmp_path / "out",
        output_format="image_sequences",
        image_extension=extension,
        network=Everything(),
        preflight=False,
    )
    path = str(tmp_path / f"out/com/00000.{extension}")
    if extension == "png":
        found = cv2.imread(path, cv2.IMREAD_UNCHANGED)[0, :, 0]
    elif extension == "tif":
        found = tifffile.imread(path)[0, :, 0]
    else:
        light = OpenEXR.File(path).channels()["RGBA"].pixels[0, :, 0]
        found = (from_linear(torch.from_numpy(light.astype(np.float32))) * 1023).round().numpy()
    assert len(np.unique(found)) >= 1000


def test_linear_light_and_the_same_as_srgb_give_the_same_alpha(tmp_path):
    generator = np.random.default_rng(0)
    light = generator.random((*SIZE, 3), np.float32)
    levels = from_linear(torch.from_numpy(light)).numpy()
    sources = {
        "exr": save_light(tmp_path / "a.exr", light),
        "png": tmp_path / "a.png",
    }
    Image.fromarray((levels * 255).round().astype(np.uint8)).save(sources["png"])
    found = {}
    for name, src in sources.items():
        folder = tmp_path / name
        folder.mkdir()
        Image.new("RGB", SIZE[::-1], (90, 90, 90)).save(folder / "plate.png")
        matte_video(
            video_src=src,
            video_bgr=folder / "plate.png",
            output_dir=folder / "out",
            output_types=["pha"],
            output_format="image_sequences",
            image_extension="png",
            bit_depth=8,
            model_checkpoint=make_checkpoint(tmp_path / f"{name}.pth"),
            device="cpu",
            preflight=False,
        )
        found[name] = np.asarray(Image.open(folder / "out/pha/00000.png")).astype(float)
    assert np.abs(found["exr"] - found["png"]).mean() < 1


@pytest.mark.parametrize(("extension", "wanted"), [("webp", 8), ("exr", "half"), (None, 16)])
def test_the_depth_follows_the_clip_where_the_format_holds_it(tmp_path, extension, wanted):
    src = save_light(tmp_path / "a.exr", scene())
    result = matte(tmp_path, src, Everything(), image_extension=extension)
    assert result.warnings == []
    (path,) = (tmp_path / "out/com").iterdir()
    if wanted == "half":
        assert OpenEXR.File(str(path)).channels()["RGBA"].pixels.dtype == np.float16
    else:
        levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert levels.dtype == (np.uint8 if wanted == 8 else np.uint16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_extension": "jpg"}, "jpg holds no alpha.*png, tif, exr, webp"),
        ({"image_extension": "png", "bit_depth": "half"}, "png holds 8 bits or 16 bits; use .*exr"),
        ({"image_extension": "webp", "bit_depth": 16}, "webp holds 8 bits; use .*png or tif"),
        ({"input_colorspace": "LogC9"}, "LogC9"),
    ],
)
def test_what_a_format_does_not_hold_is_told_before_anything_is_read(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        matte(tmp_path, save_light(tmp_path / "a.exr", scene()), Everything(), **options)
    assert not (tmp_path / "out").exists()
