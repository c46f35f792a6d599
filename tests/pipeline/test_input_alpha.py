"""Runs with the alpha of the clip: what it hides never becomes foreground."""

from pathlib import Path

import av
import cv2
import footage
import numpy as np
import pytest
import torch
from footage import make_clip, make_plate
from PIL import Image
from runs import matte, report

from media import UsageError
from pipeline.loader import FrameBatch
from pipeline.transfer import DeviceFeed
from plate import PlateError

H, W = footage.SIZE
MAGENTA = (255, 0, 255)
#: Alpha of a level for each column, clear on the left.
ALPHA = np.rint(np.linspace(-100, 255, W).clip(0)).astype(np.uint8)


def picture(red: int = 200) -> np.ndarray:
    """RGBA whose red is a matte of ``red`` where it shows, and magenta where it is hidden."""
    pixels = np.empty((H, W, 4), np.uint8)
    pixels[...] = (red, 90, 40, 255)
    pixels[..., 3] = ALPHA
    pixels[ALPHA[None].repeat(H, 0) == 0, :3] = MAGENTA
    return pixels


@pytest.fixture
def shots(folder) -> Path:
    (folder / "shots").mkdir()
    for number in range(3):
        Image.fromarray(picture(200 + number)).save(folder / f"shots/{number}.png")
    return folder / "shots"


def written(folder: Path, kind: str = "com", number: int = 0) -> np.ndarray:
    image = cv2.imread(str(folder / f"out/{kind}/{number:05d}.png"), cv2.IMREAD_UNCHANGED)
    return image[..., [2, 1, 0, 3]] if image.ndim == 3 and image.shape[2] == 4 else image


def read(folder: Path, **flags):
    options = dict(start_number=0, image_extension="png", output_types=("com", "pha"))
    return matte(folder, flags.pop("src"), **{**options, **flags})


def test_without_the_flag_hidden_colours_are_foreground(folder, shots):
    result = read(folder, src=shots)
    assert "--input-alpha multiply" in " ".join(result.warnings)
    assert (written(folder)[:, 0] == (0, 255, 0, 255)).all()


@pytest.mark.parametrize("batch_size", [1, 2])
def test_alpha_is_multiplied_by_that_of_the_clip(folder, shots, batch_size):
    Image.fromarray(picture()[..., :3]).save(shots / "1.png")  # no alpha: opaque
    result = read(folder, src=shots, input_alpha="multiply", batch_size=batch_size)
    assert not result.warnings
    for number, alpha in ((0, ALPHA), (1, 255), (2, ALPHA)):
        red = np.where(ALPHA == 0, 255, 200 + (number == 2) * 2)
        wanted = red / 255 * alpha
        com = written(folder, number=number)
        assert np.abs(com[..., 3] - wanted).max() <= 0.51
        pha = written(folder, "pha", number)
        assert np.abs(pha.reshape(H, W, -1)[..., 0] - wanted).max() <= 0.51
    assert (written(folder)[:, ALPHA == 0] == 0).all()


