"""Plates for a camera that moves: one for each frame, out of a wide one."""

import json

import cv2
import numpy as np
import pytest
from footage import make_checkpoint
from runs import assert_error, report, run

from dataset import MediaError, MemorySource, open_source
from drawing.arrays import to_uint8
from drawing.travels import Travel, make_travel
from plate import AutoPlate, MovingPlate, WidePlate, diagnose, inspect_plate, open_plate
from plate.camera_path import CameraPath
from plate.diagnosis import camera_moves
from plate.layout import TooWideError, choose_frames, plan

SIZE, FRAMES = (180, 320), 20


@pytest.fixture(scope="module")
def travel() -> Travel:
    return make_travel(11, 2, "hand-held pan", "object", size=SIZE, frames=FRAMES)


def made(travel: Travel) -> MovingPlate:
    return MovingPlate(MemorySource(travel.frames, "clip"), pytest.fail)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """How far, in pixels, two homographies move the points of a frame apart, at most."""
    height, width = SIZE
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
    moved = [cv2.perspectiveTransform(corners, h) for h in (one, other)]
    return float(np.abs(moved[0] - moved[1]).max())


def test_each_frame_gets_its_own_plate_without_the_subject(travel):
    plates = [frame.image for frame in made(travel)]
    assert len(plates) == FRAMES
    for plate, truth in zip(plates, travel.plates, strict=True):
        difference = cv2.absdiff(plate, truth).max(axis=2)
        assert difference.mean() < 4 and (difference > 30).mean() < 0.01


def test_a_camera_is_followed_there_and_back(travel):
    there_and_back = np.concatenate([travel.frames, travel.frames[::-1]])
    path = CameraPath(SIZE)
    for frame in there_and_back:
        path.add(frame)
    truth = [*travel.homographies, *travel.homographies[::-1]]
    assert max(apart(*pair) for pair in zip(path.homographies, truth, strict=True)) < 1.5
    assert not path.lost


def test_the_frames_are_chosen_so_that_every_place_is_shown():
    slow = [np.array([[1, 0, -min(n, 10) * 30.0], [0, 1, 0], [0, 0, 1]]) for n in range(200)]
    chosen = choose_frames(slow, SIZE, 24)
    assert len(chosen) == 24 == len({*chosen}) and chosen == sorted(chosen)
    assert sum(n < 10 for n in chosen) >= 5  # a tenth of the frames shows half of the places


def test_a_camera_that_turns_too_far_is_told():
    turns = [cv2.Rodrigues(np.array([0, angle, 0]))[0] for angle in np.linspace(0, 3, 30)]
    lens = np.array([[320.0, 0, 160], [0, 320, 90], [0, 0, 1]])
    with pytest.raises(TooWideError):
        plan([lens @ turn @ np.linalg.inv(lens) for turn in turns], SIZE)


def test_auto_looks_whether_the_camera_moves(travel):
    still = MemorySource(np.repeat(travel.plates[:1], 12, axis=0), "still")
    assert isinstance(open_plate("auto", still, print), AutoPlate)
    assert isinstance(open_plate("auto", MemorySource(travel.frames, "clip"), print), MovingPlate)


@pytest.mark.parametrize("kind", ["person", "object"])
def test_a_zoom_is_a_camera_that_moves(kind):
    zoom = make_travel(11, 0, "zoom", kind, size=SIZE, frames=12)
    assert camera_moves(MemorySource(zoom.frames, "clip"))


def test_one_plate_for_a_camera_that_moves_is_told(travel):
    src = MemorySource(travel.frames, "clip")
    still = MemorySource(np.repeat(travel.plates[:1], 12, axis=0), "still")
    plate = MemorySource(travel.plates[:1], "plate.png", still=True)
    found = inspect_plate(src, plate, SIZE)
    assert found.verdict == "moving"
    assert "--video-bgr auto" in found.sentences(src, plate, SIZE)["moving"]
    assert inspect_plate(still, plate, SIZE).verdict == "good"


