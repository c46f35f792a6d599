"""What goes wrong with what goes out: message, exit status and files."""

import json
import os
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import processes
import pytest
import torch
from footage import make_clip, make_plate, read_video
from PIL import Image
from runs import assert_error, matte, numbers, report, run

from dataset import read_image
from writers import FrameWriter
from writers.lock import FolderLock
from writers.threaded import ThreadedWriter

# Output that cannot be written


def test_a_full_disk_ends_a_sequence(folder):
    noise = np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8)
    (folder / "shots").mkdir()
    for number in range(6):  # the first ones are small files, the others are not
        picture = noise if number > 2 else noise // 255
        Image.fromarray(picture).save(folder / f"shots/{number}.png")
    make_plate(folder / "plate.png", (400, 400))
    result = run(
        folder,
        "--no-preflight",  # noise has no likeness
        video_src="shots",
        output_types="fgr",
        image_extension="png",
        before=processes.small_files_only,
    )
    assert_error(result, 1, "out/fgr/0000", "File too large")
    files = sorted((folder / "out/fgr").iterdir())
    assert [file.name for file in files[:3]] == ["00000.png", "00001.png", "00002.png"]
    for file in files:
        assert cv2.imread(str(file)) is not None
    assert report(folder / "out")["status"] == "failed"