def test_a_resized_frame_has_no_hidden_colours(folder, shots):
    sharp = picture()
    sharp[..., 3] = np.where(sharp[..., 3] > 0, 255, 0)
    sharp[:, -31:, 3] = 128
    for number in range(3):
        Image.fromarray(sharp).save(shots / f"{number}.png")
    read(folder, src=shots, input_alpha="multiply", video_resize=(W // 3 + 1, H // 3), crf=0)
    com = written(folder)
    assert com.shape == (H // 3, W // 3 + 1, 4)
    shown = com[com[..., 3] > 0].astype(int)
    assert len(set(shown[:, 3])) > 2, "there are edges"
    assert (np.abs(shown[:, :3] - (255 - 200, 255 - 90, 255 - 40)) <= 1).all()


def test_a_video_with_alpha(folder):
    path = folder / "clip.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("qtrle", 25)
        stream.height, stream.width, stream.pix_fmt = H, W, "argb"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(picture(200 + number), "rgba")
            frame = frame.reformat(format="argb")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read(folder, src=path, input_alpha="multiply")
    for number in range(3):
        wanted = (200 + number) / 255 * ALPHA
        assert np.abs(written(folder, number=number)[..., 3] - wanted).max() <= 0.51
    read(folder, src=path, input_alpha="multiply", preview_only=True, output_dir=folder / "look")
    assert_sheet_hides(folder / "look/preview.png")


def assert_sheet_hides(path: Path) -> None:
    """Left in the column of alpha is black, for three frames."""
    sheet = cv2.imread(str(path))
    down, across = (sheet.shape[0] - 6) // 3, (sheet.shape[1] - 6) // 5
    for row in range(3):
        cell = sheet[row * down + 28 :, 2 * across + 6 :][:H, :W]
        assert (cell[2:-2, 2:20] == 0).all() and cell[H // 2, W - 8].min() > 150


def test_previews_show_the_same(folder, shots):
    read(folder, src=shots, input_alpha="multiply", preview_only=True)
    assert_sheet_hides(folder / "out/preview.png")
    read(folder, src=shots, input_alpha="multiply", output_dir=folder / "all")
    assert_sheet_hides(folder / "all/preview.png")


def test_a_clip_without_alpha_is_told_once(folder):
    make_clip(folder / "clip.mp4", 2)
    result = read(folder, src=folder / "clip.mp4", input_alpha="multiply")
    (warning,) = result.warnings
    assert "clip.mp4: has no alpha channel" in warning and "--input-alpha" in warning
    before = written(folder)
    read(folder, src=folder / "clip.mp4", overwrite=True)
    assert (written(folder) == before).all()


def test_a_plate_that_a_clip_hides_is_no_wrong_plate(folder, capsys):
    rng = np.random.default_rng(0)
    scene = np.kron(rng.integers(40, 200, (24, 32, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(scene).save(folder / "plate.png")
    (folder / "shots").mkdir()
    shown = np.zeros(scene.shape[:2], np.uint8)
    shown[60:130, 100:150] = 255
    for number in range(3):
        hidden = np.where(shown[..., None] > 0, scene, np.uint8(0))
        hidden[80:100, 110 + 5 * number : 125 + 5 * number] = (250, 30, 30)
        Image.fromarray(np.dstack([hidden, shown])).save(folder / f"shots/{number}.png")
    with pytest.raises(PlateError, match="does not show the place"):
        read(folder, src=folder / "shots", strict=True)
    result = read(folder, src=folder / "shots", strict=True, input_alpha="multiply")
    assert not result.warnings


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("matched", [False, True])
def test_the_network_sees_the_plate_where_the_clip_hides(deep, matched):
    rng = np.random.default_rng(0)
    white = 65535 if deep else 255
    images = [rng.integers(0, white + 1, (1, 8, 12, 3)) for _ in range(2)]
    kind = torch.uint16 if deep else torch.uint8
    src, bgr = (torch.from_numpy(x).permute(0, 3, 1, 2).to(kind) for x in images)
    pha = torch.zeros(1, 1, 8, 12, dtype=torch.uint8)
    pha[..., 6:] = torch.arange(1, 7)
    colour = torch.tensor([[[0.5] * 3, [0.1] * 3]]) if matched else None
    batch = FrameBatch(src=src, bgr=bgr, times=(None,), pha=pha, colour=colour)
    found = DeviceFeed(torch.device("cpu"))(batch)
    wanted = bgr.double() / white * 0.5 + 0.1 if matched else bgr.double() / white
    assert found.src.dtype == kind
    assert (found.src.double() - wanted * white)[..., :6].abs().max() <= 0.51
    assert (found.src.int() == src.int())[..., 6:].all()
    assert (found.pha[0, 0, 0, 6:] * 255).round().tolist() == [1, 2, 3, 4, 5, 6]


def test_resuming_takes_the_same_alpha(folder, shots):
    read(folder, src=shots)
    with pytest.raises(UsageError, match="--input-alpha is multiply, and was ignore"):
        read(folder, src=shots, input_alpha="multiply", resume=True)
    read(folder, src=shots, input_alpha="multiply", overwrite=True)
    whole = written(folder, number=2)
    (folder / "out/com/00002.png").unlink()
    assert read(folder, src=shots, input_alpha="multiply", resume=True).resumed == 2
    assert (written(folder, number=2) == whole).all()
    assert report(folder / "out")["settings"]["input_alpha"] == "multiply"


def test_a_clip_in_exr_comes_out_multiplied_once(folder):
    import OpenEXR

    class Everything(footage.KnownNetwork):
        def forward(self, src, bgr):
            return super().forward(src, bgr)._replace(pha=src[:, :1] * 0 + 1, fgr=src)

    alpha = np.tile(np.array([0, 0.25, 0.5, 1], np.float32), (32, 8))
    planes = {name: 1.5 * level * alpha for name, level in zip("RGB", (1, 0.5, 0.1), strict=True)}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    (folder / "shots").mkdir()
    OpenEXR.File(header, {**planes, "A": alpha}).write(str(folder / "shots/0.exr"))
    make_plate(folder / "plate.png", (32, 32))
    matte(
        folder,
        folder / "shots",
        input_alpha="multiply",
        image_extension="exr",
        network=Everything(),
        preflight=False,
    )
    with OpenEXR.File(str(next((folder / "out/com").iterdir()))) as file:
        rgba = file.channels()["RGBA"].pixels.astype(np.float32)
    np.testing.assert_allclose(rgba[..., 3], alpha, atol=1e-3)
    for index, name in enumerate("RGB"):
        np.testing.assert_allclose(rgba[..., index], planes[name], rtol=5e-3, atol=1e-3)
