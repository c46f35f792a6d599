"""Plates of clips whose scene is plain: the subject must not be taken for it."""

from contextlib import nullcontext
from fractions import Fraction

import cv2
import numpy as np
import pytest

from dataset import MemorySource
from pipeline import PairLoader
from pipeline.inputs import Inputs
from pipeline.result import MattingResult
from pipeline.saved_plate import prepare_plate
from pipeline.settings import Settings
from plate import MovingPlate, PlateError
from plate.camera_path import CameraPath
from plate.layers import scene_colours
from plate.marks import UNKNOWN
from plate.mosaic import make_mosaic
from plate.stages import watch_nothing

SIZE, FRAMES = (108, 192), 10


def noise(seed: int, shape: tuple[int, ...], level: float) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def wall(seed: int, rise: float) -> np.ndarray:
    """A wall (216, 384, 3), float32, of soft shades that differ by about ``rise`` levels."""
    small = np.random.default_rng(seed).uniform(-1, 1, (3, 4, 1)).astype(np.float32)
    shades = cv2.resize(small, (384, 216), interpolation=cv2.INTER_CUBIC)[..., None]
    return 150 + rise * np.repeat(shades, 3, axis=2)


def test_the_camera_is_told_from_a_patterned_subject_before_a_bare_wall():
    scene = wall(1, 25)
    shirt = cv2.resize(noise(2, (9, 8, 3), 60), (40, 80), interpolation=cv2.INTER_NEAREST)
    path = CameraPath(SIZE)
    for n in range(FRAMES):
        frame = scene[50:158, 60 + 3 * n : 252 + 3 * n] + noise(n, (*SIZE, 3), 1.5)
        left = max(0, 140 - 8 * n)
        frame[20:100, left : left + 40] = 120 + shirt[:, : 192 - left]
        path.add(np.rint(frame.clip(0, 255)).astype(np.uint8))
    for n, found in enumerate(path.homographies):
        middle = found @ [96, 54, 1]
        assert np.abs(middle[:2] / middle[2] - [96 - 3 * n, 54]).max() < 2.5


def passing_by() -> tuple[np.ndarray, np.ndarray]:
    """A scene (54, 96, 3), and frames in which something plain covers places most of the time."""
    scene = np.rint(wall(3, 10)).astype(np.uint8)[:54, :96]
    frames = np.repeat(scene[None], 20, axis=0)
    for n, frame in enumerate(frames):
        cv2.ellipse(frame, (20 + 3 * n, 25), (22, 15), 0, 0, 360, (60, 120, 90), -1)
    return scene, frames


def test_the_wide_plate_has_the_scene_where_something_covers_it_most_of_the_time():
    scene, frames = passing_by()
    mosaic = make_mosaic(frames, [np.eye(3)] * 20, np.eye(3), scene.shape[:2], lambda *_: None)
    assert cv2.absdiff(mosaic.image, scene)[mosaic.seen].max() <= 8


def test_a_plain_subject_that_covers_a_place_most_of_the_time_is_not_the_scene():
    scene, frames = passing_by()
    marks = np.full(frames.shape[:3], UNKNOWN, np.uint8)
    colours, changed, shows = scene_colours(frames, marks, [np.eye(3)] * 20, (54, 96))
    expected = cv2.resize(scene, colours.shape[1::-1], interpolation=cv2.INTER_AREA)
    inner = np.s_[2:-2, 2:-2]
    assert changed.mean() > 0.05  # the mode is wrong there
    assert cv2.absdiff(colours, expected)[inner].max() <= 8
    assert not shows[10, 25, 50] and shows[0, 25, 80]


@pytest.mark.parametrize("strict", [False, True])
def test_a_camera_that_cannot_be_followed_is_told_and_ends_a_strict_run(strict):
    frames = np.random.default_rng(4).integers(0, 255, (8, 54, 96, 3), np.uint8)
    result = MattingResult()
    src = MemorySource(frames, "snow")
    plate = MovingPlate(src, result.warn)
    inputs = Inputs(src, plate, None, src.size, Fraction(25))
    settings = Settings(video_src="snow", video_bgr="auto", output_dir="out", strict=strict)
    ends = pytest.raises(PlateError, match="no path of the camera") if strict else nullcontext()
    with ends, PairLoader(src, plate, warn=result.warn) as loader:
        prepare_plate(settings, inputs, loader, None, result, watch_nothing)
    assert plate.failed in result.warnings
