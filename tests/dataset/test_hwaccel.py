"""An NVIDIA card decodes and encodes where it can, and the processor does where not."""

import json

import av
import footage
import numpy as np
import pytest
import torch
from footage import KnownNetwork

from dataset import open_source
from inference_video import main, matte_video
from writers import VideoWriter

SIZE = (180, 320)  # a card takes no smaller ones


@pytest.fixture
def clip(tmp_path):
    footage.make_plate(tmp_path / "plate.png", SIZE)
    return footage.make_clip(tmp_path / "src.mp4", 30, size=SIZE)


def pictures(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_without_a_card_the_processor_does_it_and_says_so(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # FFmpeg reads it, too
    made = {}
    for hwaccel in ("none", "auto"):
        made[hwaccel] = matte_video(
            video_src=clip,
            video_bgr=tmp_path / "plate.png",
            output_dir=tmp_path / hwaccel,
            network=KnownNetwork(),
            hwaccel=hwaccel,
            device="cpu",
        )
        assert made[hwaccel].frames == 30
    told = [warning for warning in made["auto"].warnings if "no NVIDIA card" in warning]
    assert [sentence.split(":")[0] for sentence in told] == [
        str(clip),
        str(tmp_path / "auto" / "com.mp4"),
    ]
    assert not any("NVIDIA" in warning for warning in made["none"].warnings)
    plain, other = (tmp_path / name / "com.mp4" for name in ("none", "auto"))
    difference = pictures(other).astype(int) - pictures(plain)  # x264 may choose otherwise
    assert len(difference) == 30 and np.abs(difference).mean() < 1
    assert json.loads((tmp_path / "auto/run.json").read_text())["settings"]["hwaccel"] == "auto"


def test_what_is_lossless_is_not_for_a_card(tmp_path):
    told = []
    with VideoWriter(tmp_path / "x.mp4", 25, 64, 48, crf=0, on_card=True, warn=told.append) as sink:
        sink.add_batch(torch.zeros(1, 3, 48, 64))
    assert not told
    assert len(pictures(tmp_path / "x.mp4")) == 1


def test_another_word_is_refused(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--video-src", "a", "--video-bgr", "b", "--output-dir", "c", "--hwaccel", "cuda"])
    assert exit.value.code == 2
    assert "--hwaccel" in capsys.readouterr().err


@pytest.mark.cuda
def test_a_card_decodes_the_same_frames(clip):
    told = []
    here, there = (list(open_source(clip, told.append, on_card=card)) for card in (False, True))
    assert not told
    assert [frame.time for frame in there] == [frame.time for frame in here]
    for mine, other in zip(here, there, strict=True):
        assert np.abs(mine.image.astype(int) - other.image).max() <= 3


@pytest.mark.cuda
def test_a_card_encodes_every_frame(tmp_path):
    told = []
    levels = np.linspace(0.1, 0.9, 30)
    with VideoWriter(tmp_path / "x.mp4", 25, 321, 180, on_card=True, warn=told.append) as sink:
        for level in levels:
            sink.add_batch(torch.full((1, 3, 180, 321), float(level)))
    if told:
        pytest.skip("this card does not encode")  # those of data centres
    found = pictures(tmp_path / "x.mp4").mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(found, levels, atol=0.01)
