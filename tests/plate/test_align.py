"""Laying the plate over the frame."""

import cv2
import numpy as np
import pytest
import torch
from footage import deepened

from dataset import FlatColour, Frame, FrameSource
from pipeline import PairLoader
from plate import PlateAligner
from plate.align import _warp_by_kornia, _warp_by_opencv, uncovered_share, warp_plates

HEIGHT, WIDTH = 360, 640


def scene(seed: int = 0) -> np.ndarray:
    """A textured picture (H, W, 3)."""
    random = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells in (8, 24, 72):
        noise = random.random((cells, cells * 2, 3), np.float32)
        picture += cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return (picture * 85).clip(0, 255).astype(np.uint8)


def moved(picture: np.ndarray, shift=(9.0, -6.0), degrees=1.5, scale=1.01):
    """The picture as seen by a moved camera, and the matrix that says how."""
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, scale)
    matrix[:, 2] += shift
    matrix = np.vstack([matrix, [0, 0, 1]])
    return cv2.warpPerspective(
        picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT
    ), matrix


def with_subject(picture: np.ndarray, share: float = 0.4) -> np.ndarray:
    """A textured subject before the picture, which is not in the plate."""
    subject = picture.copy()
    left = int(WIDTH * (0.5 - share / 2))
    subject[40:, left : left + int(WIDTH * share)] = scene(99)[40:, : int(WIDTH * share)]
    return subject


def displacement(found: np.ndarray, truth: np.ndarray) -> float:
    """How far apart, in pixels, the two put the frame's corners."""
    corners = np.array([[[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]]], np.float32)
    return float(
        np.abs(
            cv2.perspectiveTransform(corners, found) - cv2.perspectiveTransform(corners, truth)
        ).max()
    )


@pytest.mark.parametrize("deep", [False, True])
def test_a_moved_camera_is_found_behind_a_subject(deep):
    plate = scene()
    src, truth = moved(plate)
    src = with_subject(src)
    if deep:
        src = deepened(src)
    aligner = PlateAligner()
    found = aligner.solve(src, plate)
    assert found is not None and displacement(found, truth) < 1.0
    assert (aligner.solved, aligner.failed) == (1, 0)
    assert aligner.uncovered == pytest.approx(uncovered_share(truth, (HEIGHT, WIDTH)), abs=0.005)


@pytest.mark.parametrize(
    "plate",
    [np.full((HEIGHT, WIDTH, 3), 120, np.uint8), scene(5)],
    ids=["featureless", "another scene"],
)
def test_no_homography_is_better_than_a_wrong_one(plate):
    aligner = PlateAligner()
    assert aligner.solve(scene(), plate) is None
    assert (aligner.solved, aligner.failed) == (0, 1)


def test_matches_on_one_object_alone_are_not_enough():
    """A poster that stands in frame and plate, but elsewhere, says nothing of the camera."""
    poster = scene(7)[:90, :90]
    src, plate = np.full((2, HEIGHT, WIDTH, 3), 120, np.uint8)
    src[20:110, 20:110] = poster
    plate[200:290, 500:590] = poster
    assert PlateAligner().solve(src, plate) is None


def test_the_uncovered_border_repeats_the_edge_of_the_plate():
    plate = torch.zeros(1, 3, 40, 60)
    plate[..., :1] = 1.0  # the left edge
    shift = torch.eye(3, dtype=torch.float64)[None]
    shift[0, 0, 2] = 10
    warped = warp_plates(plate, shift)
    assert warped[..., :11].min() == 1 and warped[..., 11:].max() == 0


def test_opencv_and_kornia_warp_alike():
    plate = torch.from_numpy(scene()).permute(2, 0, 1)[None].float() / 255
    plate = torch.nn.functional.avg_pool2d(plate, 5, 1, 2)
    _, matrix = moved(scene())
    matrix[2, :2] = 1e-5, -2e-5
    homography = torch.from_numpy(matrix)[None]
    difference = _warp_by_opencv(plate, homography) - _warp_by_kornia(plate, homography)
    assert difference.abs().max() < 5e-3  # OpenCV 4 rounds positions to 1/32 pixel


