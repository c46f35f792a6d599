"""The table of dots in the edges of mattes."""

from pathlib import Path

import numpy as np
import pytest
from footage import make_clip, numbered
from PIL import Image

from training import stipple_table
from training.__main__ import main
from training.stipple_table import Frame, real_clip


def test_the_frames_of_a_clip_are_spread_over_it(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 9)
    Image.fromarray(numbered(99)).save(tmp_path / "plate.png")
    frames = list(real_clip(tmp_path / "clip.mp4", tmp_path / "plate.png", 3))
    every = list(real_clip(tmp_path / "clip.mp4", tmp_path / "plate.png", 50))
    assert len(every) == 9 and all(frame.pha is None for frame in frames)
    for frame, place in zip(frames, (1, 4, 7), strict=True):
        np.testing.assert_array_equal(frame.src, every[place].src)
        np.testing.assert_array_equal(frame.bgr, numbered(99))


def test_the_table_has_a_line_for_each_kind_and_scale(tmp_path, monkeypatch, capsys) -> None:
    def disc(count: int):
        y, x = np.mgrid[:96, :128]
        pha = (np.hypot(y - 48, x - 64) < 30).astype(np.float32)
        bgr = np.full((96, 128, 3), 40, np.uint8)
        src = np.where(pha[..., None] > 0, 220, bgr).astype(np.uint8)
        yield from [Frame(src, bgr, pha)] * count

    monkeypatch.setattr(stipple_table, "KINDS", {"a disc": disc})
    monkeypatch.setattr(stipple_table, "SCALES", (0.25, 0.5))
    make_clip(tmp_path / "clip.mp4", 2)
    Image.fromarray(numbered(0)).save(tmp_path / "plate.png")
    clip = ["--clip", str(tmp_path / "clip.mp4"), str(tmp_path / "plate.png")]
    assert main(["stipple", "--frames", "1", *clip]) == 0
    lines = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()]
    assert [line[0].strip() for line in lines[2:]] == ["a disc"] * 2 + ["clip.mp4"] * 2
    disc_quarter, clip_quarter = lines[2], lines[4]
    assert float(disc_quarter[4]) == 0, "the disc has no single pixels"
    assert float(disc_quarter[3]) == pytest.approx(float(disc_quarter[5]))
    assert clip_quarter[2].strip() == clip_quarter[4].strip() == "", "there is no truth"
