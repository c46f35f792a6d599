"""Ctrl-C, SIGTERM and SIGKILL in the middle of a run: whatever has its name is whole."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from conftest import ROOT
from footage import make_clip, make_plate, read_number, read_video
from processes import start_program, two_threads

from inference_video import main

KINDS = ("com", "pha", "fgr")


@pytest.fixture
def job(tmp_path: Path, checkpoint: Path) -> list[str]:
    """A command line for a clip that takes far longer than any test waits."""
    make_clip(tmp_path / "clip.mp4", 2000, options={"crf": "30", "preset": "ultrafast"})
    make_plate(tmp_path / "plate.png")
    paths = {"video-src": "clip.mp4", "video-bgr": "plate.png", "output-dir": "out"}
    flags = [part for flag, name in paths.items() for part in (f"--{flag}", str(tmp_path / name))]
    return [
        *flags,
        "--model-checkpoint",
        str(checkpoint),
        "--device",
        "cpu",
        "--output-types",
        *KINDS,
    ]


def _hear_ctrl_c() -> None:
    """Shells let what they start in the background ignore it, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("module", ["argparse", "torch"])
def test_ctrl_c_while_the_program_loads_shows_no_traceback(module):
    job = ["--video-src", "a", "--video-bgr", "b", "--output-dir", "c"]
    command = [sys.executable, "-X", "importtime", str(ROOT / "inference_video.py"), *job]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_hear_ctrl_c
    )
    for line in process.stderr:  # one for each module that has been imported
        if line.split()[-1].startswith(module):
            break
    process.send_signal(signal.SIGINT)
    version, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert version == "" and "Traceback" not in errors


def interrupt(
    job: list[str], number: int, when: Callable[[], bool], folder: Path
) -> tuple[int | None, str]:
    """Start the program, send it a signal as soon as ``when()`` holds, and wait for its end.

    Returns:
        The exit status and what stands on stderr.
    """
    program = start_program(*job, cwd=folder, before=two_threads)
    deadline = time.monotonic() + 60
    while program.running and not when():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    program.send_signal(number)
    finished = program.wait()
    return finished.returncode, finished.stderr


def written(out: Path, kind: str) -> list[Path]:
    """Files under their final names."""
    return sorted(path for path in (out / kind).glob("[0-9]*") if path.suffix != ".part")


def listed(out: Path) -> dict[str, int]:
    report = json.loads((out / "run.json").read_text())
    return {
        output["kind"]: output["frames"] for output in report["outputs"] if output["kind"] in KINDS
    }


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_sequence_is_whole(tmp_path, job, number, status):
    out = tmp_path / "out"
    job += ["--output-format", "image_sequences", "--image-extension", "png"]
    code, stderr = interrupt(job, number, lambda: len(written(out, "fgr")) > 5, tmp_path)
    assert code == status
    assert "Traceback" not in stderr
    assert "what was written until now is kept" in stderr
    count = listed(out)["com"]
    assert 5 < count < 2000
    assert listed(out) == dict.fromkeys(KINDS, count)
    for kind in KINDS:
        assert [file.name for file in (out / kind).iterdir() if file.suffix == ".part"] == []
        assert [file.name for file in written(out, kind)] == [f"{n:05d}.png" for n in range(count)]
    pictures = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in written(out, "com")]
    assert [read_number(picture) for picture in pictures] == list(range(count))
    report = json.loads((out / "run.json").read_text())
    assert report["status"] == "stopped"
    assert report["frames"] == count


def test_a_stopped_video_plays(tmp_path, job):
    out = tmp_path / "out"
    parts = [out / f"{kind}.mp4.part" for kind in KINDS]

    def begun() -> bool:
        return (out / "run.json").exists() and all(part.exists() for part in parts)

    def later() -> bool:
        time.sleep(1)
        return True

    code, stderr = interrupt(job, signal.SIGINT, lambda: begun() and later(), tmp_path)
    assert code == 130
    assert "Traceback" not in stderr
    count = listed(out)["com"]
    assert listed(out) == dict.fromkeys(KINDS, count)
    names = {path.name for path in out.iterdir()}  # a sheet if one of its frames was reached
    assert names - {"preview.png"} == {*(f"{kind}.mp4" for kind in KINDS), "run.json"}
    for kind in KINDS:
        pictures, _ = read_video(out / f"{kind}.mp4")
        assert len(pictures) == count
    assert [read_number(picture) for picture in read_video(out / "fgr.mp4")[0]] == list(
        range(count)
    )


def test_what_a_killed_run_has_named_is_whole_and_overwrite_cleans_up(tmp_path, job):
    out = tmp_path / "out"
    job += ["--output-format", "image_sequences", "--image-extension", "png"]
    code, _ = interrupt(job, signal.SIGKILL, lambda: len(written(out, "fgr")) > 5, tmp_path)
    assert code == -signal.SIGKILL
    for kind in KINDS:
        for place, file in enumerate(written(out, kind)):
            number = int(file.stem)
            assert file.name == f"{number:05d}.png"
            assert number <= place + 1, "two threads save at once, so that one may be missing"
            picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            assert picture is not None
            if kind != "pha":
                assert read_number(picture) == number
    (out / "com/00006.png.part").write_bytes(b"half a file")
    (out / "notes.txt").write_text("mine")
    make_clip(tmp_path / "clip.mp4", 2)
    assert main(job) == 1, "only on demand"
    assert main([*job, "--overwrite"]) == 0
    left = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    frames = [f"{kind}/{number:05d}.png" for kind in sorted(KINDS) for number in range(2)]
    assert left == sorted([*frames, "notes.txt", "preview.png", "run.json"])


def test_overwrite_cleans_up_after_a_killed_video(tmp_path, job):
    out = tmp_path / "out"
    parts = [out / f"{kind}.mp4.part" for kind in KINDS]
    code, _ = interrupt(job, signal.SIGKILL, lambda: parts[0].exists(), tmp_path)
    assert code == -signal.SIGKILL
    assert not (out / "com.mp4").exists()
    make_clip(tmp_path / "clip.mp4", 2)
    assert main([*job, "--overwrite"]) == 0
    names = {path.name for path in out.iterdir()}  # a sheet if one of its frames was reached
    assert names - {"preview.png"} == {*(f"{kind}.mp4" for kind in KINDS), "run.json"}
