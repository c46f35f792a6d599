"""Images of one view are told from those of others."""

import cv2
import numpy as np
import pytest

from dataset import MemorySource
from plate import diagnose
from plate.diagnosis import camera_moves, inspect_plate
from plate.in_place import group_views
from plate.steadiness import camera_move

SIZE = HEIGHT, WIDTH = 216, 384


def texture(
    seed: int, *, height: int = HEIGHT, width: int = WIDTH, sigma: float = 2.5, contrast: int = 140
) -> np.ndarray:
    """Spots (H, W, 3) of some pixels, around a level of 130."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 3)).astype(np.float32)
    low, high = 130 - contrast / 2, 130 + contrast / 2
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), sigma), None, low, high, cv2.NORM_MINMAX)


def shot(background: np.ndarray, subject: np.ndarray | None = None, left: int = 0) -> np.ndarray:
    """A noisy frame of a background, uint8, with a subject of full height at its lower edge."""
    frame = background.copy()
    if subject is not None:
        frame[-subject.shape[0] :, left : left + subject.shape[1]] = subject
    noise = np.random.default_rng(left).normal(0, 1.5, frame.shape)
    return (frame + noise).clip(0, 255).round().astype(np.uint8)


def shifted(image: np.ndarray, right: float) -> np.ndarray:
    move = np.array([[1.0, 0.0, right], [0.0, 1.0, 0.0]])
    return cv2.warpAffine(image, move, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def test_a_still_camera_shows_one_view_whatever_moves_before_it_in_any_light():
    wall, subject = texture(1), texture(2, width=WIDTH * 2 // 3)
    lights = (1.0, 0.7, 1.2)
    frames = [shot(light * wall, subject, 60 * n) for n, light in enumerate(lights)]
    assert group_views([shot(wall), *frames]) == [0] * 4


@pytest.mark.parametrize(("right", "is_same"), [(0.05, True), (0.7, False), (5.0, False)])
def test_a_camera_that_moved_shows_another_view(right, is_same):
    views = group_views([shot(texture(1)), shot(shifted(texture(1), right))])
    assert (views[0] == views[1]) == is_same


def test_what_stays_on_the_picture_shows_no_view():
    """Black bars, and a time code at the lower edge."""
    frames = [shot(shifted(texture(1), 7.0 * n)) for n in range(3)]
    barred, marked = ([frame.copy() for frame in frames] for _ in range(2))
    for bars, code in zip(barred, marked, strict=True):
        bars[:28] = bars[-28:] = 16
        code[180:212, 140:250] = 255 * (texture(7, height=32, width=110) > 130)
    assert group_views(barred) == group_views(marked) == [0, 1, 2]


def test_what_can_be_shifted_along_itself_shows_no_view():
    assert group_views([shot(stripes(48))] * 2) == [0, 1]
    assert group_views([np.full((*SIZE, 3), 90, np.uint8)] * 2) == [0, 1]


def test_a_large_subject_that_jumps_before_a_soft_wall_is_no_camera_that_moves():
    wall, subject = texture(1, sigma=9, contrast=50), texture(2, width=200)
    frames = [shot(wall, subject, 42 + 25 * n) for n in range(5)]
    assert not camera_moves(MemorySource(np.stack(frames), "clip"))
    moving = [shot(shifted(wall, 15.0 * n), subject, 42 + 25 * n) for n in range(5)]
    assert group_views(moving) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("right", "verdict"), [(0.0, "good"), (12.0, "camera")])
def test_a_plate_that_fits_all_frames_in_one_place_tells_of_a_still_camera(right, verdict):
    """Before so soft a wall, the frames alone look as if the camera went with the subject."""
    wall, subject = texture(1, sigma=14, contrast=80), texture(2, width=240)
    src = MemorySource(np.stack([shot(wall, subject, 22 + 25 * n) for n in range(5)]), "clip")
    plate = MemorySource(shot(shifted(wall, right))[None], "plate", still=True)
    found = inspect_plate(src, plate, SIZE)
    assert found.verdict == verdict and found.one_place


def stripes(period: int, down: int = 0) -> np.ndarray:
    rows = np.arange(HEIGHT)[:, None, None]
    return np.broadcast_to(130 + 60 * np.sin(2 * np.pi * (rows + down) / period), (*SIZE, 3))


def test_stripes_that_stay_where_they_are_speak_against_a_move_along_them():
    subject = texture(1, width=240)
    before, after = (shot(stripes(48), subject, left) for left in (64, 84))
    assert camera_move([before], [after]) == 0


def test_a_plate_that_slides_along_stripes_is_not_taken_for_a_camera_that_moves():
    """The camera moved down between plate and clip: how far to the right, nothing tells."""
    wall, other = stripes(36), stripes(36, down=8)
    subject = texture(4, height=156, width=110)
    frames = [shot(wall, subject, 40 + 50 * n) for n in range(5)]
    assert diagnose(frames, [shot(other)]).verdict == "camera"
