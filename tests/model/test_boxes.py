"""Boxes around what is marked, and predictions that are placed there."""

import numpy as np
import pytest
import torch

from model import Box, DetailPrediction, Prediction, boxes_around, place

SIZE = (360, 640)
WHOLE = Box(0, 360, 0, 640)


def around(*spots: tuple[int, int], size=SIZE) -> list[Box]:
    """Boxes around pixels (row, column) of a mask of an eighth of the size."""
    mask = np.zeros((45, 80), bool)
    for spot in spots:
        mask[spot] = True
    return boxes_around(mask, size, cell=32, margin=1)


def test_all_that_is_marked_is_covered_with_a_margin_once():
    rng = np.random.default_rng(0)
    for spots in rng.integers(1, 12, 60):
        size = rng.integers(200, 500), rng.integers(300, 900)
        mask = np.zeros(rng.integers(20, 60, 2), bool)
        mask[rng.integers(0, mask.shape[0], spots), rng.integers(0, mask.shape[1], spots)] = True
        boxes = boxes_around(mask, size, cell=32, margin=1)
        seen = np.zeros(size, int)
        for box in boxes:
            seen[box.top : box.bottom, box.left : box.right] += 1
            assert all(edge % 32 == 0 or edge in size for edge in box)
        assert seen.max() == 1 and len(boxes) <= 4
        for row, column in np.argwhere(mask):
            edges = [(row, 0), (row + 1, 0), (column, 1), (column + 1, 1)]
            top, bottom, left, right = (n * size[i] / mask.shape[i] for n, i in edges)
            margin = min(size[0] // mask.shape[0], size[1] // mask.shape[1])
            top, left = max(0, int(top) - margin), max(0, int(left) - margin)
            assert seen[top : int(bottom) + margin, left : int(right) + margin].all()


def test_what_is_far_apart_has_boxes_of_its_own():
    assert around() == []
    assert around((20, 10)) == [Box(96, 224, 32, 160)]
    assert len(around((20, 10), (20, 70))) == 2
    assert len(around((20, 10), (22, 16))) == 1
    corners = [(3, 3), (3, 76), (41, 3), (41, 76), (22, 40)]
    assert len(around(*corners)) <= 4


def test_a_thing_at_the_edge_has_some_of_the_frame_around_it():
    assert around((0, 79)) == [Box(0, 128, 512, 640)]
    assert around((44, 0)) == [Box(256, 360, 0, 128)]


def test_a_box_of_most_of_the_frame_is_the_frame():
    mask = np.ones((45, 80), bool)
    mask[:, :8] = False
    assert boxes_around(mask, SIZE, cell=32, margin=1) == [WHOLE]


def test_a_mark_that_moves_within_a_cell_has_the_same_box():
    assert len({tuple(around((y, x))) for y in (21, 22) for x in (41, 42)}) == 1


@pytest.fixture
def src() -> torch.Tensor:
    """A frame whose sides are no multiples of 4."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, 3, 90, 130), dtype=torch.uint8, generator=generator)


def prediction(box: Box, src: torch.Tensor, *, detailed: bool) -> Prediction | DetailPrediction:
    """Alpha of a quarter, the frame's negative, error and refined patches everywhere."""
    part = box.cut(src)
    height, width = part.shape[2:]
    padded = -(-height // 4) * 4, -(-width // 4) * 4
    err = torch.full((1, 1, padded[0] // 2, padded[1] // 2), 0.5)
    ref = torch.ones(1, 1, padded[0] // 4, padded[1] // 4)
    if not detailed:
        pha = torch.full((1, 1, height, width), 0.25)
        return Prediction(pha, 1 - part / 255, err, ref, padded)
    detail = torch.cat([255 - 2.0 * part, torch.full((1, 1, height, width), -191.25)], dim=1)
    return DetailPrediction(part, detail.permute(0, 2, 3, 1), err, ref, padded)


@pytest.mark.parametrize("detailed", [True, False])
def test_predictions_are_placed_and_the_rest_is_empty(src, detailed):
    boxes = [Box(0, 32, 32, 96), Box(64, 90, 96, 130)]
    placed = place([(box, prediction(box, src, detailed=detailed)) for box in boxes], src)
    assert placed.padded_size == (92, 132)
    inside = torch.zeros(1, 1, 90, 130, dtype=torch.bool)
    for box in boxes:
        box.cut(inside).fill_(True)
    torch.testing.assert_close(placed.pha, 0.25 * inside)
    torch.testing.assert_close(placed.fgr, torch.where(inside, 1 - src / 255, src / 255))
    patches = inside[..., ::4, ::4].float()
    assert torch.equal(placed.ref, patches)
    torch.testing.assert_close(placed.err, 0.5 * patches)
    levels = placed.cut_out() if detailed else (255 * placed.cut_out()).round()
    assert torch.equal(levels[:, 3] > 0, inside[:, 0])
    assert not levels[:, :3].masked_select(~inside).any()


def test_a_frame_without_boxes_is_empty(src):
    placed = place([], src)
    assert not placed.pha.any() and not placed.err.any() and not placed.ref.any()
    torch.testing.assert_close(placed.fgr, src / 255)
