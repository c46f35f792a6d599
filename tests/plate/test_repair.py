"""Plates that are repaired from the clip."""

import json
from pathlib import Path

import cv2
import footage
import numpy as np
import pytest
import torch
from torch import nn

from dataset import MemorySource
from inference_video import matte_video
from media import UsageError
from model import BaseOutput, Predictor
from pipeline import repaired_plate
from plate import AutoPlate
from plate.patches import find_patches, helpful_patches
from writers import MemoryWriter

HEIGHT, WIDTH, COUNT = 120, 200, 24
#: Rows and columns that are painted over in the plate, and those behind somebody who sits.
SPOT, SEAT = np.s_[30:60, 80:110], np.s_[70:100, 20:50]


def room() -> np.ndarray:
    """An empty scene (H, W, 3), uint8, whose colours stay below those of the subject."""
    noise = np.random.default_rng(0).uniform(40, 150, (HEIGHT // 4, WIDTH // 4, 3))
    return cv2.resize(noise.astype(np.float32), (WIDTH, HEIGHT)).round().astype(np.uint8)


def painted(plate: np.ndarray) -> np.ndarray:
    """The plate with a flat spot."""
    plate = plate.copy()
    plate[SPOT] = 10 if plate.dtype == np.uint8 else 10 * 256 + 99
    return plate


def walk(*, sits: bool = False) -> np.ndarray:
    """(N, H, W, 3), uint8: a white block walks through the room, with noise."""
    random = np.random.default_rng(1)
    frames = []
    for number in range(COUNT):
        picture = room() + random.normal(0, 1.5, (HEIGHT, WIDTH, 3))
        left = number * 7 % (WIDTH - 40)
        picture[10:110, left : left + 40] = 250
        if sits:
            picture[SEAT] = 240
        frames.append(picture.round().clip(0, 255).astype(np.uint8))
    return np.stack(frames)


class White(nn.Module):
    """Alpha is 1 where the frame is nearly white; as in a real network, not only there.

    Args:
        doubt: Alpha where the plate is darker than the frame; a shadow makes it brighter.
    """

    def __init__(self, doubt: float = 0.2):
        super().__init__()
        self.doubt = doubt

    def forward(self, src, bgr):
        white = (src.amin(dim=1, keepdim=True) > 0.9).float()
        apart = ((src - bgr).amax(dim=1, keepdim=True) > 0.1).float()
        pha = torch.maximum(white, self.doubt * apart)
        return BaseOutput(pha, src, pha, src)


def mend(
    frames: np.ndarray, plate: np.ndarray, *, doubt: float = 0.2, warn=pytest.fail, **ways
) -> tuple[np.ndarray, float]:
    """The repaired plate, and the share of it that was."""
    matter = Predictor(White(doubt), torch.device("cpu"), warn=pytest.fail)
    bgr = MemorySource(plate[None], "plate.png", still=True)
    source = repaired_plate(MemorySource(frames, "clip.mp4"), bgr, matter, warn=warn, **ways)
    (frame,) = source
    assert source.still and source.find() is frame.image, "it is repaired once"
    return frame.image, source.share


def off(plate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How many levels of 255 a plate is off, (H, W)."""
    levels = 257 if plate.dtype == np.uint16 else 1
    return np.abs(plate / levels - truth.astype(float)).max(axis=2)


@pytest.mark.parametrize("deep", [False, True])
def test_a_spot_shows_the_scene_again_and_all_else_stays_as_it_was(deep):
    plate = painted(room().astype(np.uint16) * 257 + 99 if deep else room())
    found, share = mend(walk(), plate)
    assert found.dtype == plate.dtype and off(found, room()).max() <= 5
    spot = np.zeros((HEIGHT, WIDTH), bool)
    spot[SPOT] = True
    assert share == pytest.approx(spot.mean(), rel=0.3)
    far = cv2.dilate(spot.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    np.testing.assert_array_equal(found[far], plate[far])


def test_a_plate_without_a_fault_comes_back_as_it_is():
    found, share = mend(walk(), room())
    np.testing.assert_array_equal(found, room())
    assert share == 0


def test_where_somebody_sits_all_the_time_the_plate_has_the_say():
    plate = room()
    plate[SEAT] = 200
    found, share = mend(walk(sits=True), plate)
    np.testing.assert_array_equal(found, plate)
    assert share == 0


@pytest.mark.parametrize("doubt", [0.7, 1])
def test_where_the_network_sees_somebody_the_plate_has_the_say(doubt):
    found, share = mend(walk(), painted(room()), doubt=doubt)
    inner = np.s_[34:56, 84:106]
    np.testing.assert_array_equal(found[inner], painted(room())[inner])
    assert share < 0.02


def test_a_few_moments_are_not_enough():
    frames = walk()
    frames[3:5, 40:70, 120:190] = (230, 60, 20)  # which the network does not see
    frames[:, 10:30, 60:190] = 250  # somebody stands there but in one frame
    frames[7, 10:30, 60:190] = room()[10:30, 60:190]
    plate = painted(room())
    plate[14:26, 64:186] = 120
    found, _ = mend(frames, plate)
    np.testing.assert_array_equal(found[14:26, 64:186], plate[14:26, 64:186])
    assert off(found, room())[40:70, 120:190].max() <= 1


def test_the_rim_of_the_subject_is_no_scene():
    """Two pixels beside the subject that the network takes for free, where it lingers."""
    frames = np.repeat(room()[None], COUNT, axis=0)
    frames[:, 20:100, 60:120] = (60, 200, 90)
    frames[:, 22:98, 62:118] = 250
    found, share = mend(frames, room())
    np.testing.assert_array_equal(found, room())
    assert share == 0


def shaded(*, always: bool) -> np.ndarray:
    """(N, H, W, 3), uint8: :func:`walk` with a soft shadow on the ground."""
    frames = walk().astype(np.float32)
    shade = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    shade[75:100, 30:170] = 0.4
    shade = cv2.GaussianBlur(shade, (0, 0), 4)[..., None]
    lit = (np.arange(COUNT) % 4 == 0) & (not always)
    depth = np.where(lit[:, None, None, None], 1, 1 - shade)
    return np.where(frames > 240, frames, depth * frames).round().astype(np.uint8)


@pytest.mark.parametrize("always", [True, False])
def test_shadows_do_not_get_into_the_plate(always):
    found, _ = mend(shaded(always=always), painted(room()))
    below = np.s_[64:]
    assert off(found, room())[below].max() <= 2
    assert off(found, room())[SPOT].max() <= 5


def test_alpha_of_the_mended_plate_tells_of_more_free_pixels():
    """Only the rim of the spot looks like the scene; round by round the rest does."""

    class Rim(White):
        def forward(self, src, bgr):
            out = super().forward(src, bgr)
            apart = (src - bgr).abs().amax(dim=1, keepdim=True) > 0.1
            inside = -nn.functional.max_pool2d(-apart.float(), 23, 1, 11)  # px from the rim
            return out._replace(pha=torch.maximum(out.pha, inside))

    matter = Predictor(Rim(), torch.device("cpu"), warn=pytest.fail)
    bgr = MemorySource(painted(room())[None], "plate.png", still=True)
    found = repaired_plate(MemorySource(walk(), "clip.mp4"), bgr, matter, warn=pytest.fail).find()
    assert off(found, room())[SPOT].max() <= 5


def test_a_plate_in_another_light_is_mended_in_its_own():
    darker = (0.8 * room()).round().astype(np.uint8)
    found, share = mend(walk(), painted(darker), match=True)
    assert off(found, 0.8 * room())[SPOT].max() <= 6
    assert share == pytest.approx(0.0375, rel=0.3)


def test_what_clips_in_brighter_frames_leaves_the_plate_alone():
    bright = (np.arange(256) * 1.8).clip(0, 255).astype(np.uint8)[walk()]
    found, share = mend(bright, room(), match=True)
    np.testing.assert_array_equal(found, room())
    assert share == 0
    matter = Predictor(White(), torch.device("cpu"), warn=pytest.fail)
    clip, bgr = MemorySource(bright, "clip.mp4"), MemorySource(room()[None], "p", still=True)
    source = repaired_plate(clip, bgr, matter, match=True, warn=pytest.fail)
    _, alphas = source._look(bright, range(len(bright)), room(), lambda done, total: None)
    clips = (bright.max(axis=3) > 250) & (bright.max(axis=3) < 255)
    assert clips.any() and (alphas[clips] == 255).all()


def test_what_some_moments_confirm_is_no_patch():
    seen = np.repeat((room() + 60)[None], COUNT, axis=0)
    for confirmed, patched in ((2, True), (3, False)):
        seen[:confirmed] = room()
        found = find_patches(
            room(), seen, np.zeros(seen.shape[:3], np.uint8), lambda done, total: None
        )
        assert found.patched.any() == patched and found.sure.all()


@pytest.mark.parametrize("mode", ["frame", "static"])
@pytest.mark.parametrize("shift", [(6, 4), (6.4, 4.4)])
def test_a_plate_that_was_moved_is_mended_in_its_own_place(mode, shift):
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], float)
    moved = cv2.warpAffine(room(), move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    found, _ = mend(walk(), painted(moved), align=mode)
    assert np.percentile(off(found, moved)[SPOT], 98) <= 12
    assert off(found, moved).max() < 40, "nor do edges take anything from outside of the frame"
    outside = np.s_[:, :6]  # which no frame shows
    np.testing.assert_array_equal(found[outside], moved[outside])


def test_both_are_resized_where_the_user_wants_it():
    size = HEIGHT // 2, WIDTH // 2
    found, share = mend(walk(), painted(room()), size=size)
    small = cv2.resize(room(), size[::-1], interpolation=cv2.INTER_AREA)
    assert found.shape == (*size, 3) and share > 0.02
    assert np.percentile(off(found, small), 99) < 12


def test_what_auto_had_to_fill_is_mended():
    """Legs that sway: each pixel is free now and then, and always next to one that is not."""
    room = np.random.default_rng(0).uniform(40, 150, (40, 160, 3)).astype(np.float32)
    room = cv2.resize(room, (640, 160)).round().astype(np.uint8)
    frames = np.repeat(room[None], 40, axis=0)
    columns = np.arange(200, 320)
    for number, frame in enumerate(frames):
        frame[30:130, columns[(columns + 5 * number) % 20 < 10]] = 232 + number % 5 * 5
    told: list[str] = []
    auto = AutoPlate(MemorySource(frames, "clip.mp4"), told.append)
    before = auto.find(tell=False)
    matter = Predictor(White(), torch.device("cpu"), warn=pytest.fail)
    source = repaired_plate(MemorySource(frames, "clip.mp4"), auto, matter, warn=pytest.fail)
    assert off(before, room).max() > 30 and off(source.find(), room).max() <= 10
    assert not told, "nothing is left to tell"
    auto.tell()
    assert len(told) == 1 and "--mend-plate" in told[0]
    left = np.zeros(auto.size, bool)
    left[:, :300] = True
    auto.tell(left)
    assert "retouch it" in told[1] and "--mend-plate" not in told[1]


@pytest.mark.cuda
def test_on_cuda_it_mends_as_on_the_cpu():
    matter = Predictor(White(), torch.device("cuda"), warn=pytest.fail)
    bgr = MemorySource(painted(room())[None], "plate.png", still=True)
    found = repaired_plate(MemorySource(walk(), "clip.mp4"), bgr, matter, warn=pytest.fail).find()
    np.testing.assert_array_equal(found, mend(walk(), painted(room()))[0])


def test_too_short_a_clip_is_told_and_mends_nothing():
    told: list[str] = []
    found, share = mend(walk()[:2], painted(room()), warn=told.append)
    np.testing.assert_array_equal(found, painted(room()))
    assert share == 0 and len(told) == 1 and "too short for --mend-plate" in told[0]


def test_it_can_be_stopped_between_frames():
    asked = 0

    def stop(stage: str, done: int, total: int | None) -> None:
        nonlocal asked
        asked += 1
        if asked == COUNT + 5:  # while the network is at work
            raise KeyboardInterrupt

    matter = Predictor(White(), torch.device("cpu"), warn=pytest.fail)
    bgr = MemorySource(room()[None], "plate.png", still=True)
    source = repaired_plate(MemorySource(walk(), "clip.mp4"), bgr, matter, warn=pytest.fail)
    with pytest.raises(KeyboardInterrupt):
        source.find(stop)


def test_a_patch_that_harms_as_much_as_it_helps_goes():
    plate, seen = room(), np.stack([room()] * 10)
    places = [np.s_[10:20, x : x + 10] for x in (10, 50, 90, 130)]
    patched = np.zeros((HEIGHT, WIDTH), bool)
    before, after = np.zeros((2, 10, HEIGHT, WIDTH), np.uint8)
    for place in places:
        patched[place] = True
        before[:, *place], after[:, *place] = 90, 10
    seen[:5, *places[1]] = 255  # the subject, which the patch makes a hole in
    after[5:, *places[1]] = 90
    after[5:, *places[2]] = 170  # in half of the frames it does harm
    after[:, *places[3]] = 90  # it changes nothing
    stays = helpful_patches(patched, plate, seen, before, after)
    assert [stays[place].all() for place in places] == [True, False, False, False]


def test_whoever_waits_is_told_of_every_stage(tmp_path):
    told: list[tuple[str, int, int | None]] = []
    clip = footage.make_clip(tmp_path / "clip.mp4", 6)
    flags = dict(video_src=clip, network=footage.KnownNetwork(), video_bgr="auto", mend_plate=True)
    matte_video(**flags, output_dir=tmp_path / "out", preparing=lambda *stage: told.append(stage))
    names = list(dict.fromkeys(stage for stage, _, _ in told))
    assert names[:3] == ["frames read for the plate"] + [
        f"rows of the plate, pass {n} of 2" for n in (1, 2)
    ]
    assert names[3:5] == [
        "frames read for the repair",
        "frames matted for the repair, look 1 of at most 3",
    ]
    for name in names:
        counts = [(done, total) for stage, done, total in told if stage == name]
        assert all(total is not None and 0 <= done <= total for done, total in counts)
        if "frames" in name:
            assert {done for done, _ in counts} == set(range(6)) and {x for _, x in counts} == {6}


def test_what_cannot_be_mended_is_refused_before_anything_is_written(tmp_path):
    clip = footage.make_clip(tmp_path / "clip.mp4", 4)
    flags = dict(video_src=clip, network=footage.KnownNetwork(), output_dir=tmp_path / "out")
    video = footage.make_clip(tmp_path / "plates.mp4", 4)
    with pytest.raises(UsageError, match=r"--mend-plate needs one plate .*plates\.mp4 has one"):
        matte_video(**flags, video_bgr=video, mend_plate=True)
    (tmp_path / "one").mkdir()
    footage.make_plate(tmp_path / "one/plate.png")
    matte_video(**flags, video_bgr=tmp_path / "one", mend_plate=True, preview_only=True)
    flags["output_dir"] = tmp_path / "other"
    square = footage.make_plate(tmp_path / "square.png", (60, 60))
    with pytest.raises(ValueError, match=r"another aspect ratio; crop the plate"):
        matte_video(**flags, video_bgr=square, mend_plate=True, preflight=False)
    assert not (tmp_path / "other").exists()


def write_walk(folder: Path) -> tuple[Path, Path]:
    """The frames of :func:`walk` as a folder of images, and the painted plate."""
    (folder / "frames").mkdir()
    for number, frame in enumerate(walk()):
        cv2.imwrite(str(folder / f"frames/{number:02d}.png"), frame[..., ::-1])
    cv2.imwrite(str(folder / "painted.png"), painted(room())[..., ::-1])
    return folder / "frames", folder / "painted.png"


def test_a_run_uses_the_mended_plate_saves_it_and_reports_it(tmp_path):
    src, bgr = write_walk(tmp_path)
    flags = dict(video_src=src, video_bgr=bgr, network=White(), output_format="image_sequences")
    alphas = {}
    for mends in (False, True):
        pha = MemoryWriter()
        matte_video(**flags, writers={"pha": pha}, mend_plate=mends, preflight=False)
        spot = np.asarray(pha.frames)[:, 0][:, *SPOT]
        alphas[mends] = np.isin(spot, (0, 255)).mean()
    assert alphas[False] < 0.4 and alphas[True] == 1, "it differs nowhere now"

    out = tmp_path / "out"
    result = matte_video(**flags, output_dir=out, mend_plate=True)
    assert off(cv2.imread(str(out / "plate.png"))[..., ::-1], room()).max() <= 5
    report = json.loads((out / "run.json").read_text())
    assert report["mending"] == result.mending
    assert result.mending["share"] == pytest.approx(0.0375, rel=0.3)
    assert result.mending["differing_after"] < 0.01 < result.mending["differing_before"]
    assert "plate.png" in [output["path"] for output in report["outputs"]]
    assert report["settings"]["mend_plate"] is True
    assert "without --mend-plate" in report["bottleneck"]["advice"]
    with pytest.raises(UsageError, match="--mend-plate is off, and was on in the earlier run"):
        matte_video(**flags, output_dir=out, resume=True)
    for path in sorted((out / "com").iterdir())[-2:]:
        path.unlink()
    again = matte_video(**flags, output_dir=out, mend_plate=True, resume=True)
    assert again.resumed == COUNT - 2 and len(list((out / "com").iterdir())) == COUNT
    (out / f"com/{COUNT - 1:02d}.png").unlink()
    (src / f"{COUNT - 1:02d}.png").write_bytes((src / "00.png").read_bytes())
    with pytest.raises(UsageError, match="has changed"):  # the plate is made from all frames
        matte_video(**flags, output_dir=out, mend_plate=True, resume=True)


def test_a_deep_plate_is_saved_as_deep_and_a_quick_look_mends_from_the_whole_clip(tmp_path):
    src, bgr = write_walk(tmp_path)
    deep = painted(room()).astype(np.uint16) * 257 + 99
    cv2.imwrite(str(bgr), deep[..., ::-1])
    out = tmp_path / "look"
    matte_video(
        video_src=src, video_bgr=bgr, network=White(), output_dir=out, mend_plate=True,
        preview_only=True,
    )  # fmt: skip
    saved = cv2.imread(str(out / "plate.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert saved.dtype == np.uint16 and off(saved, room()).max() <= 5
    np.testing.assert_array_equal(saved[:10], deep[:10])
