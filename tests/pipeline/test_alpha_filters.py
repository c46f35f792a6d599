"""What is done to alpha after the network, and the contact sheet."""

import json
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import torch
from footage import SIZE, KnownNetwork, known_matte, make_clip, make_plate

from inference_video import main, matte_video
from model import Prediction
from pipeline import AlphaSmoother, Despeckler, Preview, Settings, alpha_filters
from training.metrics import dtssd
from writers import MemoryWriter, WriteError

HEIGHT, WIDTH = SIZE


def matte(folder: Path, **settings):
    pha = MemoryWriter()
    plate = make_plate(folder / "plate.png")
    clip = make_clip(folder / "clip.mp4", 3)
    writers = {} if "output_dir" in settings else {"writers": {"pha": pha}}
    result = matte_video(
        video_src=clip, video_bgr=plate, network=KnownNetwork(), **writers, **settings
    )
    return result, pha.frames if writers else None


def test_a_garbage_matte_multiplies_alpha(tmp_path):
    image = np.full((HEIGHT, WIDTH), 255, np.uint8)
    image[:, :20], image[:, 20:40] = 0, 128
    cv2.imwrite(str(tmp_path / "garbage.png"), image)
    plain = matte(tmp_path)[1].int()
    kept = matte(tmp_path, garbage_matte=tmp_path / "garbage.png", batch_size=2)[1]
    assert plain[..., :20].max() > 100 and kept[..., :20].max() == 0
    assert (kept[..., 20:40] - plain[..., 20:40] * 128 / 255).abs().max() <= 1
    assert (kept[..., 40:] == plain[..., 40:]).all()


