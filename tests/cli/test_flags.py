"""The command line: old ones mean what they meant, and new defaults follow from the clip."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import footage
import pytest
from conftest import ROOT
from footage import make_clip, make_plate
from PIL import Image

from inference_video import UsageError, main, parse_args
from pipeline import Settings

NEEDED = ["--video-src", "a.mp4", "--video-bgr", "b.png", "--output-dir", "out"]
#: The flags of the original program, with values that it takes and what they are read as.
ORIGINAL = {
    "--model-type": (["mattingbase"], "mattingbase"),
    "--model-backbone": (["resnet101"], "resnet101"),
    "--model-backbone-scale": (["0.125"], 0.125),
    "--model-checkpoint": (["w.pth"], "w.pth"),
    "--model-refine-mode": (["full"], "full"),
    "--model-refine-sample-pixels": (["1234"], 1234),
    "--model-refine-threshold": (["0.3"], 0.3),
    "--model-refine-kernel-size": (["1"], 1),
    "--video-src": (["c.mp4"], "c.mp4"),
    "--video-bgr": (["d.png"], "d.png"),
    "--video-target-bgr": (["e.mp4"], "e.mp4"),
    "--video-resize": (["320", "180"], [320, 180]),
    "--device": (["cpu"], "cpu"),
    "--preprocess-alignment": ([], True),
    "--output-dir": (["elsewhere"], "elsewhere"),
    "--output-types": (["com", "pha", "fgr", "err", "ref"], ["com", "pha", "fgr", "err", "ref"]),
    "--output-format": (["image_sequences"], "image_sequences"),
}


def abbreviations(flag: str) -> list[str]:
    """The flag, and every way to shorten it that no other flag of the original shares."""
    others = [other for other in ORIGINAL if other != flag]
    lengths = range(3, len(flag))
    short = [flag[:n] for n in lengths if not any(other.startswith(flag[:n]) for other in others)]
    return [flag, *short]


def test_some_flags_of_the_original_could_be_shortened():
    assert "--d" in abbreviations("--device")
    assert "--output-type" in abbreviations("--output-types")
    assert abbreviations("--model-backbone") == ["--model-backbone"]
    assert sum(len(abbreviations(flag)) for flag in ORIGINAL) > 100


@pytest.mark.parametrize("flag", ORIGINAL)
def test_every_abbreviation_means_what_it_meant(flag):
    values, meaning = ORIGINAL[flag]
    name = flag[2:].replace("-", "_")
    plain = vars(parse_args(NEEDED))
    assert plain[name] != meaning
    for short in abbreviations(flag):
        assert vars(parse_args([*NEEDED, short, *values])) == {**plain, name: meaning}, short
        if len(values) == 1:
            joined = [*NEEDED, f"{short}={values[0]}"]
            only = [meaning] if isinstance(meaning, list) else meaning
            assert vars(parse_args(joined)) == {**plain, name: only}, short


def test_an_abbreviation_that_was_ambiguous_stays_an_error(capsys):
    for short in ("--model-b", "--video", "--output", "--model-refine"):
        with pytest.raises(SystemExit) as exit:
            parse_args([*NEEDED, short, "1"])
        assert exit.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_value_after_an_equals_sign_is_left_alone():
    assert parse_args([*NEEDED, "--model-check=--out=w.pth"]).model_checkpoint == "--out=w.pth"


def test_the_documented_command_line_of_the_original_works(tmp_path, checkpoint, capsys):
    src = make_clip(tmp_path / "clip.mp4", 2)
    bgr = make_plate(tmp_path / "plate.png")
    argv = f"""
        --model-type mattingrefine
        --model-backbone mobilenetv2
        --model-backbone-scale 0.25
        --model-refine-mode sampling
        --model-refine-sample-pixels 80000
        --model-checkpoint {checkpoint}
        --video-src {src}
        --video-bgr {bgr}
        --video-resize 96 48
        --output-dir {tmp_path}/out/
        --output-type com fgr pha err ref
        --device cpu
    """.split()
    assert main(argv) == 0
    kinds = ("com", "err", "fgr", "pha", "ref")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *sorted([*(f"{kind}.mp4" for kind in kinds), "preview.png"]),
        "run.json",
    ]
    assert main([*argv, "--output-format", "image_sequences"]) == 0
    assert (tmp_path / "out/com/00001.png").exists()
    for kind in kinds[1:]:
        assert (tmp_path / f"out/{kind}/00001.jpg").exists()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2 frames in" in captured.err and "debug" not in captured.err
    assert main([*argv, "--overwrite", "--debug", "--precision", "fp32"]) == 0
    assert "debug: network: the fast path, fp32, on cpu\n" in capsys.readouterr().err


def test_help_is_grouped_and_says_the_defaults(capsys):
    with pytest.raises(SystemExit) as exit:
        parse_args(["--help"])
    assert exit.value.code == 0
    text = capsys.readouterr().out
    headings = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert headings == ["options", "input", "network", "output", "machine"]
    entries = dict(re.findall(r"^  (--[\w-]+)(.*?)(?=^  -|^\w|\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(ORIGINAL) <= set(entries)
    for flag, default in {
        "--model-backbone-scale": "0.25 up to a longer side of 2880 px, 0.125 above",
        "--model-refine-sample-pixels": "80000 up to a longer side of 2880 px, 320000 above",
        "--model-refine-mode": "sampling",
        "--model-refine-threshold": "0.7",
        "--model-type": "as the checkpoint",
        "--output-types": "com",
        "--output-format": "video",
        "--video-target-bgr": "120,255,155",
        "--device": "auto",
        "--batch-size": "1",
        "--crf": "18",
    }.items():
        assert f"(default: {default})" in " ".join(entries[flag].split()), flag


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        parse_args(["--version"])
    assert exit.value.code == 0
    assert re.fullmatch(r"bgmv2 \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_parsing_keeps_to_itself():
    args = parse_args(NEEDED)
    assert isinstance(args, argparse.Namespace)
    assert not {"network", "writers", "progress"} & set(vars(args))


@pytest.mark.parametrize(
    "width, flags, scale, pixels",
    [
        (2880, [], 0.25, 80_000),
        (2884, [], 0.125, 320_000),
        (2884, ["--video-resize", "2880", "8"], 0.25, 80_000),
        (96, ["--video-resize", "8", "2884"], 0.125, 320_000),
        (2884, ["--model-backbone-scale", "0.5"], 0.5, 320_000),
        (96, ["--model-refine-sample-pixels", "99"], 0.25, 99),
    ],
)
def test_the_size_decides_scale_and_pixels(tmp_path, checkpoint, width, flags, scale, pixels):
    (tmp_path / "shots").mkdir()
    Image.fromarray(footage.numbered(1, (8, width))).save(tmp_path / "shots/1.png")
    settings = settings_of(tmp_path, checkpoint, make_plate(tmp_path / "p.png", (8, width)), flags)
    assert settings["model_backbone_scale"] == scale
    assert settings["model_refine_sample_pixels"] == pixels
    assert settings["model_type"] == "mattingrefine"
    assert settings["model_backbone"] == "mobilenetv2"
    assert settings["model_refine_kernel_size"] == 3
    assert settings["output_types"] == ["com"]


def settings_of(folder: Path, checkpoint: Path, plate: Path, flags: list[str]) -> dict:
    """The settings of a run over the images in ``folder``, as ``run.json`` tells them."""
    inputs = ["--video-src", folder / "shots", "--video-bgr", plate, "--output-dir", folder / "out"]
    argv = [*inputs, "--model-checkpoint", checkpoint, "--device", "cpu", *flags]
    assert main([*map(str, argv), "--output-format", "image_sequences"]) == 0
    return json.loads((folder / "out/run.json").read_text())["settings"]


def test_alignment_takes_a_mode_or_none():
    def mode(*arguments: str) -> object:
        return parse_args([*NEEDED[:4], *arguments, *NEEDED[4:]]).preprocess_alignment

    assert mode() is False
    assert mode("--preprocess-alignment") is True, "whatever flag comes after it"
    assert mode("--preprocess-alignment", "static") == mode("--pre=static") == "static"
    assert mode("--preprocess-alignment", "frame") == "frame"
    with pytest.raises(SystemExit):
        mode("--preprocess-alignment", "tripod")
    with pytest.raises(UsageError, match="tripod"):
        Settings(video_src="a", video_bgr="b", preprocess_alignment="tripod")
    for given, meant in ((False, None), (True, "frame"), ("frame", "frame"), ("static", "static")):
        assert Settings(video_src="a", video_bgr="b", preprocess_alignment=given).align == meant


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["--crf", "x"]])
def test_an_answer_does_not_wait_for_heavy_packages(argv):
    """``main`` loads PyTorch, OpenCV and the like only after it has read the command line."""
    code = (
        "import sys, inference_video\n"
        "try:\n"
        f"    inference_video.main({argv})\n"
        "except SystemExit:\n"
        "    print(*{'torch', 'numpy', 'cv2', 'av', 'PIL', 'tqdm'} & {*sys.modules}, sep='!')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "", done.stderr


def test_what_others_import_is_there():
    import inference_video

    for name in inference_video.__all__:
        assert getattr(inference_video, name) is not None
    with pytest.raises(AttributeError):
        _ = inference_video.matte_videos


@pytest.mark.parametrize("short", ["--start", "--match", "--dev", "--over"])
def test_only_flags_of_the_paper_may_be_shortened(short, capsys):
    if short == "--dev":
        assert parse_args([*NEEDED, short, "cpu"]).device == "cpu"
        return
    with pytest.raises(SystemExit):
        parse_args([*NEEDED, short, "1"])
    assert "unrecognized arguments" in capsys.readouterr().err
