"""How runs end: the first error is told, everything is closed, and nothing stays locked."""

import json
import os
from fractions import Fraction

import footage
import pytest
import torch
from footage import KnownNetwork, make_clip, make_plate
from runs import matte

import dataset.threads
from dataset import MediaError, open_source
from media import UsageError
from pipeline import PairLoader
from pipeline.preview import Preview
from writers import MemoryWriter, OutputsExistError, VideoWriter, WriteError
from writers.folder import FolderLock


@pytest.mark.parametrize("rate", [Fraction(2000), Fraction(1, 2000)])
def test_the_rate_of_a_clip_has_no_limits(folder, rate):
    """Those of --frame-rate are for what a user gives."""
    clip = make_clip(folder / "fast.mp4", 3, rate=rate)
    assert matte(folder, clip).frames >= 2, "MP4's edit list may hide one"
    report = json.loads((folder / "out/run.json").read_text())
    assert Fraction(report["settings"]["frame_rate"]) == rate


def fail(*of: object) -> None:
    raise MemoryError("no room for a sheet")


def test_a_sheet_that_fails_hides_no_error(folder, monkeypatch):
    monkeypatch.setattr(Preview, "sheet", fail)

    def stop(done: int, expected: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        matte(folder, folder / "clip.mp4", progress=stop)
    report = json.loads((folder / "out/run.json").read_text())
    assert report["status"] == "stopped"
    assert not (folder / "out/.run.lock").exists()


def test_the_lock_is_released_when_the_first_report_cannot_be_written(folder):
    (folder / "out/run.json.part").mkdir(parents=True)
    with pytest.raises(WriteError, match=r"run\.json") as raised:
        matte(folder, folder / "clip.mp4")
    assert not (folder / "out/.run.lock").exists()
    (folder / "out/run.json.part").rmdir()
    assert matte(folder, folder / "clip.mp4").frames == 5, raised


def test_the_folder_is_locked_as_long_as_the_run_goes_on(folder):
    refused = []

    def look(done: int, expected: int | None) -> None:
        if done:
            with pytest.raises(OutputsExistError, match="another run"):
                FolderLock(folder / "out")
            refused.append(done)

    matte(folder, folder / "clip.mp4", progress=look)
    assert refused
    FolderLock(folder / "out").release()


class Sticky(MemoryWriter):
    """A sink that cannot be closed."""

    def abort(self) -> None:
        raise WriteError("sink: cannot close")


def test_a_sink_that_cannot_be_closed_hides_no_error(folder):
    class Broken(KnownNetwork):
        def forward(self, src, bgr):
            raise LookupError("the first error")

    sinks = {"com": Sticky(), "pha": MemoryWriter()}
    with pytest.raises(LookupError, match="the first error"):
        matte(folder, folder / "clip.mp4", writers=sinks, output_dir=None, network=Broken())
    with pytest.raises(ValueError, match="closed"):
        sinks["pha"].add_batch(torch.zeros(1, 1, 4, 4))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no list of open files")
def test_a_stopped_run_closes_the_clip(folder):
    def stop(done: int, expected: int | None) -> None:
        if done == 1:
            raise KeyboardInterrupt

    clip = make_clip(folder / "long.mp4", 200)
    with pytest.raises(KeyboardInterrupt):
        matte(folder, clip, progress=stop)
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    assert str(clip) not in [os.readlink(link) for link in links if os.path.exists(link)]


def test_a_target_that_nothing_shows_is_not_read(folder):
    target = make_clip(folder / "target.mp4", 2)
    target.write_bytes(b"damaged")
    given = dict(output_format="video", video_target_bgr=str(target))
    with pytest.raises(MediaError, match=r"target\.mp4"):
        matte(folder, folder / "clip.mp4", **given)
    result = matte(folder, folder / "clip.mp4", output_types=["pha"], **given)
    assert "--video-target-bgr has no effect without com" in result.warnings


def test_no_sinks_are_refused(folder):
    with pytest.raises(UsageError, match="writers is empty"):
        matte(folder, folder / "clip.mp4", writers={}, output_dir=None)


def test_readers_take_their_threads_before_a_run_takes_its_share(tmp_path, monkeypatch):
    before = torch.get_num_threads()
    asked: list[int] = []
    monkeypatch.setattr(dataset.threads, "_MAX_THREADS", 3)
    try:
        torch.set_num_threads(16)
        source = open_source(make_clip(tmp_path / "clip.mp4", 3), pytest.fail)
        torch.set_num_threads(1)
        asked.append(source.threads)
        loader = PairLoader(source, open_source(make_plate(tmp_path / "p.png"), print), warn=print)
        with loader:
            assert len(list(loader)) == 3
    finally:
        torch.set_num_threads(before)
    assert asked == [3]


def test_a_video_that_cannot_be_begun_leaves_nothing(tmp_path):
    with pytest.raises(WriteError, match=r"a\.mp4"):
        VideoWriter(tmp_path / "a.mp4", 25, 96, 48, preset="no such preset")
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_jpeg_cannot_hold_is_refused_before_anything_is_made(tmp_path):
    footage.make_plate(tmp_path / "plate.png", (4, 70_000))
    footage.make_plate(tmp_path / "frame.png", (4, 70_000))
    with pytest.raises(WriteError, match="pha: 70000x4 is too large for jpg"):
        matte(tmp_path, tmp_path / "frame.png", output_types=["pha"])
    assert not (tmp_path / "out").exists()
