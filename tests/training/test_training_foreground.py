"""The command that measures the foreground."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from drawing.furry import draw_furry
from model import Prediction
from training.foreground import METHODS, Seen, Truth, errors, folder_truths, main, table

SIZE = (64, 96)


def truth() -> Truth:
    """Half of a grey wall behind a red subject of half an alpha."""
    pha = np.zeros(SIZE, np.float32)
    pha[:, 48:] = 0.5
    fgr = np.broadcast_to(np.float32([1, 0, 0]), (*SIZE, 3))
    bgr = np.full((*SIZE, 3), 0.5, np.float32)
    src = pha[..., None] * fgr + (1 - pha[..., None]) * bgr
    return Truth((255 * src).astype(np.uint8), (255 * bgr).astype(np.uint8), pha, fgr, {})


def test_errors_are_in_levels_where_alpha_is_partial():
    one = truth()
    pha = torch.from_numpy(one.pha)[None, None]
    fgr = torch.from_numpy(one.fgr.copy()).permute(2, 0, 1)
    matte = Prediction(pha, fgr[None], pha, None, SIZE)
    seen = Seen(torch.zeros(1, 3, *SIZE), torch.zeros(1, 3, *SIZE), matte)
    assert errors(one, seen, fgr) == {"foreground": 0, "green": 0, "white": 0}
    found = errors(one, seen, fgr - 10 / 255)
    assert found == pytest.approx({"foreground": 10, "green": 5, "white": 5}, abs=1e-3)
    assert errors(one._replace(pha=one.pha * 0), seen, fgr) is None


def test_a_folder_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one = truth()
    images = {"src": one.src, "bgr": one.bgr, "pha": one.pha * 255, "fgr": one.fgr * 255}
    for name, image in images.items():
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), image[..., ::-1] if image.ndim == 3 else image)
    (read,) = folder_truths(tmp_path, {})
    np.testing.assert_array_equal(read.fgr, one.fgr)
    np.testing.assert_allclose(read.pha, one.pha, atol=0.5 / 255)
    assert main([str(tmp_path), "--methods", "network", "estimate"]) == 0
    header, _, row = capsys.readouterr().out.splitlines()
    assert header == "| | network | estimate |" and row.count(",") == 4
    (tmp_path / "fgr/a.png").unlink()
    assert main([str(tmp_path)]) == 1
    assert "fgr: no image a" in capsys.readouterr().err


def test_the_table_is_markdown():
    figures = {"a set": {name: {"foreground": 1.0, "green": 2.0} for name in METHODS}}
    lines = table(figures).splitlines()
    assert len(lines) == 3 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| a set | 1.00, 2.00 |")


def test_a_furry_animal_has_a_right_and_a_wrong_plate():
    right, wrong = draw_furry(3, *SIZE)
    again, _ = draw_furry(3, *SIZE)
    np.testing.assert_array_equal(right.src, again.src)
    assert ((right.pha > 0.1) & (right.pha < 0.98)).mean() > 0.01
    empty = right.pha == 0
    off = [np.abs(one.src.astype(int) - one.bgr)[empty].mean() for one in (right, wrong)]
    assert off[0] < 4 < off[1]
