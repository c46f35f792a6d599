"""The clips and plates on which the ways to mend a plate are measured."""

import cv2
import numpy as np
import pytest
import torch

from model import BaseOutput, Predictor
from training.plates import (
    FAULTS,
    MENDINGS,
    SEED,
    Fault,
    darker,
    last_alpha,
    levels,
    make_shot,
    middle,
    table,
    warmer,
)

SIZE = (120, 200)


def test_a_shot_is_the_scene_where_there_is_no_subject():
    shot = make_shot(0, *SIZE, frames=3)
    assert shot.frames.shape == (3, *SIZE, 3) and shot.pha.shape == (3, *SIZE)
    assert all((pha > 0.9).any() for pha in shot.pha)
    empty = levels(middle(shot.place, *SIZE))
    for frame, pha in zip(shot.frames, shot.pha, strict=True):
        assert np.abs(frame.astype(int) - empty)[pha == 0].mean() < 2
    again = make_shot(0, *SIZE, frames=3)
    np.testing.assert_array_equal(shot.frames, again.frames)
    assert SEED != 2_000_000_011, "nor is it the validation's"


@pytest.mark.parametrize("name", ["right", "8 px off", "turned by 3 degrees"])
def test_a_moved_plate_laid_back_is_the_right_one_where_it_covers(name):
    shot = make_shot(1, *SIZE, frames=2)
    fault = FAULTS[name]
    back = np.linalg.inv(fault._motion(SIZE[::-1]))
    laid = cv2.warpPerspective(fault.plate(shot), back, SIZE[::-1])
    covered = fault.covered(*SIZE)
    off = np.abs(laid.astype(int) - Fault().plate(shot))[covered]
    assert off.mean() < 3 and (name == "right") == covered.all()


def test_spots_are_painted_over_where_the_subject_is():
    shot = make_shot(1, *SIZE, frames=2)
    changed = (Fault(spots=3).plate(shot) != Fault().plate(shot)).any(axis=2)
    assert 0.002 < changed.mean() < 0.5
    near = cv2.dilate((shot.pha[-1] > 0.5).astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
    assert changed[near].mean() > changed[~near].mean()


def test_light():
    grey = np.full((1, 1, 3), 0.5, np.float32)
    assert darker(0.4)(grey)[0, 0] == pytest.approx([0.3] * 3)
    red, green, blue = warmer(800)(grey)[0, 0]
    assert 0.5 < red < 0.56 and 0.48 < green < 0.52 and 0.44 < blue < 0.49
    assert warmer(0)(grey)[0, 0] == pytest.approx([0.5] * 3, abs=1e-3)


class Difference(torch.nn.Module):
    """Alpha is how far apart frame and plate are."""

    def forward(self, src, bgr):
        apart = (src - bgr).abs().mean(1, keepdim=True)
        return BaseOutput(apart, src, apart, src)


def test_every_way_to_mend_is_one_that_the_loader_knows():
    shot = make_shot(0, *SIZE, frames=5)
    matter = Predictor(Difference(), torch.device("cpu"), warn=pytest.fail)
    plate = Fault(light=darker(0.2)).plate(shot)
    empty = shot.pha[-1] == 0
    found = {
        name: last_alpha(matter, shot, plate, way)[empty].mean() for name, way in MENDINGS.items()
    }
    for way in ("`--match-plate`", "`--mend-plate`"):
        assert found[way] < 0.5 * found["as it is"]


def test_the_table_is_markdown():
    figures = {fault: dict.fromkeys(MENDINGS, 1.25) for fault in FAULTS}
    lines = table(figures).splitlines()
    assert len(lines) == 2 + len(FAULTS) and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| right | 1.2 |")
