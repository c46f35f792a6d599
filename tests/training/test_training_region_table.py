"""The table of what a region of interest costs and gains."""

import numpy as np
import pytest

from drawing.events import EVENTS, make_event
from training.region_table import WAYS, Figures, lost_parts, table


@pytest.fixture
def true() -> np.ndarray:
    """Alpha of two things, of 1 % and of 0.04 % of the frame."""
    pha = np.zeros((100, 100), np.float32)
    pha[10:20, 10:20] = 1
    pha[60:62, 60:62] = 1
    return pha


def test_a_part_is_lost_if_another_matte_has_it(true):
    nothing, half = np.zeros_like(true), 0.5 * true
    assert lost_parts(true, true, true) == 0
    assert lost_parts(true, true, nothing) == 1, "the small one is no part"
    assert lost_parts(true, nothing, nothing) == 0
    assert lost_parts(true, true, half) == 0
    assert lost_parts(true, true, 0.4 * true) == 1
    beside = np.roll(true, 40, axis=1)
    assert lost_parts(true, true, beside) == 1


def test_the_table_is_markdown():
    row = Figures([1.25], [0.5], [2.0], [], [0.1], 0, 0.25, {"0.5": 1})
    lines = table({"one": dict.fromkeys(WAYS, row)}).splitlines()
    assert len(lines) == 2 + len(WAYS) and len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| one (1) | full 0.25 | 1.25 | 0.50 | 2.00 |  | 100 | 0.25 | 0 |"


@pytest.mark.parametrize("event", EVENTS)
def test_something_happens_in_each_clip(event):
    frames = list(make_event(event, 0, (90, 160), frames=3))
    assert len(frames) == 3 and all(frame.src.shape == (90, 160, 3) for frame in frames)
    assert frames[-1].pha.max() > 60 and np.mean(frames[-1].pha) < 100
    assert (frames[0].pha != frames[-1].pha).any()
    empty = (frames[-1].pha == 0)[..., None]
    apart = np.abs(frames[-1].src.astype(int) - frames[-1].bgr)
    assert np.where(empty, apart, 0).max() < 20, "only noise where alpha is 0"
