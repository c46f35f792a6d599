"""The benchmarks run, and the baseline gives the same result as the program."""

import json
from pathlib import Path

import cv2
import footage
import numpy as np
import pytest
import torch

from benchmarks import formats
from benchmarks.__main__ import main
from benchmarks.goals import goals
from benchmarks.scaling import series, write_docs
from benchmarks.tables import scaling
from benchmarks.weights import random_network


def images(folder: Path) -> np.ndarray:
    """All PNGs of a folder: (N, H, W, 4), BGRA."""
    paths = sorted(folder.iterdir())
    return np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]).astype(int)


def test_the_command_runs_and_both_programs_agree(tmp_path, capsys):
    command = "network whole --sizes 192x96 --frames 4 --pairs 1 --repeats 1 --precisions fp32"
    options = ["--exact", "--backbones", "mobilenetv2", "--device", "cpu", "--outputs", "com png"]
    files = {"--folder": ".", "--json": "report.json", "--save": "results.md"}
    paths = [text for flag, name in files.items() for text in (flag, str(tmp_path / name))]
    assert main([*command.split(), *options, *paths]) == 0
    text = (tmp_path / "results.md").read_text()
    assert text.strip() in capsys.readouterr().out
    assert "### Network" in text and "### Whole runs" in text and "### Stages" in text
    assert "--outputs 'com png'" in text  # the command can be repeated
    report = json.loads((tmp_path / "report.json").read_text())
    (row,) = report["whole"]
    assert row["ratio"] == row["baseline"]["run_s"] / row["ours"]["run_s"]
    assert row["ours"]["process_s"] > row["ours"]["run_s"] > 0
    assert set(row["alone_ms"]) == set(row["busy"]) == {"read", "network", "write"}
    assert {entry["path"] for entry in report["network"]} == {"plain", "fast"}

    ours, theirs = images(tmp_path / "ours/com"), images(tmp_path / "baseline/com")
    assert ours.shape == theirs.shape == (4, 96, 192, 4)
    assert 0.02 < (ours[..., 3] > 128).mean() < 0.9  # there is a subject, and a background
    assert np.abs(ours[..., 3] - theirs[..., 3]).max() <= 1
    seen = (ours[..., 3] > 1) & (theirs[..., 3] > 1)  # colours are black where alpha is 0
    assert np.abs(ours - theirs)[seen].max() <= 1


def test_an_invalid_size_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--sizes", "big"])
    assert "--sizes big: expected hd, 4k or WIDTHxHEIGHT" in capsys.readouterr().err


def test_random_weights_see_a_subject_and_refine_as_many_patches_as_requested():
    network = random_network("mobilenetv2")
    network.refiner.sample_pixels = 16 * 100
    bgr = torch.rand(1, 3, 96, 192)
    src = bgr.clone()
    src[..., 32:64, 64:128] = 1
    with torch.inference_mode():
        out = network(src, bgr)
    assert out.ref_sm.sum() == 100
    assert out.pha[..., 40:56, 72:120].mean() > 0.4 > 0.1 > out.pha[..., :24, :].mean()


def test_goals_are_reached_or_missed():
    run = {"frames": 100, "run_s": 50.0, "peak_mib": 7000.0, "gpu_peak_mib": 1000.0}
    row = {
        "size": "1920x1080",
        "outputs": "com png",
        "backbone": "mobilenetv2",
        "precision": "auto",
        "ratio": 3.5,
        "to_slowest_stage": 1.3,
        "ours": run,
    }
    large = row | {"size": "3840x2160"}
    on_cpu = goals({"machine": {}, "whole": [row, large]})
    assert [(g[1], g[2], g[3]) for g in on_cpu] == [
        ("at least 3", "3.50", "reached"),
        ("below 6", "6.84", "missed"),
    ]
    on_gpu = goals({"machine": {"gpu": "some"}, "whole": [row, large]})
    assert [goal[3] for goal in on_gpu if "baseline" in goal[0] or "GPU GiB" in goal[0]] == [
        "missed",
        "reached",
    ]


def test_the_page_on_scaling(tmp_path):
    straight = series([(1, 1.5, 100), (2, 2.0, 110), (4, 3.0, 130)])
    assert straight["fit"] == pytest.approx([1.0, 0.5]) and straight["r2"] == pytest.approx(1)
    bent = series([(1, 1, 100), (2, 1, 110), (4, 16, 130)])
    assert bent["r2"] < 0.95
    machine = {"cpu": "a CPU", "cores": 2, "flags": [], "memory_gib": 8, "system": "s"}
    report = {"date": "2026-01-01", "machine": machine | {"versions": {}}}
    write_docs(report | {"scaling": {"frames": straight}}, scaling({"frames": bent}), tmp_path)
    assert "a CPU, 2 cores" in (tmp_path / "speed.md").read_text()
    assert cv2.imread(str(tmp_path / "scaling.png")).shape[1] == 1100


def test_half_precision_is_measured(tmp_path, capsys):
    footage.make_clip(tmp_path / "clip.mp4", 3, size=(64, 96))
    footage.make_plate(tmp_path / "plate.png", (64, 96))
    paths = f"--clip {tmp_path}/clip.mp4 --plate {tmp_path}/plate.png --json {tmp_path}/report.json"
    assert main(f"precision --frames 1 --precisions fp32 bf16 --device cpu {paths}".split()) == 0
    rows = json.loads((tmp_path / "report.json").read_text())["precision"]
    assert [(row["precision"], row["frames"]) for row in rows] == [("bf16", 1)]
    assert all(0 < row["mean"] <= row["p99.9"] <= row["largest"] for row in rows)
    assert "### Half precision" in capsys.readouterr().out


def test_formats_are_measured_by_what_is_read_back(capsys):
    formats.main(["png", "qtrle", "jpg", "--frames", "1", "--repeat", "1", "--size", "64", "48"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[4:]]
    assert [(row[0], row[1]) for row in rows[2:]] == [
        *(("| `png`", bits) for bits in ("8", "16")),
        ("| `qtrle`", "8"),
        ("| `jpg`", "8"),
    ]
    alpha = [row[2] for row in rows[2:]]
    assert alpha[1] == "0.00, 0.001" and alpha[3] == "none"
    assert 0 < float(alpha[2].partition(",")[0]) <= 0.51


def test_another_engine_computes_the_same(capsys):
    pytest.importorskip("openvino")
    from benchmarks import engines

    assert (
        engines.main(["--backbones", "mobilenetv2", "--sizes", "hd and 4k", "--rounds", "1"]) == 0
    )
    row = capsys.readouterr().out.splitlines()[2].split("|")
    assert float(row[-2]) < 1e-3
