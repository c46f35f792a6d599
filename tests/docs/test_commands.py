"""Every command of the README, word for word."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import footage
import pytest
from conftest import ROOT
from PIL import Image

from inference_video import main

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, flags=re.M | re.S)
LINES = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("inference-video ")]
EXAMPLES = [block for language, block in BLOCKS if language == "python"]
SET_UP = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the README's commands name, and the current one."""
    footage.make_clip(tmp_path / "shot.mp4", 3, sound="aac")
    footage.make_plate(tmp_path / "plate.png")
    footage.make_plate(tmp_path / "garbage.png")
    footage.make_checkpoint(tmp_path / "pytorch_mobilenetv2.pth")
    Image.new("RGB", (60, 40), (250, 220, 180)).save(tmp_path / "beach.jpg")
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.fromarray(footage.numbered(number)).save(tmp_path / f"frames/{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_commands_and_no_others():
    assert len(COMMANDS) >= 8 and len(EXAMPLES) >= 2
    others = [line for line in LINES if line not in COMMANDS]
    assert len(others) == 2 and others[0].startswith(SET_UP) and others[1] == "tests/run"


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_command(desk, command):
    arguments = shlex.split(command)[1:]
    if "--overwrite" in arguments:
        assert main([a for a in arguments if a != "--overwrite"]) == 0
    assert main(arguments) == 0
    out = Path(arguments[arguments.index("--output-dir") + 1])
    assert (out / "preview.png").exists()
    if "--preview-only" in arguments:
        return
    video, folder = out / "com.mp4", out / "com"
    assert len(footage.read_video(video)[0] if video.exists() else list(folder.iterdir())) == 3


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(desk, example):
    done = subprocess.run(
        [sys.executable, "-c", example],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "ImageSequenceWriter" in example:
        assert len(os.listdir("output/com")) == 8


def test_the_first_command_mattes_the_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (line,) = (line for line in LINES if line.startswith(SET_UP))
    assert main(shlex.split(line.removeprefix(SET_UP))[1:]) == 0
    frames = len(footage.read_video(ROOT / "samples/clip.mp4")[0])
    assert sorted(os.listdir("output/com")) == [f"{n:05d}.png" for n in range(frames)]


def test_the_test_command_is_what_the_checks_run():
    assert os.access(ROOT / "tests/run", os.X_OK)
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec tests/run")


def test_pictures_and_files_that_are_named_exist():
    for path in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (ROOT / path).exists(), path


def test_the_model_card_is_filled_in():
    assert not re.search(r"@[A-Z]+@", (ROOT / "model/weights/MODEL_CARD.md").read_text())
