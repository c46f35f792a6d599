"""Somebody in the plate is found in another light, too."""

import cv2
import numpy as np

from plate import diagnose

SIZE = (240, 380)


def scene() -> np.ndarray:
    """An empty scene (H, W, 3), float32, with structure."""
    noise = np.random.default_rng(3).uniform(40, 200, (24, 38, 3)).astype(np.float32)
    return cv2.resize(noise, SIZE[::-1]).clip(0, 255)


def test_somebody_in_a_darker_plate_is_found():
    random = np.random.default_rng(0)
    frames = []
    for number in range(5):
        frame = scene()
        frame[60:200, 20 + 60 * number : 80 + 60 * number] = (30, 60, 220)
        frames.append((frame + random.normal(0, 1, frame.shape)).clip(0, 255).astype(np.uint8))
    plate = scene()
    plate[40:200, 150:230] = (230, 200, 40)
    found = diagnose(frames, [(0.7 * plate).clip(0, 255).astype(np.uint8)])
    assert found.faults == ["exposure", "subject"]
    assert found.ghost is not None and np.allclose(found.ghost.where, (0.5, 0.5), atol=0.03)
    assert diagnose(frames, [(0.7 * scene()).astype(np.uint8)]).faults == ["exposure"]


def test_a_border_of_the_plate_is_nobody():
    frames = [scene().astype(np.uint8)] * 5
    plate = scene()
    plate[:2] = plate[-2:] = plate[:, :2] = plate[:, -2:] = 0  # as some cameras write it
    assert diagnose(frames, [plate.astype(np.uint8)]).faults == []
