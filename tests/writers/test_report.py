"""The report and the lock of an output folder: two runs at once, and a full disk."""

import os

import pytest
from footage import make_clip
from processes import start_program
from runs import report, run

from writers import WriteError
from writers.report import read_report, write_report


def test_of_two_runs_on_a_new_folder_one_is_refused(folder):
    make_clip(folder / "clip.mp4", 60)
    flags = ["--video-src", folder / "clip.mp4", "--video-bgr", folder / "plate.png"]
    flags += ["--output-dir", folder / "new/out", "--model-checkpoint", folder / "half.pth"]
    programs = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        programs.append(start_program(*flags, "--device", "cpu", cwd=folder / name))
    ends = sorted((program.wait() for program in programs), key=lambda end: end.returncode or 0)
    assert [end.returncode for end in ends] == [0, 1]
    assert "another run is writing there" in ends[1].stderr or "is there already" in ends[1].stderr
    assert report(folder / "new/out")["frames"] == 60


def test_without_room_for_a_second_copy_the_report_is_rewritten_in_place(tmp_path):
    facts = {"versions": {"bgmv2": "0"}}
    write_report(tmp_path, {"status": "running", **facts})
    size = (tmp_path / "run.json").stat().st_size
    (tmp_path / "run.json.part").mkdir()  # no second copy
    write_report(tmp_path, {"status": "failed", "warnings": ["x" * 1000], **facts})
    assert read_report(tmp_path)["status"] == "failed"
    with pytest.raises(WriteError):
        write_report(tmp_path, {"status": "done", "warnings": ["x" * 5000], **facts})
    assert read_report(tmp_path)["status"] == "failed"
    assert (tmp_path / "run.json").stat().st_size == size


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_on_a_full_disk_the_report_says_failed(folder):
    (folder / "out").mkdir()
    if os.system(f"mount -t tmpfs -o size=64k tmpfs '{folder}/out' 2> /dev/null"):
        pytest.skip("no right to mount")
    try:
        make_clip(folder / "clip.mp4", 400)
        result = run(folder, output_format="video", output_types=("com", "fgr", "pha"))
        assert result.returncode == 1
        assert report(folder / "out")["status"] == "failed"
    finally:
        os.system(f"umount '{folder}/out'")
