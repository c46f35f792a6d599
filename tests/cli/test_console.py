"""What the user sees of a run."""

import os
import re
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from cli.console import Console


def test_progress_is_plain_lines_where_there_is_no_terminal(capsys):
    with Console(line_interval=0) as console:
        console.progress(1, 4)
        console.progress(3, None)
        console.progress(5, 4)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"1 of 4 frames, \d+\.\d a second, \d+ s left", lines[0])
    assert all(re.fullmatch(r"\d frames, \d+\.\d a second", line) for line in lines[1:])
    assert len(lines) == 3


def test_a_bar_goes_on_where_there_are_more_frames_than_expected(capsys):
    with Console(form="bar") as console:
        for done in (1, 4, 6):
            time.sleep(0.11)  # a bar is not drawn more often
            console.progress(done, 4)
    bars = [bar for bar in capsys.readouterr().err.split("\r") if bar.strip()]
    assert "1/4" in bars[0] and bars[-1].startswith("6frame")


def test_the_speed_is_that_of_the_frames_made_now(capsys):
    with Console(line_interval=0) as console:
        for done in (5000, 5000, 5000):  # of an earlier run
            console.progress(done, 10000)
        time.sleep(0.05)
        console.progress(5001, 10000)
    *before, last = capsys.readouterr().err.splitlines()
    assert before[1:] == ["5000 of 10000 frames"] * 2
    assert 0 < float(last.split()[4]) <= 20


def test_lines_come_at_intervals(capsys):
    with Console(line_interval=60) as console:
        for done in range(100):
            console.progress(done + 1, 100)
    assert capsys.readouterr().err == ""


def test_warnings_are_one_line_each(capsys):
    from pipeline.result import MattingResult

    with Console():
        result = MattingResult()
        result.warn("the plate is odd")
        result.warn("the plate is odd")
    assert capsys.readouterr().err == "warning: the plate is odd\n"
    assert result.warnings == ["the plate is odd"]


def test_stages_before_the_run_are_named_with_the_time_left(capsys):
    with Console(line_interval=0) as console:
        console.preparing("frames read for the plate", 0, 90)
        time.sleep(0.02)
        console.preparing("frames read for the plate", 45, 90)
        console.preparing("rows of the plate", 30, None)
        console.progress(0, 90)
        time.sleep(0.02)
        console.progress(1, 90)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "frames read for the plate: 0 of 90"
    assert re.fullmatch(r"frames read for the plate: 45 of 90, \d+ s left", lines[1])
    assert lines[2:4] == ["rows of the plate: 30", "0 of 90 frames"]
    assert float(lines[4].split()[4]) <= 50, "the speed of the run, not of what was before it"


def test_a_signal_stops_a_stage():
    with Console() as console, pytest.raises(KeyboardInterrupt):
        console.signal = 2
        console.preparing("frames read for the plate", 1, 90)


def test_progress_is_a_bar_on_a_terminal():
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    code = """
from cli.console import Console
with Console() as console:
    console.progress(0, 4)
    console.preparing("frames read for the plate", 3, 9)
    console.preparing("rows", 7, 8)
    console.progress(1, 4)
    console.say("between")
    console.progress(4, 4)
"""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, stderr=theirs, check=True)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    assert b"4/4" in seen and b"frame/s" in seen and b"between\r\n" in seen
    assert b"frames read for the plate: 3 of 9 |" in seen and b"rows: 7 of 8 |" in seen
    assert b" left" in seen and seen.count(b"\n") == 2, "bars of stages do not stay"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x9b2J\x85", r"\x9b2J\x85"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\udcff", r"\udcff"),
        ("Überblick 日本 é", "Überblick 日本 é"),
    ],
)
def test_control_characters_are_made_visible(capsys, name, shown):
    from pipeline.result import MattingResult

    with Console() as console:
        console.say(f"error: {name}: is no video")
        MattingResult().warn(name)
    assert capsys.readouterr().err == f"error: {shown}: is no video\nwarning: {shown}\n"


@pytest.mark.parametrize("flags", [[], ["--debug"], ["stray\x1b[2J\nb"]])
def test_control_characters_of_a_command_line_are_made_visible(capsys, tmp_path, flags):
    from inference_video import main

    paths = {"src": "a\x1b[2J\nb", "bgr": "b"}
    given = [part for name, path in paths.items() for part in (f"--video-{name}", path)]
    try:
        status = main([*flags, *given, "--output-dir", str(tmp_path / "out")])
    except SystemExit as error:
        status = error.code
    errors = capsys.readouterr().err
    assert status in (1, 2) and "\x1b" not in errors and r"\x1b[2J\nb" in errors
    assert "--debug" in flags or len(errors.splitlines()) == 1
