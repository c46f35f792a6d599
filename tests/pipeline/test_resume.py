"""Going on with a run that was stopped or killed."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import av
import footage
import numpy as np
import pytest
import torch
from footage import KnownNetwork
from PIL import Image
from processes import start_program
from torch import Tensor, nn

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
    footage.make_clip(tmp_path / "clip.mp4", FRAMES, size=SIZE)
    footage.make_plate(tmp_path / "plate.png", SIZE)
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


def test_it_makes_what_is_missing(folder):
    matte(folder, "whole", start_number=1001)
    stopped(folder, 9, start_number=1001)
    (folder / "out/pha/01004.png").unlink()
    (folder / "out/com/01010.png.part").write_bytes(b"half a file")
    result = matte(folder, resume=True, start_number=1001, batch_size=2)
    assert result.resumed == 8
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
    footage.make_clip(folder / "clip.mp4", 60, size=SIZE)
    job = ["--video-src", "clip.mp4", "--video-bgr", "plate.png", "--output-dir", "out"]
    job += ["--output-format", "image_sequences", "--no-preflight"]
    victim = start_program(*job, cwd=folder)
    while victim.running and not (folder / "out/com/00004.png").exists():
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait().returncode == -signal.SIGKILL
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
    cases = {
        r"--video-bgr is .*other.png, and was .*plate.png in": {"video_bgr": folder / "other.png"},
        "--start-number is 7, and was not given in": {"start_number": 7},
        "--match-plate is on, and was off": {"match_plate": True},
        r"--despeckle is 0\.1, and was off": {"despeckle": True},
        "--video-resize is .*, and was not given": {"video_resize": (32, 24)},
        "--image-extension is jpg, and was png": {
            "image_extension": "jpg",
            "output_types": ["pha"],
        },
    }
    for message, flags in cases.items():
        with pytest.raises(UsageError, match=message):
            matte(folder, resume=True, **flags)
    assert files(folder / "out") == before


def test_settings_that_change_nothing_may_change(folder, monkeypatch):
    matte(folder, "whole")
    stopped(folder, 7)
    monkeypatch.chdir(folder)
    assert matte(Path(), resume=True, device="cpu", batch_size=3).resumed == 7
    assert files(folder / "out") == files(folder / "whole")


def test_what_images_do_not_show_may_change(folder, monkeypatch):
    monkeypatch.chdir(folder)
    stopped(folder, 7)
    footage.make_plate(folder / "beach.png", SIZE)
    (folder / "static").mkdir()  # a folder called like the value of a flag
    assert matte(folder, resume=True, video_target_bgr=folder / "beach.png").resumed == 7


def test_a_plate_of_its_own_clip_goes_on_in_a_folder_of_that_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for stop_after, flags in ((7, {}), (8, {"resume": True}), (7, {"overwrite": True})):
        stopped(folder, stop_after, video_bgr="auto", output_dir="auto", **flags)
    result = matte(folder, video_bgr="auto", output_dir="auto", resume=True)
    assert result.resumed == 7 and result.frames == FRAMES


def test_what_is_no_frame_may_change_beside_them(folder):
    source = folder / "shot"
    source.mkdir()
    for number in range(FRAMES):
        Image.fromarray(footage.numbered(number, SIZE)).save(source / f"{number:04d}.png")
    stopped(folder, 7, video_src=source, output_dir=source / "cutout")
    (source / ".DS_Store").write_bytes(b"a visit")
    (source / ".lock").symlink_to("nowhere")
    assert matte(folder, video_src=source, output_dir=source / "cutout", resume=True).resumed == 7
    (source / "0003.png").write_bytes((source / "0004.png").read_bytes())
    with pytest.raises(UsageError, match="shot has changed"):
        matte(folder, video_src=source, output_dir=source / "cutout", resume=True)


def test_a_plate_among_the_frames_hides_no_change(folder):
    source = folder / "shot"
    source.mkdir()
    footage.make_plate(source / "a plate.png", SIZE)
    for number in range(FRAMES):
        Image.fromarray(footage.numbered(number, SIZE)).save(source / f"shot{number}.png")
    flags = dict(video_src=source, video_bgr=source / "a plate.png")
    stopped(folder, 3, **flags)
    os.utime(source / "shot3.png", (1, 1))
    stopped(folder, 4, resume=True, **flags)
    os.utime(source / "shot3.png", (2, 2))
    with pytest.raises(UsageError, match="shot has changed"):
        matte(folder, resume=True, **flags)


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_names_that_are_not_utf_8(folder):
    clip = folder / os.fsdecode(b"cl\xfcp.mp4")
    (folder / "clip.mp4").rename(clip)
    stopped(folder, 5, video_src=clip)
    assert matte(folder, resume=True, video_src=clip).resumed == 5


def test_an_image_that_ended_the_run_may_be_mended(folder):
    source = folder / "shot"
    source.mkdir()
    for number in range(FRAMES):
        Image.fromarray(footage.numbered(number, SIZE)).save(source / f"{number:04d}.png")
    broken = source / "0007.png"
    whole = broken.read_bytes()
    for out, plate in (("out", folder / "plate.png"), ("from all", "auto")):
        broken.write_bytes(whole)
        flags = dict(video_src=source, video_bgr=plate)
        matte(folder, f"whole {out}", **flags)
        stopped(folder, 5, output_dir=folder / out, **flags)
        if plate != "auto":
            broken.write_bytes(whole[:99])
            with pytest.raises(OSError, match=r"0007\.png: not a readable image"):
                matte(folder, out, resume=True, **flags)
        broken.write_bytes(whole)
        os.utime(broken, (1, 1))
        if plate == "auto":
            with pytest.raises(UsageError, match="shot has changed"):
                matte(folder, out, resume=True, **flags)
            continue
        assert matte(folder, out, resume=True, **flags).resumed == 7
        assert files(folder / out) == files(folder / f"whole {out}")


def test_an_image_may_change_if_its_frame_goes(folder):
    source = folder / "shot"
    source.mkdir()
    for number in range(FRAMES):
        Image.fromarray(footage.numbered(number, SIZE)).save(source / f"{number:04d}.png")
    flags = dict(video_src=source, output_types=["com"])
    matte(folder, **flags)
    frames = folder / "out/com"
    for number in (4, 6):
        (source / f"{number:04d}.png").write_bytes((source / "0002.png").read_bytes())
        (frames / f"{number:04d}.png").unlink()
    assert matte(folder, resume=True, **flags).resumed == FRAMES - 2
    assert (frames / "0004.png").read_bytes() == (frames / "0002.png").read_bytes()
    (frames / "0006.png").unlink()
    for number in (6, 8):
        os.utime(source / f"{number:04d}.png", (1, 1))
    with pytest.raises(UsageError, match="shot has changed"):
        matte(folder, resume=True, **flags)


def test_an_older_image_in_place_of_another_is_told(folder):
    """Its times do not say that it was it."""
    source = folder / "shot"
    source.mkdir()
    for number in range(FRAMES):
        Image.fromarray(footage.numbered(number, SIZE)).save(source / f"{number:04d}.png")
    flags = dict(video_src=source, output_types=["com"])
    os.utime(source / "0003.png", (1, 1))
    stopped(folder, 7, **flags)
    os.utime(source / "0003.png", (2, 2))
    for path in (folder / "out/com").iterdir():  # copied since, as it were
        os.utime(path, (time.time() + 99, time.time() + 99))
    with pytest.raises(UsageError, match="shot has changed"):
        matte(folder, resume=True, **flags)


def test_the_report_on_many_images_is_small(folder):
    sizes = []
    for count in (100, 2100):
        source = folder / f"shot{count}"
        source.mkdir()
        Image.fromarray(footage.numbered(0, SIZE)).save(source / "0000.png")
        for number in range(1, count):
            (source / f"{number:04d}.png").hardlink_to(source / "0000.png")
        out = folder / f"out {count}"
        stopped(folder, 1, video_src=source, output_types=["com"], output_dir=out)
        sizes.append((out / "run.json").stat().st_size)
    assert sizes[1] - sizes[0] < 2000 / 4


@pytest.mark.parametrize(
    "flags",
    [{"video_bgr": "auto"}, {"preprocess_alignment": "static"}, {"mend_plate": True}, {}],
    ids=["auto", "static", "mend", "plain"],
)
def test_a_later_frame_that_has_changed(folder, flags):
    """Where each frame was made from all of them, the frames that are there are others now."""
    source = folder / "shot"
    source.mkdir()
    for number in range(FRAMES):
        Image.fromarray(footage.numbered(number, SIZE)).save(source / f"{number:04d}.png")
    flags = dict(video_src=source, output_types=["com"], **flags)
    stopped(folder, 3, **flags)
    before = files(folder / "out")
    (source / "0010.png").write_bytes((source / "0002.png").read_bytes())
    if len(flags) == 2:
        assert matte(folder, resume=True, **flags).resumed == 3
        return
    with pytest.raises(UsageError, match="shot has changed"):
        matte(folder, resume=True, **flags)
    assert files(folder / "out") == before


@pytest.mark.parametrize("name", ["clip.mp4", "plate.png"])
def test_inputs_that_have_changed_are_refused(folder, name):
    stopped(folder, 5)
    if name == "clip.mp4":
        footage.make_clip(folder / name, 4, size=SIZE)
    else:
        footage.make_plate(folder / name, (96, 128))
    with pytest.raises(UsageError, match=f"{name} has changed"):
        matte(folder, resume=True)


def test_a_run_between_does_not_hide_what_was_begun(folder):
    """Each output remembers what it was made from."""
    matte(folder, "whole")
    stopped(folder, 5, output_types=["com"])
    other = dict(match_plate=True, network=PlateShown())
    matte(folder, output_types=["fgr"], **other)
    matte(folder, preview_only=True, **other)
    assert matte(folder, resume=True).resumed == 0, "com is there, pha is not"
    found = files(folder / "out")
    assert {name: found[name] for name in files(folder / "whole")} == files(folder / "whole")
    with pytest.raises(UsageError, match="--match-plate"):
        matte(folder, resume=True, output_types=["com", "fgr"])


def test_a_resumed_run_that_is_stopped_disowns_nothing(folder):
    matte(folder, "whole")
    stopped(folder, 9)
    (folder / "out/com/00002.png").unlink()
    stopped(folder, 9, resume=True)
    assert {o["frames"] for o in report(folder / "out")["outputs"][:2]} == {9}
    assert matte(folder, resume=True).resumed == 9
    assert files(folder / "out") == files(folder / "whole")
    matte(folder, overwrite=True)
    assert files(folder / "out") == files(folder / "whole")


def test_a_resumed_run_that_is_stopped_before_its_first_frame_disowns_nothing(folder):
    flags = dict(video_bgr="auto", output_types=["com"])
    stopped(folder, 5, **flags)
    stopped(folder, 5, resume=True, **flags)  # while it looks for the plate
    assert report(folder / "out")["outputs"][0]["frames"] == 5
    matte(folder, overwrite=True, **flags)
    assert len(files(folder / "out")) == FRAMES


@pytest.mark.parametrize("left", [b"", bytes(300)])
def test_files_that_a_power_cut_has_damaged_are_made_again(folder, left):
    matte(folder, "whole")
    stopped(folder, 9)
    (folder / "out/com/00004.png").write_bytes(left)
    assert matte(folder, resume=True).resumed == 8
    assert files(folder / "out") == files(folder / "whole")


def test_a_retouched_plate_and_the_sheet_are_kept(folder):
    flags = dict(video_bgr="auto", output_types=["com"])
    stopped(folder, FRAMES - 1, **flags)
    (folder / "out/plate.png").write_bytes(b"retouched")
    sheet = (folder / "out/preview.png").read_bytes()
    matte(folder, resume=True, **flags)
    (folder / "out/preview.png").write_bytes(sheet)
    matte(folder, resume=True, **flags)
    assert (folder / "out/preview.png").read_bytes() == sheet
    matte(folder, resume=True, **{**flags, "output_types": ["com", "pha"]})
    assert (folder / "out/plate.png").read_bytes() == b"retouched", "though frames are made again"


def test_ctrl_c_works_while_frames_are_read_over(folder):
    stopped(folder, 9)
    with pytest.raises(KeyboardInterrupt):
        matte(folder, resume=True, stop_after=9)
    assert len(files(folder / "out")) == 18


def test_frames_that_could_not_be_decoded_are_listed(folder):
    data = bytearray((folder / "clip.mp4").read_bytes())
    with av.open(str(folder / "clip.mp4")) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    start = packets[3].pos
    data[start + 8 : start + packets[3].size] = bytes(packets[3].size - 8)
    (folder / "clip.mp4").write_bytes(data)
    whole = matte(folder, "whole").repeated_frames
    assert whole and max(whole) < 9
    stopped(folder, 9)
    assert matte(folder, resume=True).repeated_frames == whole
    assert matte(folder, resume=True).repeated_frames == whole


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"overwrite": True}, "give one of them"),
        ({"output_format": "video", "image_extension": None}, "only with image sequences"),
        ({"preview_only": True}, "nothing to --resume"),
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
    with pytest.raises(FileExistsError, match=r"com/00000.png was not written by an earlier run"):
        matte(folder, resume=True)
    assert (folder / "out/com/00000.png").read_text() == "mine"


def test_a_setting_that_an_earlier_version_did_not_have_is_at_its_default(folder):
    """As if that version had written the report; the frames are what they were."""
    stopped(folder, 5)
    path = folder / "out/run.json"
    written = json.loads(path.read_text())
    for output in written["outputs"]:
        if output["made_from"]:
            del output["made_from"]["flags"]["mend_plate"]
            del output["made_from"]["flags"]["bit_depth"]
            del output["made_from"]["flags"]["alpha"]
    path.write_text(json.dumps(written))
    with pytest.raises(UsageError, match="--bit-depth is 16, and was 8 in the earlier run"):
        matte(folder, resume=True, bit_depth=16)
    assert matte(folder, resume=True).resumed == 5
