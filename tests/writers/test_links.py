"""Links in the output folder, and reports that list what no run writes: nothing else is touched."""

import json
import os

import numpy as np
import pytest
import torch
from runs import matte, run

from writers import ImageSequenceWriter, OutputsExistError, VideoWriter, WriteError, save_png
from writers.lock import FolderLock
from writers.outputs import Output
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
    forge(folder, {"kind": "com", "path": "com", "extension": "png", "numbers": "0-8"})
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


def test_outputs_that_a_report_may_list():
    own = [
        Output("com", "com", "png", numbers="-3-8"),
        Output("pha", "comp/v01", "jpg", "shot_pha.####", "1001-1100x5"),
        Output("com", ".", "png", "com.####"),
        Output("com", "com.1001-1100.mp4", numbers="1001-1100"),
        Output("plate", "plate.png"),
        Output("preview", "preview.1001-1100.png"),
        Output("timecodes", "timecodes.txt"),
    ]
    assert all(output.is_valid() for output in own)
    others = [
        Output("com", "../com", "png"),
        Output("com", "a/../../com", "png"),
        Output("com", "/com", "png"),
        Output("com", "com", "txt"),
        Output("com", "com", "png", "../####"),
        Output("com", "com", "png", "shot"),
        Output("com", "com", "png", "##.##"),
        Output("com", ".hidden", "png"),
        Output("com", "com", "png", numbers="many"),
        Output("com", "com.txt"),
        Output("plate", "com.mp4"),
        Output("preview", "preview.me.png"),
        Output("timecodes", "notes.txt"),
        Output("README", "com", "png"),
    ]
    assert not any(output.is_valid() for output in others)


def test_a_file_has_the_number_of_its_name_alone():
    output = Output("com", "com", "png", "shot-####.v2")
    for number in (0, 7, 12345, -5):
        name = output.file_name(number)
        assert output.number_of(name) == output.number_of(name + ".part") == number
    for name in ("shot-7.v2.png", "shot-00007.v2.png", "shot-0007.png", "shot-\u0660007.v2.png"):
        assert output.number_of(name) is None


@pytest.mark.parametrize("deep", [90, 300, 20_000])
def test_a_report_with_deeply_nested_values_is_no_defect(folder, deep):
    (folder / "out").mkdir()
    made_from = '{"a":' * deep + "1" + "}" * deep
    entry = '{"kind": "com", "path": "com", "extension": "png", "made_from": ' + made_from + "}"
    text = f'{{"versions": {{"bgmv2": "0"}}, "outputs": [{entry}, {{"kind": {{}}, "path": []}}]}}'
    (folder / "out/run.json").write_text(text)
    result = run(folder, output_types="pha")
    assert "Traceback" not in result.stderr and "defect" not in result.stderr, result.stderr