class Pictures(FrameSource):
    def __init__(self, *pictures: np.ndarray):
        self.name, self.size, self._pictures = "pictures", (HEIGHT, WIDTH), pictures

    def __iter__(self):
        return (Frame(picture) for picture in self._pictures)


def test_the_loader_falls_back_to_the_plain_plate_with_one_warning():
    told: list[str] = []
    flat = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    src = Pictures(flat, flat, moved(scene())[0], flat)
    with PairLoader(src, Pictures(scene()), align="frame", warn=told.append) as loader:
        homographies = [batch.homography[0].numpy() for batch in loader]
    assert [bool((h == np.eye(3)).all()) for h in homographies] == [True, True, False, True]
    assert loader.fitter.aligner is not None and (
        loader.fitter.aligner.solved,
        loader.fitter.aligner.failed,
    ) == (1, 3)
    assert len(set(told)) == 1 and "could not be aligned" in told[0]


def test_without_alignment_there_is_no_homography():
    src = Pictures(scene())
    with PairLoader(src, FlatColour((0, 0, 0), src.size), warn=pytest.fail) as loader:
        assert [batch.homography for batch in loader] == [None]


@pytest.mark.parametrize("gain", [1.0, 0.6])
def test_the_solve_is_exact_to_a_fraction_of_a_pixel_whatever_the_exposure(gain):
    plate = scene()
    src, truth = moved(plate, (5.3, -3.7), 0.8)
    darker = np.rint(plate * gain).astype(np.uint8)
    found = PlateAligner().solve(with_subject(src), darker)
    assert found is not None and displacement(found, truth) < 0.05


def test_a_plate_in_place_is_left_alone():
    noise = np.random.default_rng(0).normal(0, 3, (HEIGHT, WIDTH, 3))
    src = (with_subject(scene()) + noise).clip(0, 255).astype(np.uint8)
    aligner = PlateAligner()
    found = aligner.solve(src, scene())
    np.testing.assert_array_equal(found, np.eye(3))
    assert (aligner.solved, aligner.failed) == (1, 0)


@pytest.mark.parametrize(("pixels", "moves"), [(0.15, False), (0.4, True)])
def test_a_move_too_small_to_matter_is_left_alone(pixels, moves):
    src, truth = moved(scene(), (pixels, 0), degrees=0, scale=1)
    found = PlateAligner().solve(src, scene())
    assert found is not None and (found != np.eye(3)).any() == moves
    assert displacement(found, truth) < (0.1 if moves else 0.2)


def test_a_plate_without_features_is_aligned_by_its_shades():
    plate = cv2.GaussianBlur(scene(), (0, 0), 10)
    src, truth = moved(plate, (12, -8), 0)
    found = PlateAligner().solve(src, plate)
    assert found is not None and displacement(found, truth) < 1.5


@pytest.mark.parametrize(("shift", "degrees"), [((-40, 25), 0), ((10, 5), 3.4)])
def test_one_mark_on_a_bare_wall_is_enough(shift, degrees):
    wall = np.full((HEIGHT, WIDTH, 3), (90, 110, 80), np.uint8)
    corner = np.array([[200, 300], [330, 60], [400, 150]])
    wall = cv2.polylines(wall, [corner], False, (140, 190, 150), 3, cv2.LINE_AA)
    src, truth = moved(wall, shift, degrees, scale=1)
    noise = np.random.default_rng(0).normal(0, 1.5, src.shape)
    src = (src + noise).clip(0, 255).astype(np.uint8)
    src[200:, 450:] = scene(99)[200:, 450:]  # somebody
    aligner = PlateAligner()
    found = aligner.solve(src, wall)
    assert found is not None and (aligner.solved, aligner.failed) == (1, 0)
    mark = corner[None].astype(np.float32)
    apart = cv2.perspectiveTransform(mark, found) - cv2.perspectiveTransform(mark, truth)
    assert np.abs(apart).max() < 0.5


