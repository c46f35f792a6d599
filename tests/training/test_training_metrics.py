"""The metrics against hand-computed values."""

import numpy as np
import pytest

from training.baselines import best_threshold, difference, key
from training.metrics import conn, dtssd, grad, mad, mse, sad, stipple


def test_absolute_and_squared_errors() -> None:
    true = np.zeros((2, 5))
    pha = true.copy()
    pha[0, 0], pha[1, 1] = 0.5, 1.0
    assert mad(pha, true) == pytest.approx(150)  # 1.5 over ten pixels
    assert mse(pha, true) == pytest.approx(125)  # (0.25 + 1) over ten pixels
    assert sad(pha, true) == pytest.approx(0.0015)


def test_metrics_of_the_truth_are_zero() -> None:
    true = np.random.default_rng(0).random((40, 30))
    assert [metric(true, true) for metric in (mad, mse, sad, grad, conn)] == [0] * 5


def test_grad_of_a_ramp() -> None:
    # Where alpha grows by 0.01 per pixel, the derivative filter gives 0.01 * sum(t * t * g(t)) /
    # |t g| across, times sum(g) / |g| down. Against a constant, each pixel's error is its square.
    sigma = 1.4
    t = np.arange(-4, 5)
    g = np.exp(-(t**2) / (2 * sigma**2))
    answer = 0.01 * (t * t * g).sum() / np.linalg.norm(t * g) * g.sum() / np.linalg.norm(g)
    ramp = np.tile(0.01 * np.arange(60), (60, 1))
    inner = grad(ramp, np.zeros_like(ramp)) - grad(ramp[:, :20], np.zeros((60, 20)))
    assert inner == pytest.approx(60 * 40 * answer**2 / 1000, rel=1e-6)


def test_conn_counts_what_is_not_connected() -> None:
    true = np.zeros((10, 10))
    true[:, :3] = 1
    pha = true.copy()
    pha[5, 8] = 0.8  # an island: level 0 in both, so phi is 0.2 against 1
    assert conn(pha, true) == pytest.approx(0.8 / 1000)
    pha[5, 8] = 0.1  # less than 0.15 does not count
    assert conn(pha, true) == 0


def test_conn_of_a_hole() -> None:
    true = np.ones((10, 10))
    pha = true.copy()
    pha[4, 4] = 0.5  # level 0.5 in both: phi is 1 against 1 - 0.5
    assert conn(pha, true) == pytest.approx(0.5 / 1000)


def test_dtssd() -> None:
    true = np.zeros((3, 2, 2))
    pha = true.copy()
    pha[1, 0, 0] = 1  # one pixel of four flashes: sqrt(1/4) up, sqrt(1/4) down
    assert dtssd(pha, true) == pytest.approx(50)
    assert dtssd(true + 0.3, true) == 0
    with pytest.raises(ValueError, match="1 frames"):
        dtssd(true[:1], true[:1])


def test_stipple_counts_single_pixels_near_edges() -> None:
    true = np.zeros((60, 60), np.float32)
    true[:, 30:] = 1
    assert stipple(true) == 0, "an edge does not stand out"
    pha = true.copy()
    pha[10:50:10, 25] = 0.5  # four of 60 rows of 20 pixels
    pha[30, 5] = 0.5  # far from the edge
    assert stipple(pha) == stipple(pha, true) == pytest.approx(100 * 4 / (60 * 20))
    pha[20, 25] = 0.19
    assert stipple(pha) == pytest.approx(100 * 3 / (60 * 20))
    assert stipple(np.full((20, 20), 0.3)) == 0, "there is no edge"


def test_what_truly_stands_out_is_no_stipple() -> None:
    true = np.zeros((60, 60), np.float32)
    true[:, 30:] = 1
    true[10:50:10, 25] = 1
    assert stipple(true) > 0 and stipple(true, true) == 0
    assert stipple(1 - true, true) == pytest.approx(2 * stipple(true) / 2)


def test_difference_key_at_its_best_threshold() -> None:
    bgr = np.full((8, 8, 3), 100, np.uint8)
    src, pha = bgr.copy(), np.zeros((8, 8), np.uint8)
    src[:, :4, 1] = 103  # drift
    src[:4, 4:, 2], pha[:4, 4:] = 90, 255
    apart = difference(src, bgr)
    assert apart[0, 0] == 3 and apart[0, 5] == 10
    threshold = best_threshold([apart], [pha])
    assert threshold == 3
    np.testing.assert_array_equal(key(apart, threshold) * 255, pha)
