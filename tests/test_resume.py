"""Going on with a run that was stopped or killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import media
import numpy as np
import pytest
import torch
from conftest import ROOT
from media import KnownNetwork
from PIL import Image
from torch import Tensor, nn

from dataset import Frame, FrameSource, PairLoader
from inference_video import MattingResult, UsageError, main, matte_video
from model import BaseOutput

FRAMES = 12
SIZE = (48, 64)


class PlateShown(nn.Module):
    """Says that all is foreground, and looks like the plate."""

    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        return BaseOutput(torch.ones_like(src[:, :1]), bgr, src[:, :1], src)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    media.make_clip(tmp_path / "clip.mp4", FRAMES, size=SIZE)
    media.make_plate(tmp_path / "plate.png", SIZE)
    return tmp_path


def matte(folder: Path, out: str = "out", stop_after: int | None = None, **flags) -> MattingResult:
    """A run over the clip, which breaks off after so many frames."""

    def progress(done: int, expected: int | None) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    job = dict(
        video_src=folder / "clip.mp4",
        video_bgr=folder / "plate.png",
        output_dir=folder / out,
        output_format="image_sequences",
        output_types=["com", "pha"],
        image_extension="png",
        preflight=False,
        network=KnownNetwork(),
        progress=progress,
    )
    return matte_video(**{**job, **flags})


def stopped(folder: Path, stop_after: int, **flags) -> None:
    with pytest.raises(KeyboardInterrupt):
        matte(folder, stop_after=stop_after, **flags)


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("0*")}


def report(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(folder):
    matte(folder, "whole")
    stopped(folder, 5)
    before = {path: path.stat().st_mtime_ns for path in (folder / "out/com").iterdir()}
    assert len(before) == 5
    result = matte(folder, resume=True)
    assert (result.frames, result.resumed) == (FRAMES, 5)
    assert files(folder / "out") == files(folder / "whole")
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in before.items()), "not again"
    found = report(folder / "out")
    assert (found["status"], found["frames"], found["resumed"]) == ("done", FRAMES, 5)
    listed = [(output["kind"], output["frames"]) for output in found["outputs"]]
    assert sorted(listed) == [("com", FRAMES), ("pha", FRAMES), ("preview", 0)]


def test_it_goes_on_from_the_first_gap(folder):
    matte(folder, "whole", start_number=1001)
    stopped(folder, 9, start_number=1001)
    (folder / "out/pha/01004.png").unlink()
    (folder / "out/com/01010.png.part").write_bytes(b"half a file")
    result = matte(folder, resume=True, start_number=1001, batch_size=2)
    assert result.resumed == 3
    assert files(folder / "out") == files(folder / "whole")


def test_plates_that_follow_the_light_do_so_across_the_gap(folder):
    """What is known of the frames before the gap is found out again."""
    rng = np.random.default_rng(0)
    plate = np.repeat(rng.integers(60, 190, (*SIZE, 1), np.uint8), 3, axis=2)
    Image.fromarray(plate).save(folder / "plate.png")
    (folder / "frames").mkdir()
    for number in range(FRAMES):
        darker = (plate * (1 - 0.004 * number)).astype(np.uint8)
        Image.fromarray(darker).save(folder / f"frames/{number}.png")
    flags = dict(video_src=folder / "frames", match_plate=True, output_types=["com"])
    flags["network"] = PlateShown()
    matte(folder, "whole", **flags)
    stopped(folder, 6, **flags)
    matte(folder, resume=True, **flags)
    assert files(folder / "out") == files(folder / "whole")


def test_a_finished_run_has_nothing_left_to_do(folder):
    matte(folder)
    before = files(folder / "out")
    assert matte(folder, resume=True).resumed == FRAMES
    assert files(folder / "out") == before
    assert {o["frames"] for o in report(folder / "out")["outputs"][:2]} == {FRAMES}


def test_where_nothing_is_there_it_begins(folder):
    assert matte(folder, resume=True).resumed == 0
    assert len(files(folder / "out")) == 2 * FRAMES


def test_a_killed_run_goes_on(folder, monkeypatch):
    media.make_clip(folder / "clip.mp4", 60, size=SIZE)
    job = ["--video-src", "clip.mp4", "--video-bgr", "plate.png", "--output-dir", "out"]
    job += ["--output-format", "image_sequences", "--no-preflight"]
    program = [sys.executable, ROOT / "inference_video.py", *job]
    victim = subprocess.Popen(program, cwd=folder, stderr=subprocess.DEVNULL)
    while victim.poll() is None and not (folder / "out/com/00004.png").exists():
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert len(files(folder / "out")) < 60
    monkeypatch.chdir(folder)
    assert main([*job, "--resume"]) == 0
    assert len(files(folder / "out")) == 60
    resumed = report(folder / "out")["resumed"]
    assert 5 <= resumed < 60
    assert main([*job, "--output-dir", "whole"]) == 0
    assert files(folder / "out") == files(folder / "whole")


def test_other_settings_are_refused(folder):
    stopped(folder, 5)
    before = files(folder / "out")
    Image.open(folder / "plate.png").save(folder / "other.png")
    with pytest.raises(UsageError, match=r"--video-bgr .*other.png: .*plate.png; .*--overwrite"):
        matte(folder, resume=True, video_bgr=folder / "other.png")
    with pytest.raises(UsageError, match="--start-number 7: the run to resume had 0"):
        matte(folder, resume=True, start_number=7)
    assert files(folder / "out") == before
    matte(folder, resume=True, device="cpu", precision="fp32", batch_size=3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"overwrite": True}, "give one of them"),
        ({"output_format": "video", "image_extension": None}, "image sequences can"),
        ({"smooth_alpha": True}, "needs the frames before"),
        ({"writers": {}}, "no writers"),
    ],
)
def test_what_it_does_not_go_with(folder, flags, message):
    with pytest.raises(UsageError, match=message):
        matte(folder, resume=True, **flags)
    assert not (folder / "out").exists()


def test_files_of_others_are_not_gone_on_with(folder):
    (folder / "out/com").mkdir(parents=True)
    (folder / "out/com/00000.png").write_text("mine")
    with pytest.raises(FileExistsError, match=r"com/00000.png is there already"):
        matte(folder, resume=True)
    assert (folder / "out/com/00000.png").read_text() == "mine"


def test_skipped_frames_that_repeat_a_neighbour_are_listed():
    class Damaged(FrameSource):
        name, size = "clip", (2, 2)

        def __iter__(self):
            for number in range(8):
                image = np.full((2, 2, 3), number, np.uint8)
                yield Frame(image, repeated=number in (1, 2, 6))

    class Plate(FrameSource):
        name, size, still = "plate", (2, 2), True

        def __iter__(self):
            yield Frame(np.zeros((2, 2, 3), np.uint8))

    loader = PairLoader(Damaged(), Plate(), batch_size=3, warn=print)
    loader.skip = 4
    with loader:
        batches = list(loader)
    assert [batch.src[:, 0, 0, 0].tolist() for batch in batches] == [[4, 5, 6], [7]]
    assert [batch.repeated for batch in batches] == [(1, 2, 6), ()]
