"""Progress that programs read, on stdout, a line for each event."""

import json
import re

import pytest
from runs import run

from cli.console import Console
from cli.events import PROGRESS_FORMS
from pipeline.result import MattingResult, logger


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_in_json(folder):
    result = run(folder, "--progress", "json", frames="1-9", output_types=("com", "pha"))
    assert (result.returncode, result.stderr) == (0, "")
    found = events(result.stdout)
    files = {event["path"] for event in found if event["event"] == "file"}
    assert files == {
        f"out/{k}/0000{n}.{x}" for k, x in (("com", "png"), ("pha", "jpg")) for n in range(1, 5)
    }
    progress = [event for event in found if event["event"] == "progress"]
    assert (progress[0]["done"], progress[-1]["done"]) == (0, 4)
    assert all(event["expected"] == 4 and event["stage"] == "frames" for event in progress)
    assert [e for e in found if e["event"] == "warning" and "ends with frame 4" in e["message"]]
    assert found[-1]["event"] == "done" and found[-1]["status"] == 0
    assert (found[-1]["frames"], found[-1]["outputs"]) == (4, ["out/com", "out/pha"])
    again = run(folder, "--progress", "json", frames="1-9")
    assert (again.returncode, again.stderr) == (1, "")
    last = events(again.stdout)[-1]
    assert (last["event"], last["status"]) == ("error", 1) and "is there already" in last["message"]


def test_a_run_for_open_job_description(folder):
    result = run(folder, "--progress", "openjd")
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (0, "")
    shares = [float(line.split()[1]) for line in lines if line.startswith("openjd_progress: ")]
    assert shares == sorted(shares) and (shares[0], shares[-1]) == (0, 100)
    assert re.search(r"^openjd_status: \d of 5 frames, \d+\.\d a second$", result.stdout, re.M)
    again = run(folder, "--progress", "openjd")
    assert again.returncode == 1
    assert again.stdout.splitlines()[-1].startswith("openjd_fail: out: com/00000.png is there")


@pytest.mark.parametrize("form", PROGRESS_FORMS)
def test_names_of_files_cannot_forge_a_line(form, capsys):
    with Console(line_interval=0, form=form) as console:
        logger.warning("a\nopenjd_fail: b")
        console.preparing("frames", 1, None)
        console.progress(1, 4)
        console.progress(2, None)
        console.done(MattingResult(frames=2, seconds=1.0))
        assert console.failed("c\nopenjd_fail: d", 1) == 1
    output = capsys.readouterr()
    lines = (output.out + output.err).splitlines()
    assert len([line for line in lines if line.startswith("openjd_fail")]) == (form == "openjd")
    if form == "json":
        assert [event["event"] for event in events(output.out)] == [
            *("warning", "progress", "progress", "done", "error"),
        ]
    assert bool(output.out) == (form in ("json", "openjd"))
    assert bool(output.err) != bool(output.out)


def test_few_lines_for_many_frames(capsys):
    with Console(form="json") as console:
        for done in range(5000):
            console.progress(done, 5000)
        console.progress(5000, 5000)
    found = events(capsys.readouterr().out)
    assert found[0]["done"] == 0 and found[-1]["done"] == 5000 and len(found) < 100
