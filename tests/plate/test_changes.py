"""What differs between a frame and its plate, beyond noise and light."""

import cv2
import numpy as np
import pytest

from plate import find_changes


@pytest.fixture
def plate() -> np.ndarray:
    """A scene with soft and hard edges, (72, 128, 3), float32 in levels."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(40, 200, (5, 8, 3)).astype(np.float32)
    scene = cv2.resize(coarse, (128, 72), interpolation=cv2.INTER_CUBIC)
    scene[40:, 60:70] = 60
    return scene


def noisy(image: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(4)
    return (image + rng.normal(0, sigma, image.shape)).clip(0, 255).astype(np.float32)


def test_noise_and_light_are_no_changes(plate):
    for frame in (noisy(plate), noisy(plate, 2), noisy(0.8 * plate), noisy(plate * [1.1, 1, 0.9])):
        found = find_changes(frame, plate)
        assert found.some.mean() < 0.01 and not found.strong.any()


def test_a_thing_of_any_size_is_one(plate):
    for height, width in ((1, 2), (2, 2), (20, 1), (20, 30)):
        frame = noisy(plate)
        frame[10 : 10 + height, 20 : 20 + width] += 60
        found = find_changes(frame, plate)
        assert found.strong[10 : 10 + height, 20 : 20 + width].any()
        assert (found.some & found.strong)[10 : 10 + height, 20 : 20 + width].any()


def test_a_faint_thing_is_one_but_not_beyond_doubt(plate):
    frame = noisy(plate)
    frame[10:40, 20:50] += 15
    found = find_changes(frame, plate)
    assert found.some[10:40, 20:50].mean() > 0.95 and not found.strong.any()


def test_edges_of_a_plate_that_lies_a_little_off_are_not_beyond_doubt(plate):
    move = np.array([[1, 0, 0.4], [0, 1, 0.3]])
    frame = cv2.warpAffine(plate, move, (128, 72), borderMode=cv2.BORDER_REPLICATE)
    found = find_changes(noisy(frame), plate)
    assert found.some.any() and not found.strong.any()


def test_a_frame_of_another_place_is_changed_in_most_places(plate):
    found = find_changes(noisy(plate[::-1].copy()), plate)
    assert found.some.mean() > 0.5
