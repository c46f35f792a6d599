"""Samples as tensors in the size that a training step asks for."""

import numpy as np
import pytest
import torch

from drawing.capture import Sample
from training.data import Samples, resized, shrunk


def test_a_shrunk_sample_is_its_own_compositing() -> None:
    rng = np.random.default_rng(1)
    pha, fgr = rng.random((12, 20), np.float32), rng.random((12, 20, 3), np.float32)
    pha[:6, :6] = 0
    bgr = np.full_like(fgr, 0.3)
    src = pha[..., None] * fgr + (1 - pha[..., None]) * bgr
    small = shrunk(Sample(src, bgr, pha, fgr, clean=True), 2)
    assert small.src.shape == (6, 10, 3) and small.pha[0, 0] == 0
    covered = small.pha[..., None]
    np.testing.assert_allclose(small.src, covered * small.fgr + (1 - covered) * 0.3, atol=1e-5)
    np.testing.assert_allclose(small.pha[5, 9], pha[10:, 18:].mean(), atol=1e-6)


def test_samples_drawn_larger_come_in_the_asked_size() -> None:
    drawn = Samples(7, batch=1, first=0, last=2, size=(32, 48), crop=1.5, shrink=2)[1]
    assert {name: x.shape[1:] for name, x in drawn.items()} == dict.fromkeys(drawn, (32, 48))
    whole = Samples(7, batch=1, first=0, last=2, size=(96, 144))[1]["src"].float()
    once = Samples(7, batch=1, first=0, last=2, size=(48, 72), shrink=2)[1]["src"].float()
    assert (torch.nn.functional.avg_pool2d(whole, 2) - once).abs().max() <= 1


def test_what_is_beyond_the_subject_does_not_darken_its_colours() -> None:
    pha = torch.zeros(1, 1, 8, 16)
    pha[..., :6] = 1  # the edge halves the second group of four
    fgr = torch.full((1, 3, 8, 16), 0.8) * (pha > 0)
    small = resized({"pha": pha, "fgr": fgr}, (2, 4))
    assert small["pha"][0, 0, 0].tolist() == pytest.approx([1, 0.5, 0, 0])
    assert small["fgr"][0, 0, 0].tolist() == pytest.approx([0.8, 0.8, 0, 0])
    assert torch.equal(resized({"pha": pha, "fgr": fgr}, pha.shape[2:])["fgr"], fgr)
