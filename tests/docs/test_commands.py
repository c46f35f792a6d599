"""The README and the docs: every command word for word, every example, every link and table."""

import os
import re
import shlex
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import footage
import pytest
from conftest import ROOT
from PIL import Image

from cli.flags import flag_table
from inference_video import main, parse_args
from pipeline.settings import Settings, declared_settings
from writers.formats import format_table

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {page: page.read_text(encoding="utf-8") for page in (README, *DOCS)}
#: Page, language and content of every block of code.
BLOCKS = [
    (page, language, block)
    for page, text in TEXTS.items()
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.M | re.S)
]
LINES = [
    (page, line)
    for page, language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
]
COMMANDS = list(dict.fromkeys(line for _, line in LINES if line.startswith("inference-video ")))
EXAMPLES = [block for _, language, block in BLOCKS if language == "python"]
SET_UP = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/"
#: The front page is read in two minutes.
MAX_LINES, MAX_WORDS = 80, 700


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the commands name, and the current one."""
    footage.make_clip(tmp_path / "shot.mp4", 3, sound="aac")
    footage.make_clip(tmp_path / "whole.mp4", 4)
    footage.make_plate(tmp_path / "plate.png")
    footage.make_plate(tmp_path / "garbage.png")
    footage.make_plate(tmp_path / "core.png")
    footage.make_checkpoint(tmp_path / "pytorch_mobilenetv2.pth")
    Image.new("RGB", (60, 40), (250, 220, 180)).save(tmp_path / "beach.jpg")
    jobs = ["video-src,output-dir", "shot.mp4,one", "frames,two"]
    (tmp_path / "clips.csv").write_text("\n".join(jobs))
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.fromarray(footage.numbered(number)).save(tmp_path / f"frames/{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_commands_and_no_others():
    assert len(COMMANDS) >= 16 and len(EXAMPLES) >= 4
    others = [(page, line) for page, line in LINES if line not in COMMANDS]
    assert [page for page, _ in others] == [README, README]
    assert others[0][1].startswith(SET_UP) and others[1][1] == "tests/run"
    farm = {"bash", "yaml"}  # which test_farm.py runs
    assert {language for _, language, _ in BLOCKS} == {"sh", "python", *farm}
    assert {page.name for page, language, _ in BLOCKS if language in farm} == {"farm.md"}


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_command(desk, command):
    arguments = shlex.split(command)[1:]
    if "--overwrite" in arguments:
        assert main([a for a in arguments if a != "--overwrite"]) == 0
    assert main(arguments) == 0
    if "--jobs" in arguments:
        assert all(len(list(Path(out).glob("com.mp4"))) == 1 for out in ("one", "two"))
        return
    out = Path(arguments[arguments.index("--output-dir") + 1])
    assert list(out.glob("preview*.png"))
    if "--preview-only" in arguments:
        return
    (com,) = (path for path in out.iterdir() if path.name.startswith("com"))
    assert len(list(com.iterdir()) if com.is_dir() else footage.read_video(com)[0]) == 3


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(desk, example, capsys, caplog):
    if "ImageSequenceWriter" in example:  # which is about what happens when a program ends
        output = run_as_a_program(example)
    else:
        exec(example, {"__name__": "__main__"})
        output = capsys.readouterr()
    assert (output.err, caplog.messages) == ("", [])
    if "matte_video" in example:
        assert output.out.startswith("missing.png" if "MattingError" in example else "3 ")
    if "ImageSequenceWriter" in example:
        assert len(os.listdir("output/com")) == 8
    if "VideoWriter" in example:
        assert len(footage.read_video(Path("output/fgr.mp4"))[0]) == 8


class Output(NamedTuple):
    out: str
    err: str


def run_as_a_program(code: str) -> Output:
    """Run code in a process of its own, which has to succeed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return Output(done.stdout, done.stderr)


def test_the_first_command_mattes_the_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/plate.png").symlink_to(ROOT / "samples/plate.png")
    shorten(ROOT / "samples/clip.mp4", tmp_path / "samples/clip.mp4", 6)
    (line,) = (line for _, line in LINES if line.startswith(SET_UP))
    assert main(shlex.split(line.removeprefix(SET_UP))[1:]) == 0
    assert sorted(os.listdir("output/com")) == [f"{n:05d}.png" for n in range(6)]


def shorten(clip: Path, path: Path, packets: int) -> None:
    """The first packets of a clip, which takes a minute as a whole."""
    with av.open(str(clip)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in islice(old.demux(video=0), packets):
            packet.stream = stream
            new.mux(packet)


def test_the_test_command_is_what_the_checks_run():
    assert os.access(ROOT / "tests/run", os.X_OK)
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec tests/run")


def test_the_readme_is_short():
    text = TEXTS[README]
    assert len(text.splitlines()) <= MAX_LINES and len(text.split()) <= MAX_WORDS


def test_flags_of_the_common_jobs_can_be_added_to_their_command():
    (base,) = re.findall(r"^`(inference-video .*)`$", TEXTS[README], flags=re.M)
    rows = re.findall(r"^\|[^|]*\|([^|]*`--[^|]*)\|[^|]*\|$", TEXTS[README], flags=re.M)
    assert len(rows) == 6
    for flags in re.findall(r"`([^`]+)`", " ".join(rows)):
        values = vars(parse_args(shlex.split(f"{base} {flags}")[1:]))
        Settings(**{name: values[name] for name in declared_settings(Settings)})


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_images_lead_somewhere(page):
    for link in re.findall(r"\]\((?!http)([^)]+)\)", TEXTS[page]):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_table_of_contents_names_every_page():
    contents = ROOT / "docs/README.md"
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", TEXTS[contents]))
    assert linked == {page.name for page in DOCS if page != contents}
    assert "(docs/README.md)" in TEXTS[README]


@pytest.mark.parametrize("name, table", [("flags", flag_table), ("formats", format_table)])
def test_tables_are_those_of_the_program(name, table):
    assert f"\n\n{table()}\n" in TEXTS[ROOT / f"docs/{name}.md"]


def test_the_model_card_is_filled_in():
    assert not re.search(r"@[A-Z]+@", (ROOT / "model/weights/MODEL_CARD.md").read_text())
