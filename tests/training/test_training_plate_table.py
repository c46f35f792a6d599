"""The table of errors that wrong plates cause."""

import pytest
import torch

from drawing.plates import PLATE_FAULTS, PlateFault, darker, make_clip
from model import BaseOutput, Predictor
from training.plate_table import MENDINGS, last_alpha, table


class Difference(torch.nn.Module):
    """Alpha is how far apart frame and plate are."""

    def forward(self, src, bgr):
        apart = (src - bgr).abs().mean(1, keepdim=True)
        return BaseOutput(apart, src, apart, src)


def test_every_way_to_mend_is_one_that_the_loader_knows():
    clip = make_clip(0, 120, 200, frames=5)
    predictor = Predictor(Difference(), torch.device("cpu"), warn=pytest.fail)
    plate = PlateFault(light=darker(0.2)).plate(clip)
    empty = clip.pha[-1] == 0
    found = {
        name: last_alpha(predictor, clip, plate, way)[empty].mean()
        for name, way in MENDINGS.items()
    }
    for way in ("`--match-plate`", "`--mend-plate`"):
        assert found[way] < 0.5 * found["as it is"]


def test_the_table_is_markdown():
    figures = {fault: dict.fromkeys(MENDINGS, 1.25) for fault in PLATE_FAULTS}
    lines = table(figures).splitlines()
    assert len(lines) == 2 + len(PLATE_FAULTS) and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| right | 1.2 |")
