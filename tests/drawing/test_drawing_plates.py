"""Drawn clips with plates that are wrong by a known amount."""

import cv2
import numpy as np
import pytest

from drawing.arrays import to_uint8
from drawing.plates import PLATE_FAULTS, SEED, PlateFault, darker, make_clip, middle, warmer

SIZE = (120, 200)


def test_a_clip_shows_the_scene_where_there_is_no_subject():
    clip = make_clip(0, *SIZE, frames=3)
    assert clip.frames.shape == (3, *SIZE, 3) and clip.pha.shape == (3, *SIZE)
    assert all((pha > 0.9).any() for pha in clip.pha)
    empty = to_uint8(middle(clip.background, *SIZE))
    for frame, pha in zip(clip.frames, clip.pha, strict=True):
        assert np.abs(frame.astype(int) - empty)[pha == 0].mean() < 2
    again = make_clip(0, *SIZE, frames=3)
    np.testing.assert_array_equal(clip.frames, again.frames)
    assert SEED != 2_000_000_011, "not the seed of the validation samples"


@pytest.mark.parametrize("name", ["right", "8 px off", "turned by 3 degrees"])
def test_a_moved_plate_aligns_with_the_right_one_where_it_covers(name):
    clip = make_clip(1, *SIZE, frames=2)
    fault = PLATE_FAULTS[name]
    back = np.linalg.inv(fault._motion(SIZE[::-1]))
    laid = cv2.warpPerspective(fault.plate(clip), back, SIZE[::-1])
    covered = fault.covered(*SIZE)
    off = np.abs(laid.astype(int) - PlateFault().plate(clip))[covered]
    assert off.mean() < 3 and (name == "right") == covered.all()


def test_spots_are_painted_over_where_the_subject_is():
    clip = make_clip(1, *SIZE, frames=2)
    changed = (PlateFault(spots=3).plate(clip) != PlateFault().plate(clip)).any(axis=2)
    assert 0.002 < changed.mean() < 0.5
    near = cv2.dilate((clip.pha[-1] > 0.5).astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
    assert changed[near].mean() > changed[~near].mean()


def test_light():
    grey = np.full((1, 1, 3), 0.5, np.float32)
    assert darker(0.4)(grey)[0, 0] == pytest.approx([0.3] * 3)
    red, green, blue = warmer(800)(grey)[0, 0]
    assert 0.5 < red < 0.56 and 0.48 < green < 0.52 and 0.44 < blue < 0.49
    assert warmer(0)(grey)[0, 0] == pytest.approx([0.5] * 3, abs=1e-3)
