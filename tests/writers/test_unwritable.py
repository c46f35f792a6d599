"""Paths and reports that a run cannot use: each error is one that a user can mend."""

import itertools
import os

import numpy as np
import processes
import pytest
import torch
from runs import assert_error, run

from media import UsageError
from writers import (
    FORMATS,
    ImageSequenceWriter,
    OutputsExistError,
    RunFolder,
    VideoWriter,
    WriteError,
    plan_output,
    read_report,
    save_png,
)

OUTPUTS = [plan_output("com", FORMATS["png"], (16, 16))]


def open_folder(root, inputs=()):
    facts = {"versions": {"bgmv2": "0"}}
    return RunFolder(
        root,
        OUTPUTS,
        numbers=itertools.count,
        overwrite=True,
        resume=False,
        inputs=inputs,
        facts=facts,
    )


@pytest.mark.parametrize("name", ["x" * 300, "nul\0"])
def test_a_name_that_no_file_can_have(tmp_path, name):
    path = tmp_path / name
    for write in (
        lambda: ImageSequenceWriter(path, "png"),
        lambda: VideoWriter(path / "x.mp4", 25, 16, 16),
        lambda: save_png(path, np.zeros((4, 4, 3), np.uint8)),
        lambda: open_folder(path),
        lambda: open_folder(tmp_path / "out", [tmp_path / "nul\0"]),
        lambda: read_report(tmp_path / "nul\0"),
    ):
        with pytest.raises(WriteError, match=r"xxx|nul"):
            write()


def test_an_input_that_is_a_loop_of_links_is_no_output(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    open_folder(tmp_path / "out", [tmp_path / "loop"]).finish({}, {})
    assert read_report(tmp_path / "out")["outputs"]


@pytest.mark.parametrize("text", ['{"versions": 3}', '{"versions": "bgmv2"}', "[" * 100_000])
def test_a_report_of_another_program(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OutputsExistError, match=r"run\.json: was not written by this program"):
        open_folder(tmp_path)
    assert (tmp_path / "run.json").read_text() == text


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_output_folder_without_permission_is_named(folder):
    for path in (folder, *folder.parents[:3]):
        path.chmod(0o755)
    (folder / "out/com").mkdir(parents=True)
    (folder / "out").chmod(0o777)
    (folder / "out/com").chmod(0o300)
    result = run(folder, before=processes.become_nobody)
    assert_error(result, 1, "out/com", "Permission denied")
    assert "defect" not in result.stderr


@pytest.mark.filterwarnings("ignore")
def test_a_frame_that_is_too_large_for_the_format_names_the_file(tmp_path):
    writer = ImageSequenceWriter(tmp_path, "jpg")
    writer.add_batch(torch.zeros(1, 1, 1, 70_000))
    with pytest.raises(WriteError, match=r"00000\.jpg: jpg cannot hold a frame of 70000x1"):
        writer.close()


def test_frames_that_do_not_fit_are_an_error_of_use(tmp_path):
    with pytest.raises(UsageError):
        ImageSequenceWriter(tmp_path, "png", bit_depth=12)
    with VideoWriter(tmp_path / "x.mp4", 25, 16, 16) as writer, pytest.raises(UsageError):
        writer.add_batch(torch.zeros(1, 3, 16, 18))