def noisy(folder: Path, count: int, side: int) -> str:
    """A folder of images that no codec makes small, with their plate."""
    random = np.random.default_rng(1)
    (folder / "shots").mkdir()
    for number in range(count):
        picture = random.integers(0, 255, (side, side, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"shots/{number:03d}.png")
    make_plate(folder / "plate.png", (side, side))
    return "shots"


@pytest.mark.parametrize("count", [12, 60], ids=["noticed at the end", "noticed on the way"])
def test_a_full_disk_ends_a_video(folder, count):
    result = run(
        folder,
        "--no-preflight",  # noise has no likeness
        video_src=noisy(folder, count, 160),
        output_types=("fgr", "pha"),
        output_format="video",
        before=processes.small_files_only,
    )
    assert_error(result, 1, "out/fgr.mp4", "File too large")
    assert not (folder / "out/fgr.mp4").exists()
    pictures, _ = read_video(folder / "out/pha.mp4")
    assert len(pictures) == report(folder / "out")["frames"]


@pytest.mark.parametrize("name", ["video", "prores4444", "webm", "ffv1", "qtrle"])
def test_what_was_written_until_the_disk_was_full_plays(folder, name):
    result = run(
        folder,
        "--no-preflight",
        video_src=noisy(folder, 50, 120),
        output_types="fgr",
        output_format=name,
        before=processes.small_files_only,
    )
    assert_error(result, 1, "File too large; the video until then plays: fgr.")
    (partial,) = (folder / "out").glob("fgr.*.part")
    with av.open(str(partial)) as container:
        assert next(container.decode(video=0)).width == 120


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_disk_without_room_for_the_report_names_the_frame(folder):
    (folder / "out").mkdir()
    if os.system(f"mount -t tmpfs -o size=64k tmpfs '{folder}/out' 2> /dev/null"):
        pytest.skip("no right to mount")
    try:
        make_clip(folder / "clip.mp4", 20)
        result = run(folder)
        assert_error(result, 1, "out/com/000", "No space left")
        written = numbers(folder / "out/com")
        assert written == list(range(len(written))) and len(written) > 2
    finally:
        os.system(f"umount '{folder}/out'")


def test_the_error_that_ended_the_run_is_told_even_if_the_report_fails_too(folder):
    def progress(done: int, expected: int | None) -> None:
        if not done:
            return
        (folder / "out/run.json").unlink()
        (folder / "out/run.json").mkdir()
        raise OSError("the first error")

    with pytest.raises(OSError, match="the first error"):
        matte(folder, folder / "clip.mp4", progress=progress)


@pytest.mark.parametrize("form", ["video", "image_sequences"])
def test_output_below_a_file_is_named(folder, form):
    (folder / "taken").write_text("not a folder")
    assert_error(run(folder, output_dir="taken/out", output_format=form), 1, "taken")
    assert_error(run(folder, output_dir="taken", output_format=form), 1, "taken")
    assert (folder / "taken").read_text() == "not a folder"


@pytest.mark.parametrize("form", ["video", "image_sequences"])
def test_output_without_permission_is_named(folder, form):
    for path in (folder, *folder.parents):
        if Path(tempfile.gettempdir()) in path.parents:  # pytest's own, which others may not enter
            path.chmod(0o755)
    (folder / "out").mkdir(mode=0o555)
    options = {"output_format": form, "before": processes.become_nobody}
    assert_error(run(folder, **options), 1, "out", "Permission denied")
    (folder / "locked").mkdir(mode=0o500)
    assert_error(run(folder, output_dir="locked/out", **options), 1, "locked", "Permission denied")
    if os.getuid() == 0:
        (folder / "half.pth").unlink()
        torch.save({}, folder / "half.pth")
        (folder / "half.pth").chmod(0o600)
        assert_error(run(folder, **options), 1, "half.pth", "Permission denied")
        (folder / "clip.mp4").chmod(0o600)
        assert_error(run(folder, **options), 1, "clip.mp4", "Permission denied")


# Sinks


class FailingSink(ThreadedWriter):
    """Fails in its thread at frame 3."""

    def __init__(self):
        super().__init__(workers=1, queue_size=4)
        self.frames = 0

    def add_batch(self, frames):
        self._check()
        for _ in frames:
            self._submit(self._save, self.frames)
            self.frames += 1

    def _save(self, number: int) -> None:
        if number == 3:
            raise OSError("the tape is full")

    def _finalize(self, *, aborted: bool) -> None:
        pass


def test_a_sink_that_fails_in_its_thread_ends_the_run_soon(folder):
    sink = FailingSink()
    with pytest.raises(OSError, match="the tape is full"):
        matte(folder, make_clip(folder / "long.mp4", 200), writers={"com": sink}, output_dir=None)
    assert sink.frames < 20


def test_other_sinks_are_closed_when_one_fails(folder):
    class Other(FrameWriter):
        closed = False

        def add_batch(self, frames):
            assert not self.closed

        def close(self):
            self.closed = True

    other = Other()
    with pytest.raises(OSError, match="the tape is full"):
        matte(
            folder,
            make_clip(folder / "long.mp4", 200),
            writers={"pha": other, "com": FailingSink()},
            output_dir=None,
        )
    assert other.closed


# The output folder


def images(folder: Path, count: int, **options):
    """Matte ``count`` frames as images into ``folder/out``."""
    return matte(folder, make_clip(folder / f"{count}.mp4", count), **options)


def names(folder: Path) -> list[str]:
    """Every file but the contact sheet."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "preview.png")
    return sorted(str(path.relative_to(folder)) for path in files)


def test_a_folder_with_outputs_is_refused(folder):
    assert run(folder).returncode == 0
    before = names(folder / "out")
    result = run(folder)
    assert_error(result, 1, "out", "com/00000.png", "--overwrite")
    assert names(folder / "out") == before


def test_other_kinds_may_join_and_overwrite_clears_both(folder):
    images(folder, 3)
    images(folder, 2, output_types=["pha"])
    assert names(folder / "out") == [
        *("com/00000.png", "com/00001.png", "com/00002.png"),
        *("pha/00000.jpg", "pha/00001.jpg", "run.json"),
    ]
    images(folder, 1, overwrite=True)
    assert names(folder / "out") == ["com/00000.png", "run.json"]


def test_overwrite_leaves_nothing_stale_and_nothing_lost(folder):
    images(folder, 5)
    own = ["notes.txt", "com/my.png", "com/99999999x.png", "other/00000.png", "com/00000.txt.png"]
    for name in own:
        (folder / "out" / name).parent.mkdir(exist_ok=True)
        (folder / "out" / name).write_text("mine")
    images(folder, 3, overwrite=True)
    written = [f"com/{number:05d}.png" for number in range(3)]
    assert names(folder / "out") == sorted([*own, *written, "run.json"])
    assert all((folder / "out" / name).read_text() == "mine" for name in own)
    assert numbers_of_outputs(folder) == {"com": 3}


def numbers_of_outputs(folder: Path) -> dict[str, int]:
    outputs = report(folder / "out")["outputs"]
    return {output["kind"]: output["frames"] for output in outputs if output["kind"] != "preview"}


@pytest.mark.parametrize("name", ["com/00007.png", "com/123456.png"])
def test_overwrite_refuses_what_no_run_listed(folder, name):
    images(folder, 2)
    (folder / "out" / name).write_text("mine")
    before = names(folder / "out")
    with pytest.raises(FileExistsError, match=rf"{name}.*not written by an earlier run"):
        images(folder, 2, overwrite=True)
    assert names(folder / "out") == before


def test_overwrite_without_a_report_refuses(folder):
    images(folder, 2)
    (folder / "out/run.json").unlink()
    with pytest.raises(FileExistsError, match="not written by an earlier run"):
        images(folder, 2, overwrite=True)
    assert names(folder / "out") == ["com/00000.png", "com/00001.png"]


def entry(**changes: object) -> dict[str, object]:
    honest = {"kind": "com", "path": "com", "extension": "png", "numbers": "0-2", "frames": 3}
    return {**honest, **changes}


FORGED = {
    "parent": [entry(path="../com")],
    "absolute": [entry(path="/ABSOLUTE/com")],
    "parent of a video": [entry(path="../com.mp4", extension=None)],
    "through the extension": [entry(extension="x/../../../com/00000.png")],
    "through the kind": [entry(kind="../com", path="../com")],
    "no range": [entry(numbers="3 of them")],
    "a list for a range": [entry(numbers=[0, 1, 2])],
    "a folder in the name": [entry(pattern="../../com/#####")],
    "text for a number": [entry(frames="3")],
    "endless": [entry(numbers="0-999999999999", path="pha", kind="pha")],
    "negative": [entry(numbers="-1000000-9000000", path="pha", kind="pha")],
    "no list": None,
    "a list of texts": ["com"],
    "a number": 3,
    "no path": [entry(path=None, extension=None)],
    "lists inside": [entry(kind=["com"], path=["com"])],
}


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.timeout(60)
def test_a_forged_report_reaches_no_other_file(folder, name):
    out = folder / "out"
    for place in ("com", "out/com/00000.x", "out/fgr"):
        (folder / place).mkdir(parents=True)
    for victim in ("com/00000.png", "com.mp4", "out/com/notes.txt", "out/fgr/00000.png"):
        (folder / victim).write_text("mine")
    outputs = json.dumps(FORGED[name]).replace("/ABSOLUTE", str(folder))
    (out / "run.json").write_text(f'{{"versions": {{"bgmv2": "0"}}, "outputs": {outputs}}}')
    images(folder, 1, output_types=["pha"], overwrite=True)
    assert {"00000.png"} == {path.name for path in (folder / "com").iterdir()}
    assert names(out) == ["com/notes.txt", "fgr/00000.png", "pha/00000.jpg", "run.json"]
    assert (folder / "com.mp4").read_text() == "mine"


@pytest.mark.parametrize("text", ["{", "[]", '{"mine": 1}'])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_report_of_another_program_is_kept(folder, text, overwrite):
    (folder / "out").mkdir()
    (folder / "out/run.json").write_text(text)
    with pytest.raises(FileExistsError, match=r"run\.json: was not written by this program"):
        images(folder, 1, overwrite=overwrite)
    assert names(folder / "out") == ["run.json"]
    assert (folder / "out/run.json").read_text() == text


def test_overwrite_keeps_what_the_run_reads(folder):
    clip, target = folder / "clip.mp4", folder / "out/com.mp4"
    matte(folder, clip, output_format="video")
    before = names(folder / "out")
    again = dict(output_format="video", video_target_bgr=str(target), overwrite=True)
    with pytest.raises(FileExistsError, match=r"com\.mp4: was written by the earlier run"):
        matte(folder, clip, **again)
    images(folder, 2)
    with pytest.raises(FileExistsError, match="com: was written by the earlier run"):
        matte(folder, folder / "out/com", output_types=["pha"], overwrite=True)
    assert set(before) <= set(names(folder / "out")) and "com/00001.png" in names(folder / "out")


def test_frames_do_not_go_where_frames_come_from(folder):
    images(folder, 2, output_types=["pha"])
    for flags in ({}, {"overwrite": True}, {"output_types": ["com"]}):
        with pytest.raises(FileExistsError, match="out/pha: is read from"):
            matte(folder, folder / "out/pha", output_dir=folder / "out/pha", **flags)
    with pytest.raises(FileExistsError, match="out/pha: is read from"):
        matte(folder, folder / "out/pha", output_types=["com", "pha"], output_dir=folder / "out")
    assert len(list((folder / "out/pha").iterdir())) == 2
    assert not (folder / "out/com").exists()


def test_who_stops_before_the_first_frame_loses_nothing(folder):
    images(folder, 3)
    before = names(folder / "out")

    def stop(done: int, expected: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        matte(folder, folder / "clip.mp4", overwrite=True, progress=stop)
    assert names(folder / "out") == before
    with pytest.raises(KeyboardInterrupt):
        matte(folder, folder / "clip.mp4", output_dir=folder / "other", progress=stop)
    assert not (folder / "other").exists()


def test_two_runs_do_not_write_into_one_folder(folder):
    images(folder, 2)
    other = FolderLock(folder / "out")
    before = names(folder / "out")
    for flags in ({}, {"overwrite": True}):
        with pytest.raises(FileExistsError, match="out: another run is writing there"):
            images(folder, 2, **flags)
    assert names(folder / "out") == before
    other.release()
    images(folder, 2, overwrite=True)
    with pytest.raises(FileExistsError, match="--overwrite"):  # a refused run keeps no lock
        images(folder, 2)
    images(folder, 2, overwrite=True)


def test_overwrite_clears_up_after_a_failed_sink(folder):
    (folder / "out/pha/00002.jpg.part").mkdir(parents=True)  # where the third file has to pass
    with pytest.raises(OSError, match=r"pha/00002\.jpg"):
        images(folder, 9, output_types=["com", "pha"], batch_size=2)
    (folder / "out/pha/00002.jpg.part").rmdir()
    images(folder, 1, output_types=["com", "pha"], overwrite=True)
    assert names(folder / "out") == ["com/00000.png", "pha/00000.jpg", "run.json"]


def test_a_failed_save_ends_the_program_soon(folder):
    make_clip(folder / "long.mp4", 300)
    (folder / "out/pha/00003.jpg.part").mkdir(parents=True)  # where the fourth file has to pass
    result = run(folder, "--output-types", "com", "pha", video_src="long.mp4")
    assert_error(result, 1, "out/pha/00003.jpg")
    whole = sorted((folder / "out/com").glob("*.png"))
    assert 3 < len(whole) < 60 and all(read_image(path).shape[2] == 3 for path in whole)
