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


def test_progress_is_a_bar_on_a_terminal():
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    code = """
from cli.console import Console
with Console() as console:
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