def test_a_garbage_matte_of_16_bits_and_another_size_is_resized(tmp_path):
    image = np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint16)
    image[:, WIDTH:] = 65535
    cv2.imwrite(str(tmp_path / "garbage.png"), image)
    plain = matte(tmp_path)[1]
    result, kept = matte(tmp_path, garbage_matte=tmp_path / "garbage.png")
    assert any("the garbage matte is resized" in text for text in result.warnings)
    assert kept[..., : WIDTH // 2 - 2].max() == 0
    right = np.s_[..., WIDTH // 2 + 2 :]
    assert (kept[right] == plain[right]).all()


def test_a_garbage_matte_of_floats_is_data_without_a_curve(tmp_path):
    path = tmp_path / "garbage.exr"
    half = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Y": half}).write(str(path))
    plain, kept = matte(tmp_path)[1].int(), matte(tmp_path, garbage_matte=path)[1]
    assert (kept - plain / 2).abs().max() <= 1


def test_a_garbage_matte_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(OSError, match=r"gone\.png"):
        matte(tmp_path, garbage_matte=tmp_path / "gone.png")
    cv2.imwrite(str(tmp_path / "square.png"), np.zeros((50, 50), np.uint8))
    with pytest.raises(ValueError, match="the garbage matte is 50x50, the source 96x48"):
        matte(tmp_path, garbage_matte=tmp_path / "square.png")
    painted = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    painted[:, :20, 3] = 255  # black on a transparent layer: is the rest to go, or to stay?
    cv2.imwrite(str(tmp_path / "painted.png"), painted)
    with pytest.raises(ValueError, match=r"painted\.png: .* transparent parts"):
        matte(tmp_path, garbage_matte=tmp_path / "painted.png")


def test_a_garbage_matte_with_full_alpha_is_one_without(tmp_path):
    image = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    cv2.imwrite(str(tmp_path / "garbage.png"), image)
    assert matte(tmp_path, garbage_matte=tmp_path / "garbage.png")[1].max() > 100


def test_a_garbage_matte_that_leaves_nothing_is_told(tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    result, kept = matte(tmp_path, garbage_matte=tmp_path / "black.png")
    assert any("black everywhere" in text for text in result.warnings) and kept.max() == 0


def spotted() -> torch.Tensor:
    """Two alphas (2, 1, 100, 100): a disc, a strand to it, and specks; the second is empty."""
    y, x = torch.meshgrid(torch.arange(100.0), torch.arange(100.0), indexing="ij")
    pha = torch.zeros(2, 1, 100, 100)
    pha[0, 0] = (20 - (x - 50).hypot(y - 50)).clamp(0, 1)
    pha[0, 0, 10:40, 50] = 0.3  # a hair, one pixel wide
    pha[0, 0, 5:10, 5:10] = 1
    pha[0, 0, 3:12, 3:12] += 0.015  # the speck's rim
    pha[0, 0, 80:90, 80:90] = 0.75
    return pha.clamp(0, 1)


def test_specks_go_and_all_that_hangs_together_stays():
    pha = spotted()
    clean = Despeckler(30)(pha, pha)
    assert clean.shape == pha.shape and clean.dtype == pha.dtype
    assert not clean[0, 0, :13, :13].any() and not clean[1].any()
    pha[0, 0, :13, :13] = 0
    assert torch.equal(clean, pha)
    assert not Despeckler(200)(pha, pha)[0, 0, 76:94, 76:94].any()


@pytest.mark.parametrize("apart", [2, 3])
def test_a_speck_beside_the_subject_leaves_it_alone(apart):
    """Its rim, which goes with it, reaches over what belongs to the subject."""
    pha = torch.zeros(1, 1, 60, 60)
    pha[..., 10:50, 10:30] = 1
    pha[..., 10:50, 30] = 0.05  # a soft edge
    subject = pha > 0
    pha[..., 20:24, 30 + apart : 34 + apart] = 0.6
    clean = Despeckler(30)(pha, pha)
    assert not clean[~subject].any() and torch.equal(clean[subject], pha[subject])


def test_a_speck_that_grows_fades_in():
    pha, speck = spotted(), np.s_[0, 0, 76:94, 76:94]
    sums = [float(Despeckler(limit)(pha, pha)[speck].sum()) for limit in (75, 50, 37)]
    assert sums == pytest.approx([0, 37.5, 75], abs=1e-3)


@pytest.mark.cuda
def test_specks_go_on_cuda_as_on_a_cpu():
    pha = spotted()
    clean = Despeckler(50)(pha.cuda(), pha.cuda())
    assert clean.is_cuda and torch.equal(clean.cpu(), Despeckler(50)(pha, pha))


def test_the_flag_despeckles(tmp_path):
    plain = matte(tmp_path)[1]
    assert (matte(tmp_path, despeckle=0)[1] == plain).all()
    assert plain.max() > 100 > 6 > matte(tmp_path, despeckle=100, batch_size=2)[1].max()
    flags = dict(video_src="a.mp4", video_bgr="b.png")
    pha = spotted()
    for percent, left in ((True, 1), (0.2, 0.25)):
        settings = Settings(**flags, despeckle=percent)
        (step,) = alpha_filters(settings, (100, 100))
        assert float(step(pha, pha)[0, 0, 7, 7]) == pytest.approx(left, abs=0.05)


def flickering(moves: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noisy frames of a disc, its true alpha, and one that flickers."""
    noise = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(90.0), indexing="ij")
    centres = [30 + 3 * n * moves for n in range(12)]
    true = torch.stack([(18 - (x - c).hypot(y - 30)).clamp(0, 1) for c in centres])[:, None]
    src = 0.3 + 0.5 * true + torch.randn(12, 3, 60, 90, generator=noise) / 255
    pha = true + 0.1 * torch.randn(12, 1, 60, 90, generator=noise)
    return src.clamp(0, 1), true, pha.clamp(0, 1)


@pytest.mark.parametrize("moves", [False, True])
def test_smoothing_takes_flicker_and_adds_no_error(moves):
    src, true, pha = flickering(moves)
    smooth = AlphaSmoother()(src, pha)
    flicker = [dtssd(x[:, 0].numpy(), true[:, 0].numpy()) for x in (pha, smooth)]
    error = [float((x - true).abs().mean()) for x in (pha, smooth)]
    assert flicker[1] < flicker[0] * (0.9 if moves else 0.6)
    assert error[1] < error[0]


def test_smoothing_leaves_alone_what_moves_everywhere():
    noise = torch.Generator().manual_seed(2)
    src, pha = torch.rand(4, 3, 40, 60, generator=noise), torch.rand(4, 1, 40, 60, generator=noise)
    torch.testing.assert_close(AlphaSmoother()(src, pha), pha)


def test_smoothing_does_not_depend_on_batches():
    src, _, pha = flickering(True)
    whole, smoother = AlphaSmoother()(src, pha), AlphaSmoother()
    parts = [smoother(src[i : i + 5], pha[i : i + 5]) for i in range(0, 12, 5)]
    assert torch.equal(torch.cat(parts), whole)


def test_the_flag_smooths(tmp_path):
    plain, smooth = matte(tmp_path)[1], matte(tmp_path, smooth_alpha=True)[1]
    assert (plain[0] == smooth[0]).all() and not (plain == smooth).all()


def test_a_preview_of_frames_far_apart_smooths_nothing():
    flags = dict(video_src="a.mp4", video_bgr="b.png", smooth_alpha=True)
    assert len(alpha_filters(Settings(**flags), (8, 8))) == 1
    assert not alpha_filters(Settings(**flags, preview_only=True), (8, 8))


def test_a_preview_keeps_a_few_frames_evenly_whatever_the_count():
    for count, expected in ((3, 3), (100, 100), (100, None), (100, 1000), (1000, 7)):
        preview = Preview(expected)
        frame = torch.rand(1, 3, 30, 40)
        for number in range(count):
            preview.add([number], frame, frame, known_matte(frame[:, :1]))
        numbers = preview.numbers
        if expected == 1000:  # the header lied
            assert numbers == [0, 2, 8, 16, 64]
            continue
        assert len(numbers) == min(5, count)
        gaps = np.diff([0, *numbers, count - 1])
        assert gaps.max() <= 0.5 * count + 1


def test_a_sheet_shows_what_came_in_and_what_came_out():
    preview = Preview(1)
    src, bgr, pha, fgr, err = (torch.full((1, 3, 60, 80), x / 10) for x in (2, 3, 5, 7, 9))
    bgr = (bgr * 255).round().byte()
    preview.add([0], src, bgr, Prediction(pha[:, :1], fgr, err[:, :1], None, (60, 80)))
    sheet = preview.sheet()
    assert sheet is not None
    cells = [sheet[28:88, 86 * x + 6 : 86 * x + 86] for x in range(5)]
    for cell, level in zip(cells[:3] + cells[4:], (0.2, 0.3, 0.5, 0.9), strict=True):
        assert cell.shape == (60, 80, 3) and np.abs(cell - 255 * level).max() <= 1
    board = [255 * (0.35 + square / 2) for square in (90 / 255, 150 / 255)]
    assert min(np.abs(cells[3] - level).min() for level in board) <= 1
    assert np.min([np.abs(cells[3] - level) for level in board], axis=0).max() <= 1


def test_a_run_leaves_a_contact_sheet(tmp_path):
    out = tmp_path / "out"
    result, _ = matte(tmp_path, output_dir=out)
    sheet = cv2.imread(str(out / "preview.png"))
    assert sheet.shape[0] > 3 * HEIGHT and sheet.shape[1] > 5 * WIDTH
    assert [path.name for path in result.outputs] == ["com.mp4"]
    listed = json.loads((out / "run.json").read_text())["outputs"]
    assert "preview.png" in [output["path"] for output in listed]
    matte(tmp_path, output_dir=out, overwrite=True)


def test_preview_only_writes_the_sheet_and_makes_room_for_the_run(tmp_path, capsys):
    make_clip(tmp_path / "clip.mp4", 40)
    make_plate(tmp_path / "plate.png")
    job = [f"--video-{role}={tmp_path}/{name}" for role, name in FILES] + [
        f"--output-dir={tmp_path}/out"
    ]
    assert main([*job, "--preview-only"]) == 0
    assert "5 frames" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["preview.png", "run.json"]
    small = [*job, "--video-resize", "48", "24"]
    assert main(small) == 0, "the sheet of an earlier run is replaced"
    assert (tmp_path / "out/com.mp4").exists()
    assert main([*small, "--preview-only"]) == 0, "and com.mp4 stays"
    assert (tmp_path / "out/com.mp4").exists()
    assert main([*job, "--overwrite", "--preview-only"]) == 0
    assert not (tmp_path / "out/com.mp4").exists()


def test_frames_are_whole_without_a_sheet(tmp_path):
    out = tmp_path / "out"

    def in_the_way(done: int, expected: int | None) -> None:
        if done:
            (out / "preview.png").mkdir(exist_ok=True)

    result, _ = matte(tmp_path, output_dir=out, progress=in_the_way)
    report = json.loads((out / "run.json").read_text())
    assert report["status"] == "done" and report["frames"] == 3
    assert "preview.png" in report["warnings"][-1] and "are whole" in result.warnings[-1]
    out = tmp_path / "sheet"
    with pytest.raises(WriteError, match=r"preview\.png"):
        matte(tmp_path, output_dir=out, progress=in_the_way, preview_only=True)
    assert json.loads((out / "run.json").read_text())["status"] == "failed"


FILES = [("src", "clip.mp4"), ("bgr", "plate.png")]


def test_a_picture_of_that_name_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/preview.png").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"preview\.png"):
            matte(tmp_path, output_dir=tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out/preview.png").read_text() == "mine"
