"""Plates out of another clip, and plates that cover only a part of the clip."""

import cv2
import numpy as np
import pytest
from footage import KnownNetwork
from runs import report

from dataset import MediaError, MemorySource, ShapeError, open_source
from drawing.travels import Travel, make_travel
from inference_video import UsageError, matte_video
from plate import AutoPlate, MovingPlate, covers_a_part, open_plate
from plate.names import auto_clip, is_auto, plate_file

SIZE, FRAMES = (180, 320), 20
CUT = slice(9, 14)


@pytest.fixture(scope="module")
def travel() -> Travel:
    return make_travel(11, 2, "hand-held pan", "object", size=SIZE, frames=FRAMES)


def save(folder, name: str, frames: np.ndarray) -> None:
    (folder / name).mkdir()
    for n, frame in enumerate(frames):
        cv2.imwrite(str(folder / name / f"{n:05d}.png"), frame[..., ::-1])


def matte(folder, video_bgr: str, **flags):
    return matte_video(
        video_src=flags.pop("video_src", folder / "cut"),
        video_bgr=video_bgr,
        output_dir=folder / "out",
        output_format="image_sequences",
        network=KnownNetwork(),
        device="cpu",
        **flags,
    )


def assert_alike(plates, truth: np.ndarray) -> None:
    plates = list(plates)
    assert len(plates) == len(truth)
    for plate, true in zip(plates, truth, strict=True):
        difference = cv2.absdiff(plate, true).max(axis=2)
        assert difference.mean() < 5 and (difference > 30).mean() < 0.02


def test_names():
    assert is_auto("auto:shot.mp4") and is_auto("auto") and not is_auto("autos")
    assert str(auto_clip("auto:a/shot.mp4")) == str(plate_file("auto:a/shot.mp4")) == "a/shot.mp4"
    assert auto_clip("auto") is None and plate_file("auto") is None


def test_a_cut_takes_its_plate_from_the_whole_clip(tmp_path):
    """In the cut, the subject stays; in the whole clip, it walks through."""
    rng = np.random.default_rng(2)
    wall = cv2.resize(rng.integers(30, 220, (9, 16, 3), np.uint8), SIZE[::-1])
    whole = np.repeat(wall[None], 16, axis=0)
    for n, frame in enumerate(whole):
        left = 20 + 16 * min(n, 6) + 16 * max(0, n - 10)
        frame[60:, left : left + 40] = (200, 10, 30)
    save(tmp_path, "cut", whole[6:11])
    save(tmp_path, "whole", whole)
    result = matte(tmp_path, f"auto:{tmp_path / 'whole'}")
    plate = cv2.imread(str(tmp_path / "out/plate.png"))[..., ::-1]
    assert cv2.absdiff(np.ascontiguousarray(plate), wall).max() <= 8
    assert result.frames == 5 and not (tmp_path / "out/plate.json").exists()
    matte(tmp_path, f"auto:{tmp_path / 'whole'}", resume=True)
    (tmp_path / "whole/00099.png").write_bytes((tmp_path / "whole/00001.png").read_bytes())
    with pytest.raises(UsageError, match="has changed since the earlier run"):
        matte(tmp_path, f"auto:{tmp_path / 'whole'}", resume=True)


def test_a_camera_that_moves_is_found_in_the_other_clip(travel):
    whole = MemorySource(travel.frames, "whole")
    cut = MemorySource(travel.frames[CUT], "cut")
    plate = MovingPlate(whole, pytest.fail, frames_of=cut)
    assert_alike((frame.image for frame in plate), travel.plates[CUT])
    assert plate.length_hint == len(travel.frames[CUT])


def test_a_run_keeps_such_a_plate(tmp_path, travel):
    save(tmp_path, "cut", travel.frames[CUT])
    save(tmp_path, "whole", travel.frames)
    matte(tmp_path, f"auto:{tmp_path / 'whole'}")
    src = open_source(tmp_path / "cut", pytest.fail, hold=False)
    kept = open_plate(tmp_path / "out/plate.png", src, pytest.fail)
    assert_alike((frame.image for frame in kept), travel.plates[CUT])


