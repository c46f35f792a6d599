"""Runs of the program on the clip of a folder, and what is asked of them."""

import json
from pathlib import Path

import cv2
from footage import KnownNetwork, read_number
from processes import Finished, run_program

from inference_video import MattingResult, matte_video

RED_AS_ALPHA = KnownNetwork()


def run(folder: Path, *more: object, before=None, **flags: object) -> Finished:
    """Run the program on the clip of ``folder``, with some flags changed or added."""
    flags = {
        "video_src": "clip.mp4",
        "video_bgr": "plate.png",
        "output_dir": "out",
        "output_format": "image_sequences",
        "model_checkpoint": "half.pth",
        "device": "cpu",
        **flags,
    }
    argv = [
        part
        for name, value in flags.items()
        for part in ("--" + name.replace("_", "-"), *(value if type(value) is tuple else [value]))
    ]
    return run_program(*argv, *more, cwd=folder, before=before)


def matte_checkpoint(out: str, **flags: object) -> MattingResult:
    """Matte the clip of the current folder in this process, with the checkpoint there."""
    given = {
        "video_src": "clip.mp4",
        "video_bgr": "plate.png",
        "model_checkpoint": "half.pth",
        "output_dir": out,
        "output_format": "image_sequences",
        "preflight": False,
        "device": "cpu",
        **flags,
    }
    return matte_video(**given)


def matte(folder: Path, src: Path, **options):
    """Matte in this process, with a network that costs nothing."""
    keywords = {
        "video_bgr": folder / "plate.png",
        "output_dir": folder / "out",
        "output_format": "image_sequences",
        "network": RED_AS_ALPHA,
        "device": "cpu",
        **options,
    }
    return matte_video(video_src=src, **keywords)


def assert_error(result: Finished, status: int, *parts: str) -> None:
    """One line on stderr, with these parts, and no traceback."""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr
    assert result.returncode == status
    assert result.stdout == ""


def numbers(folder: Path) -> list[int]:
    """The numbers shown by the images of a folder, which are all whole."""
    files = sorted(folder.iterdir())
    assert [file.suffix for file in files] == [".png"] * len(files)
    return [read_number(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)) for file in files]


def report(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())
