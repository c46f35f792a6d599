"""The command that measures a checkpoint and the baselines."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model import MattingRefine, load_network
from training.evaluate import evaluate, folder_triples, generated_triples, main
from training.weights import export


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two frames with a square that stands out from its plate, and its alpha."""
    for kind in ("src", "bgr", "pha"):
        (tmp_path / kind).mkdir()
    for name in ("a", "b"):
        plate = np.full((64, 96, 3), 100, np.uint8)
        alpha = np.zeros((64, 96), np.uint8)
        alpha[16:48, 32:64] = 255
        frame = np.where(alpha[..., None] > 0, np.uint8(180), plate)
        for kind, image in (("src", frame), ("bgr", plate), ("pha", alpha)):
            cv2.imwrite(str(tmp_path / kind / f"{name}.png"), image)
    return tmp_path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of a network with a refiner."""
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    export(MattingRefine("mobilenetv2").state_dict(), path)
    return path


def test_the_key_is_exact_where_it_can_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-weights", str(folder), "--only", "baselines"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("difference > ")
    for name in ("MAD", "MSE", "SAD", "Grad", "Conn"):
        assert f"{name} 0.00" in line


def test_network_and_key_are_measured_on_the_same_images(
    folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(weights), str(folder)]) == 0
    network, key = capsys.readouterr().out.splitlines()
    assert network.startswith("network ") and "MAD 0.00" not in network
    assert key.startswith("difference > ") and "MAD 0.00" in key


def test_the_base_sees_the_frame_at_the_requested_scale(
    folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(weights), str(folder), "--only", "network"]
    lines = []
    for more in ([], ["--backbone-scale", "0.25"], ["--backbone-scale", "0.5"]):
        assert main([*command, *more]) == 0
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1] != lines[2]


def test_removing_every_component_removes_the_subject(folder: Path) -> None:
    triples = list(folder_triples(folder))
    found, clean = evaluate(triples, load_network(None), baselines=False, despeckle=100)
    assert (found[0], clean[0]) == ("network", "network, despeckled")
    missed = 1000 * 32 * 32 / (64 * 96)
    assert found[1]["MAD"] < missed / 2 and clean[1]["MAD"] == pytest.approx(missed, rel=0.02)


def test_the_first_frames_have_the_figures_of_a_clip_of_them() -> None:
    torch.manual_seed(0)
    network = MattingRefine("mobilenetv2").eval()
    triples = list(generated_triples(3, (64, 96)))
    _, first = evaluate(triples, network, baselines=False, closed_form_count=2, clip=True)
    (alone,) = evaluate(triples[:2], network, baselines=False, clip=True)
    assert first[0] == "network, first 2" and first[1] == alone[1] and first[1]["dtSSD"] > 0


def test_an_image_without_its_plate_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bgr" / "b.png").unlink()
    assert main(["no-weights", str(folder), "--only", "baselines"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "b.png" in error and "no plate" in error