def save(folder, travel: Travel) -> None:
    (folder / "clip").mkdir()
    for n, frame in enumerate(travel.frames):
        cv2.imwrite(str(folder / "clip" / f"{n:05d}.png"), frame[..., ::-1])
    make_checkpoint(folder / "half.pth")


def test_a_run_keeps_the_wide_plate_and_another_one_takes_it(tmp_path, travel):
    save(tmp_path, travel)
    first = run(tmp_path, video_src="clip", video_bgr="auto")
    assert first.returncode == 0, first.stderr
    out = tmp_path / "out"
    assert {o["kind"] for o in report(out)["outputs"]} == {
        "com",
        "plate",
        "homographies",
        "preview",
    }
    wide = cv2.imread(str(out / "plate.png"))
    assert wide.shape[1] > 1.1 * SIZE[1]
    before = {path.name: path.read_bytes() for path in (out / "com").iterdir()}

    again = run(tmp_path, video_src="clip", video_bgr="out/plate.png", output_dir="again")
    assert again.returncode == 0, again.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "again" / "com").iterdir()} == before

    for number in range(12, FRAMES):
        (out / "com" / f"{number:05d}.png").unlink()
    resumed = run(tmp_path, "--resume", video_src="clip", video_bgr="auto")
    assert resumed.returncode == 0, resumed.stderr
    assert {path.name: path.read_bytes() for path in (out / "com").iterdir()} == before

    preview = run(tmp_path, "--preview-only", video_src="clip", video_bgr="auto", output_dir="look")
    assert preview.returncode == 0, preview.stderr
    assert (tmp_path / "look" / "plate.json").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"plate_size": [9, 9]}, "paint over it without changing its size"),
        ({"homographies": [[1, 2]]}, "is damaged"),
        ({"homographies": [["nan"] * 9]}, "is damaged"),
        ({"frame_size": None}, "is damaged"),
    ],
)
def test_damaged_homographies_are_told(tmp_path, change, told):
    image = to_uint8(np.zeros((*SIZE, 3)))
    cv2.imwrite(str(tmp_path / "plate.png"), image)
    text = WidePlate(image, [np.eye(3)], SIZE).to_json()
    (tmp_path / "plate.json").write_text(json.dumps({**json.loads(text), **change}))
    src = MemorySource(image[None], "clip")
    with pytest.raises(MediaError, match=told):
        open_plate(tmp_path / "plate.png", src, print)
    (tmp_path / "plate.json").write_text("{}")
    assert open_plate(tmp_path / "plate.png", src, print).still
    assert open_source(tmp_path / "plate.png", print).still


@pytest.mark.parametrize("motion", ["pan", "tilt", "hand-held"])
def test_a_look_at_a_plate_tells_a_camera_that_moves_from_one_that_was_moved(motion):
    clip = make_travel(11, 4, motion, "object", size=SIZE, frames=24)
    middle = clip.plates[12]
    some = [*clip.frames[::5]]
    assert diagnose(some, [middle]).verdict == "moving"
    still = make_travel(11, 4, "still", "object", size=SIZE, frames=24)
    bumped = cv2.warpAffine(still.plates[0], np.array([[1, 0, 4.0], [0, 1, 3.0]]), SIZE[::-1])
    assert diagnose([*still.frames[::5]], [bumped]).verdict == "camera"
    assert diagnose([*still.frames[::5]], [still.plates[0]]).verdict == "good"


def test_strict_stops_where_the_camera_moves(tmp_path, travel):
    save(tmp_path, travel)
    cv2.imwrite(str(tmp_path / "plate.png"), travel.plates[0][..., ::-1])
    done = run(tmp_path, "--strict", video_src="clip")
    assert_error(done, 1, "the camera moves in clip", "--video-bgr auto")
    assert not (tmp_path / "out").exists()