def test_what_an_edge_does_not_tell_of_is_left_as_it_is():
    plate = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    plate[150:] = 140
    plate = cv2.GaussianBlur(plate, (0, 0), 2)
    src, truth = moved(plate, (0, -8), degrees=-2, scale=1)
    noise = np.random.default_rng(0).normal(0, 1.5, src.shape)
    src = (src + noise).clip(0, 255).astype(np.uint8)
    src[60:, 250:480] = scene(99)[60:, 250:480]  # somebody
    found = PlateAligner().solve(src, plate)
    assert found is not None and displacement(found, truth) < 5


def test_a_solve_that_agrees_worse_than_none_is_dropped():
    aligner = PlateAligner()
    lie = np.eye(3)
    lie[0, 2] = 40
    aligner._fit = lambda *arguments: lie  # what features say of a repeating wall, say
    np.testing.assert_array_equal(aligner.solve(with_subject(scene()), scene()), np.eye(3))


def walk(plate: np.ndarray, count: int = 12) -> list[np.ndarray]:
    """A subject that covers a third of the frame walks across it."""
    pictures = []
    for left in np.linspace(0, WIDTH * 0.66, count).astype(int):
        picture = plate.copy()
        picture[20:, left : left + WIDTH // 3] = scene(99)[20:, : WIDTH // 3]
        pictures.append(picture)
    return pictures


def test_static_solves_once_for_all_frames():
    plate = scene()
    src, truth = moved(plate)
    frames = Pictures(*walk(src))
    with PairLoader(frames, Pictures(plate), align="static", warn=pytest.fail) as loader:
        found = [batch.homography[0].numpy() for batch in loader]
    assert len(found) == 12 and all((h == found[0]).all() for h in found)
    assert displacement(found[0], truth) < 0.1
    assert loader.fitter.aligner is not None and loader.fitter.aligner.solved == 1


def test_static_that_cannot_be_solved_is_told_once():
    told: list[str] = []
    flat = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    src = Pictures(flat, flat, flat)
    with PairLoader(src, Pictures(scene()), align="static", warn=told.append) as loader:
        found = [batch.homography[0].numpy() for batch in loader]
    assert all((h == np.eye(3)).all() for h in found)
    assert len(told) == 1 and told[0].startswith("the clip could not be aligned")


def test_the_result_is_the_same_in_every_run():
    plate = scene()
    frames = Pictures(*(moved(p, (n, 2), 0.2 * n)[0] for n, p in enumerate(walk(plate, 3))))

    def run(batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        with PairLoader(
            frames, Pictures(plate), align="frame", match=True, batch_size=batch_size, warn=print
        ) as loader:
            batches = list(loader)
        return torch.cat([b.homography.flatten(1) for b in batches]), torch.cat(
            [b.colour.flatten(1) for b in batches]
        )

    for one, other in zip(run(1), run(2), strict=True):
        assert torch.equal(one, other)


def test_a_plate_is_followed_without_comparing_features_again():
    plate, aligner = scene(), PlateAligner()
    for n in range(10):
        shift = (12 * np.sin(n), 9 * np.cos(2 * n))
        src, truth = moved(plate, shift, degrees=float(np.sin(3 * n)), scale=1 + 0.003 * n)
        src[60:, 50 * n : 50 * n + 160] = scene(99)[60:, :160]  # somebody walks by
        found = aligner.solve(src, plate)
        assert displacement(found, truth) < 0.3
    assert aligner.solved == 10 and aligner.compared <= 2


def test_where_features_say_nothing_they_are_compared_now_and_then():
    wall, aligner = np.full((HEIGHT, WIDTH, 3), 120, np.uint8), PlateAligner()
    for n in range(12):
        assert aligner.solve(wall + np.uint8(n % 3), wall) is None
    assert aligner.failed == 12 and aligner.compared == 4
    src, truth = moved(scene())
    assert displacement(PlateAligner().solve(src, scene()), truth) < 0.3
