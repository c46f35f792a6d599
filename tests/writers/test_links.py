"""Links in the output folder, and reports that list what no run writes: nothing else is touched."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import matte, run

from writers import ImageSequenceWriter, OutputsExistError, VideoWriter, WriteError, save_png
from writers.lock import FolderLock
from writers.outputs import is_own_name
from writers.report import write_report

FRAME = torch.zeros(1, 3, 16, 16)


def write_images(folder):
    with ImageSequenceWriter(folder, "png") as writer:
        writer.add_batch(FRAME)


def write_video(folder):
    with VideoWriter(folder / "com.mp4", 25, 16, 16) as writer:
        writer.add_batch(FRAME)


WRITES = {
    "00000.png": write_images,
    "com.mp4": write_video,
    "preview.png": lambda folder: save_png(folder / "preview.png", np.zeros((4, 4, 3), np.uint8)),
    "run.json": lambda folder: write_report(folder, {"status": "done"}),
}


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("name", WRITES)
def test_a_partial_file_that_is_a_link_is_replaced_not_followed(tmp_path, name, link):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out").mkdir()
    link(tmp_path / "victim", tmp_path / "out" / f"{name}.part")
    WRITES[name](tmp_path / "out")
    assert (tmp_path / "victim").read_text() == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert not (tmp_path / "out" / name).is_symlink()


@pytest.mark.parametrize("name", WRITES)
def test_a_partial_file_that_is_a_pipe_is_named(tmp_path, name):
    os.mkfifo(tmp_path / f"{name}.part")
    with pytest.raises(WriteError, match=rf"{name}\.part: is no file"):
        WRITES[name](tmp_path)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_that_is_a_link_is_named_and_not_emptied(tmp_path, link):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out").mkdir()
    link(tmp_path / "victim", tmp_path / "out/.run.lock")
    with pytest.raises(WriteError, match=r"\.run\.lock: is not the lock of a run"):
        FolderLock(tmp_path / "out")
    assert (tmp_path / "victim").read_text() == "mine"


def forge(folder, *outputs: dict[str, object]) -> None:
    report = {"versions": {"bgmv2": "0"}, "outputs": outputs}
    (folder / "out/run.json").write_text(json.dumps(report))


@pytest.mark.parametrize(
    "name", ["README", "com.txt", "com.README", "run.json.bak", ".run.lock", "plate.PNG", "com.png"]
)
@pytest.mark.parametrize("kind", ["com", "plate", "preview"])
def test_a_forged_report_removes_no_file_that_no_run_writes(folder, kind, name):
    (folder / "out").mkdir()
    (folder / "out" / name).write_text("mine" if name != ".run.lock" else "")
    forge(folder, {"kind": kind, "path": name})
    matte(folder, folder / "clip.mp4", overwrite=True)
    if name != ".run.lock":
        assert (folder / "out" / name).read_text() == "mine"


def test_a_forged_report_removes_nothing_through_a_link(folder):
    (folder / "out").mkdir()
    (folder / "theirs").mkdir()
    (folder / "theirs/00000.png").write_text("mine")
    (folder / "out/com").symlink_to(folder / "theirs")
    forge(folder, {"kind": "com", "path": "com", "extension": "png", "frames": 9})
    for flags in ({"overwrite": True}, {}):
        with pytest.raises(OutputsExistError, match="out/com: is a link"):
            matte(folder, folder / "clip.mp4", **flags)
    with pytest.raises(OutputsExistError, match="out/com: is a link"):
        matte(folder, folder / "clip.mp4", output_types=["pha"], overwrite=True)
    assert [path.name for path in (folder / "theirs").iterdir()] == ["00000.png"]
    result = run(folder, "--overwrite")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1


def test_the_output_folder_itself_may_be_a_link(folder):
    (folder / "disk").mkdir()
    (folder / "out").symlink_to(folder / "disk")
    matte(folder, folder / "clip.mp4")
    matte(folder, folder / "clip.mp4", overwrite=True)
    assert len(list((folder / "disk/com").iterdir())) == 5


def test_names_that_a_run_writes():
    own = ["com/00000.png", "pha/123456.jpg", "com.mp4", "plate.png", "preview.png"]
    assert all(is_own_name(Path(name)) and is_own_name(Path(name + ".part")) for name in own)
    others = [
        "README",
        "com/0.png",
        "com/\u0660\u0661\u0662\u0663\u0664.png",
        "a/com.mp4",
        "com/00000.txt",
        "run.json",
        "com",
    ]
    assert not any(is_own_name(Path(name)) for name in others)


@pytest.mark.parametrize("deep", [90, 300, 20_000])
def test_a_report_with_deeply_nested_values_is_no_defect(folder, deep):
    (folder / "out").mkdir()
    made_from = '{"a":' * deep + "1" + "}" * deep
    entry = '{"kind": "com", "path": "com", "extension": "png", "made_from": ' + made_from + "}"
    text = f'{{"versions": {{"bgmv2": "0"}}, "outputs": [{entry}, {{"kind": {{}}, "path": []}}]}}'
    (folder / "out/run.json").write_text(text)
    result = run(folder, output_types="pha")
    assert "Traceback" not in result.stderr and "defect" not in result.stderr, result.stderr
