"""Ctrl-C twice: no traceback, and the report does not say that the run goes on."""

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from footage import make_clip
from processes import Forked
from runs import report

from cli.console import Console
from writers import FORMATS, RunFolder, plan_output


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(folder: Path, **options) -> subprocess.Popen[str]:
    make_clip(folder / "clip.mp4", 2000, options={"crf": "30", "preset": "ultrafast"})
    paths = {
        **{"video-src": "clip.mp4", "video-bgr": "plate.png", "output-dir": "out"},
        **{"model-checkpoint": "half.pth", "device": "cpu"},
    }
    flags = [part for flag, value in paths.items() for part in (f"--{flag}", value)]
    command = [sys.executable, str(ROOT / "inference_video.py"), *flags]
    return subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=_hear_ctrl_c, **options
    )


@pytest.mark.parametrize("gap", [0.0, 0.3])  # tests/kills tries more
def test_a_second_ctrl_c_shows_no_traceback_and_the_report_says_stopped(folder, gap):
    program = start(folder)
    while not (folder / "out/com.mp4.part").exists():
        assert program.poll() is None
        time.sleep(0.01)
    program.send_signal(signal.SIGINT)
    time.sleep(gap)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors and "Exception" not in errors
    assert errors.startswith("stopping after the current frames; press Ctrl-C again to stop at")
    assert report(folder / "out")["status"] == "stopped"


def _stuck() -> int:
    """A run that no signal ends: its disk does not answer."""
    outputs = [plan_output("com", FORMATS["video"], (16, 16))]
    facts = {"versions": {"bgmv2": "0"}}
    folder = RunFolder(
        Path("out"),
        outputs,
        numbers=itertools.count,
        overwrite=False,
        resume=False,
        inputs=[],
        facts=facts,
    )
    with Console():
        Path("begun").touch()
        while folder.root:
            time.sleep(0.05)
    return 0


def test_a_run_that_does_not_end_is_ended_and_the_report_says_so(tmp_path):
    program = Forked(_stuck, cwd=tmp_path)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    for _ in range(2):
        program.send_signal(signal.SIGINT)
        time.sleep(0.2)
    started = time.monotonic()
    finished = program.wait(20)
    assert finished.returncode == 130 and time.monotonic() - started < 8
    assert "Traceback" not in finished.stderr
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "stopped"
