"""The examples of docs/farm.md, with stand-ins for the program, for srun and for parallel."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import footage
import pytest
from conftest import ROOT

from inference_video import main

PAGE = (ROOT / "docs/farm.md").read_text(encoding="utf-8")
BASH = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.M | re.S)
(TEMPLATE,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.M | re.S)
#: Notes its arguments; the runs themselves take place in the process of the tests.
PROGRAM = """#!{python}
import json, sys
with open("calls", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""
SRUN = '#!/bin/sh\nexec "$@"\n'
#: As far as the example needs it: each line of stdin in place of {{}}.
PARALLEL = """#!{python}
import subprocess, sys
for line in sys.stdin:
    subprocess.run(sys.argv[3].replace("{{}}", line.strip()), shell=True, check=True)
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip of 7 frames, and stand-ins."""
    footage.make_clip(tmp_path / "shot.mp4", 7, sound="aac")
    footage.make_plate(tmp_path / "plate.png")
    programs = {"inference-video": PROGRAM, "srun": SRUN}
    if shutil.which("parallel") is None:
        programs["parallel"] = PARALLEL
    for name, text in programs.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(python=sys.executable))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_calls(desk: Path) -> None:
    """Run what the stand-in was called with; joining comes last."""
    calls = [json.loads(line) for line in (desk / "calls").read_text().splitlines()]
    for call in sorted(calls, key=lambda call: call[0] == "join"):
        assert main(call) == 0, call


def example(words: str) -> str:
    (block,) = (block for block in BASH if words in block)
    return block


def small(script: str) -> str:
    """The same for a clip of 7 frames."""
    return script.replace("last=699 size=100", "last=6 size=3").replace("size=100", "size=3")


@pytest.mark.parametrize("program", ["xargs -P", "parallel --jobs"])
def test_runs_side_by_side(desk, program):
    subprocess.run(["bash", "-ec", small(example(program))], check=True, timeout=60)
    run_calls(desk)
    assert sorted(os.listdir("farm/com")) == [f"{n:05d}.png" for n in range(7)]
    report = json.loads(Path("farm/run.json").read_text())
    assert report["joined"] == ["0-2", "3-5", "6"]


def test_a_slurm_array(desk):
    script = example("#SBATCH")
    assert "#SBATCH --array=0-6" in script
    for task in range(3):
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(task)}
        command = ["bash", "-ec", small(script)]
        subprocess.run(command, env=environment, check=True, timeout=60)
    run_calls(desk)
    assert main(["join", "farm"]) == 0
    assert len(os.listdir("farm/com")) == 7


@pytest.mark.parametrize("farm", ["deadlinecommand", "#FRAME_START#"])
def test_commands_of_farms_name_ranges(desk, farm):
    line = example(farm).strip()
    arguments = re.findall(r"--video-src [^\"]*", line)[0]
    for start, end in (("<STARTFRAME>", "<ENDFRAME>"), ("#FRAME_START#", "#FRAME_END#")):
        arguments = arguments.replace(start, "4").replace(end, "9")
    assert main(arguments.split()) == 0, "the last chunk overshoots"
    assert len(os.listdir("farm/com")) == 3


def test_the_template_has_the_flags_of_the_program(desk):
    arguments = re.findall(r"^            - (--\S+)$", TEMPLATE, flags=re.M)
    values = {"Param.Clip": "shot.mp4", "Param.Plate": "plate.png", "Param.Out": "farm"}
    values["Task.Param.Frame"] = "0-2"
    call = [re.sub(r"\{\{(.*?)\}\}", lambda m: values[m[1]], text) for text in arguments]
    assert len(call) == 7 and main(call) == 0
    assert Path("farm/com.0-2.mp4").exists()


@pytest.mark.skipif(shutil.which("openjd") is None, reason="openjd-cli is not installed")
def test_the_template_runs(desk):
    (desk / "matte.yaml").write_text(TEMPLATE)
    subprocess.run(["openjd", "check", "matte.yaml"], check=True, timeout=60)
    program = f'#!/bin/sh\nexec {sys.executable} {ROOT / "inference_video.py"} "$@"\n'
    (desk / "bin/inference-video").write_text(program)
    parameters = {"Clip": "shot.mp4", "Plate": "plate.png", "Out": "farm"}
    command = ["openjd", "run", "matte.yaml", "--step", "Join", "--run-dependencies"]
    for name, value in parameters.items():
        command += ["-p", f"{name}={desk / value}"]
    command += ["-p", "Frames=0-6", "-p", "ChunkSize=4"]
    subprocess.run(command, check=True, timeout=200)
    assert len(footage.read_video(desk / "farm/com.mp4")[0]) == 7