def test_another_place_is_refused(travel):
    other = make_travel(12, 3, "pan", "object", size=SIZE, frames=6)
    plate = MovingPlate(
        MemorySource(travel.frames, "whole"), print, frames_of=MemorySource(other.frames, "cut")
    )
    with pytest.raises(MediaError, match="cut: its first frame shows nothing of whole"):
        plate.find()


def test_other_clips_that_cannot_be_used_are_refused(tmp_path, travel):
    src = MemorySource(travel.frames, "cut")
    with pytest.raises(MediaError, match=r"gone\.mp4: not found"):
        open_plate("auto:gone.mp4", src, print)
    save(tmp_path, "narrow", travel.frames[:, :, :200])
    with pytest.raises(ShapeError, match="narrow: the clip is 200x180"):
        open_plate(f"auto:{tmp_path / 'narrow'}", src, print)


def test_auto_of_the_clip_itself_is_auto(tmp_path, travel):
    save(tmp_path, "cut", np.repeat(travel.plates[:1], 4, axis=0))
    src = open_source(tmp_path / "cut", pytest.fail, hold=False)
    assert isinstance(open_plate(f"auto:{tmp_path / 'cut'}", src, print), AutoPlate)


@pytest.mark.parametrize("light", [1.0, 0.85])
def test_a_plate_that_covers_a_part_is_completed_from_the_clip(travel, light):
    told: list[str] = []
    photo = np.rint(travel.plates[0] * light).astype(np.uint8)
    src = MemorySource(travel.frames, "clip")
    assert covers_a_part(src, MemorySource(photo[None], "photo", still=True))
    plate = MovingPlate(src, told.append, part=(photo, "photo.png"))
    assert_alike((frame.image for frame in plate), travel.plates)
    assert len(told) == 1 and told[0].startswith("photo.png: shows ")
    assert "the clip fills the rest" in told[0]


def test_what_the_plate_shows_stays(travel):
    photo = travel.plates[0].copy()
    photo[60:100, 100:160] = (255, 0, 200)
    plate = MovingPlate(MemorySource(travel.frames, "clip"), print, part=(photo, "photo.png"))
    first = next(iter(plate)).image
    assert np.abs(first[64:96, 104:156].astype(int) - (255, 0, 200)).mean() < 6


def test_the_program_completes_a_plate_that_is_aligned(tmp_path, travel):
    save(tmp_path, "cut", travel.frames)
    cv2.imwrite(str(tmp_path / "photo.png"), travel.plates[0][..., ::-1])
    result = matte(tmp_path, tmp_path / "photo.png", preprocess_alignment=True)
    assert sum("the clip fills the rest" in text for text in result.warnings) == 1
    found = report(tmp_path / "out")
    assert found["alignment"] is None and (tmp_path / "out/plate.json").exists()
    assert found["preflight"]["verdict"] == "moving"


def test_a_plate_that_covers_all_is_left_alone(travel):
    still = np.repeat(travel.frames[:1], 8, axis=0)
    bgr = MemorySource(travel.plates[:1], "photo", still=True)
    assert not covers_a_part(MemorySource(still, "clip"), bgr)
    hand = make_travel(11, 2, "hand-held", "object", size=SIZE, frames=12)
    whole = MemorySource(hand.plates[:1], "photo", still=True)
    assert not covers_a_part(MemorySource(hand.frames, "clip"), whole)


def test_a_plate_of_another_place_is_told(travel):
    told: list[str] = []
    other = make_travel(12, 3, "pan", "object", size=SIZE, frames=2).plates[0]
    plate = MovingPlate(MemorySource(travel.frames, "clip"), told.append, part=(other, "photo.png"))
    assert_alike((frame.image for frame in plate), travel.plates)
    assert any("photo.png: shows nothing of the clip" in text for text in told)
