"""Laying the plate over the frame."""

import cv2
import numpy as np
import pytest
import torch

from dataset import FlatColour, Frame, FrameSource, PairLoader, PlateAligner
from dataset.align import _warp_by_kornia, _warp_by_opencv, uncovered_share, warp_plates

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
        src = src.astype(np.uint16) * 257
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
    assert loader.aligner is not None and (loader.aligner.solved, loader.aligner.failed) == (1, 3)
    assert len(set(told)) == 1 and "could not be aligned" in told[0]


def test_without_alignment_there_is_no_homography():
    src = Pictures(scene())
    with PairLoader(src, FlatColour((0, 0, 0), src.size), warn=pytest.fail) as loader:
        assert [batch.homography for batch in loader] == [None]
