"""Many runs in one folder: at the same time, over parts of a clip, joined into one."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import footage
import numpy as np
import pytest
from footage import KnownNetwork
from PIL import Image

from inference_video import MattingError, MattingResult, UsageError, main, matte_video
from media import FrameRange
from pipeline import join_parts
from writers.lock import FolderLock

COUNT = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    gop = {"x264-params": "keyint=8:bframes=2"}
    footage.make_clip(folder / "clip.mp4", COUNT, options=gop, sound="aac")
    footage.make_plate(folder / "plate.png")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    for path in made.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path


def matte(folder: Path, frames: str | None = None, out: str = "out", **flags) -> MattingResult:
    job = dict(
        video_src=folder / "clip.mp4",
        video_bgr=folder / "plate.png",
        output_dir=folder / out,
        output_format="image_sequences",
        preflight=False,
        network=KnownNetwork(),
        device="cpu",
        frames=frames,
    )
    return matte_video(**{**job, **flags})


def images(out: Path) -> dict[str, bytes]:
    found = (path for path in out.rglob("*.*g") if "preview" not in path.name)
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def join(folder: Path, frames: str | None = None) -> str:
    told: list[str] = []
    joined = join_parts(folder / "out", frames and FrameRange.parse(frames), told.append)
    assert not told
    return joined.frames


def test_ranges_of_images_are_the_whole(folder):
    matte(folder, out="whole")
    for frames in ("13-30", "0-4", "5-12"):
        matte(folder, frames)
    assert join(folder) == "0-19"
    assert images(folder / "out") == images(folder / "whole")
    report = json.loads((folder / "out/run.json").read_text())
    assert (report["status"], report["frames"]) == ("done", COUNT)
    assert report["joined"] == ["0-4", "5-12", "13-19"]
    assert matte(folder, resume=True).resumed == COUNT, "as of one run"
    matte(folder, overwrite=True)
    assert {path.name for path in (folder / "out").iterdir()} == {"com", "preview.png", "run.json"}


def sound(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(p.pts, bytes(p)) for p in container.demux(audio=0) if p.size]


@pytest.mark.parametrize("form", ["video", "ffv1", "prores4444", "webm"])
def test_ranges_of_a_video_are_joined_without_encoding(folder, form):
    flags = dict(output_format=form, output_types=["com", "pha"])
    if form in ("video", "webm"):
        flags["crf"] = 0
    matte(folder, out="whole", **flags)
    for frames in ("0-6", "7-7", "8-19"):
        matte(folder, frames, **flags)
    join(folder)
    (com,) = (folder / "whole").glob("com.*")
    for name in (com.name, com.name.replace("com", "pha")):
        whole, joined = (read(folder / out / name) for out in ("whole", "out"))
        assert joined[1] == whole[1]
        assert [time - whole[1][0] for time in whole[1]] == [Fraction(n, 25) for n in range(COUNT)]
        off = 2 if form == "prores4444" else 0  # which looks at the frames before
        pairs = zip(joined[0], whole[0], strict=True)
        assert max(int(cv2.absdiff(a, b).max()) for a, b in pairs) <= off
    assert sound(folder / "out" / com.name) == sound(com)
    join(folder)  # a second time
    assert join(folder, "7-19") == "7-19"
    assert len(read(folder / "out" / com.name)[0]) == 13


def read(path: Path) -> tuple[list[np.ndarray], list[Fraction]]:
    frames, times = footage.read_video(path)
    return frames, [Fraction(round(1000 * time), 1000) for time in times]  # as in Matroska


def test_times_that_vary_are_those_of_the_clip(folder):
    times = [Fraction(n + n // 3, 50) for n in range(COUNT)]
    clip = footage.make_clip(folder / "uneven.mp4", COUNT, times=times, time_base=Fraction(1, 50))
    for frames in ("0-6", "7-19"):
        matte(folder, frames, video_src=clip, output_format="video")
    join(folder)
    assert footage.read_video(folder / "out/com.mp4")[1] == times


def test_images_without_a_clock_are_joined_by_their_rate(folder):
    (folder / "shot").mkdir()
    for number in (1001, 1002, 1003, 1010):
        Image.fromarray(footage.numbered(number)).save(folder / f"shot/{number}.png")
    for frames in ("1001-1002", "1003-1010"):
        matte(folder, frames, video_src=folder / "shot", output_format="video", frame_rate=24)
    join(folder)
    assert footage.read_video(folder / "out/com.mp4")[1] == [Fraction(n, 24) for n in range(4)]


def test_what_is_missing_is_named(folder):
    for frames in ("0-4", "6-12"):
        matte(folder, frames, output_types=["com", "pha"])
    (folder / "out/com/00003.png").write_bytes(b"half a file")
    (folder / "out/com/00007.png").unlink()
    with pytest.raises(MattingError) as error:
        join(folder)
    for text in (
        "frames 5,13-19 of com",
        "frames 5,13-19 of pha",
        "--frames 5,13-19",
        "frames 3,7",
    ):
        assert text in str(error.value)
    assert not (folder / "out/run.json").exists()
    assert matte(folder, "0-4", output_types=["com", "pha"], resume=True).resumed == 4
    assert matte(folder, "6-12", output_types=["com", "pha"], resume=True).resumed == 6
    assert join(folder, "6-12") == "6-12"
    with pytest.raises(UsageError, match="nothing to join"):
        join(folder, "900")


def test_videos_that_do_not_go_together_are_named(folder):
    flags = dict(output_format="video")
    for frames in ("0-9", "8-19"):
        matte(folder, frames, **flags)
    with pytest.raises(MattingError, match="frames 8-9 of com are in more than one video"):
        join(folder)
    (folder / "out/run.8-19.json").unlink()
    (folder / "out/com.8-19.mp4").unlink()
    matte(folder, "10-19", crf=30, **flags)
    with pytest.raises(MattingError, match=r"com of 10-19 was made .* that of 0-9: crf"):
        join(folder)
    matte(folder, "10-19", overwrite=True, **flags)
    shutil.copy(folder / "out/com.0-9.mp4", folder / "out/com.10-19.mp4")
    join(folder)
    matte(folder, "10-19", overwrite=True, video_resize=None, **flags)
    footage.make_clip(folder / "out/com.10-19.mp4", 9)
    with pytest.raises(MattingError, match=r"com\.10-19\.mp4: (was encoded|holds 9 frames)"):
        join(folder)


def test_a_forged_report_takes_no_memory(folder):
    matte(folder, "0-4")
    path = folder / "out/run.0-4.json"
    report = json.loads(path.read_text())
    report["outputs"][0]["numbers"] = "0-999999999999"
    path.write_text(json.dumps(report))
    with pytest.raises(MattingError, match="more frames than a clip can have"):
        join(folder)
    report["outputs"][0]["numbers"] = "0-4"
    path.write_text(json.dumps({**report, "clip": "0-999999999999", "begin": "1/0", "rate": []}))
    assert join_parts(folder / "out", None, lambda text: None).count == 5


def test_the_command_says_what_it_found(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["join", "out"]) == 2
    assert "out: is no folder" in capsys.readouterr().err
    matte(folder, "0-9")
    assert main(["join", "out"]) == 1
    assert "frames 10-19 of com are missing" in capsys.readouterr().err
    assert main(["join", "out", "--frames", "0-9"]) == 0
    assert "frames 0-9: all 10 are there and whole: out/com" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["join", "out", "--frames", "x"])
    assert ended.value.code == 2


def test_only_who_writes_the_same_frames_is_kept_out(folder):
    with_lock = FolderLock  # as a run over these frames holds it
    matte(folder, "0-9")
    other = with_lock(folder / "out", "0-9")
    matte(folder, "10-12")
    for frames in ("9-11", "0-9", None):
        with pytest.raises(FileExistsError, match="another run is writing"):
            matte(folder, frames, overwrite=True)
    with pytest.raises(FileExistsError, match="a run is writing frames 0-9"):
        join(folder)
    other.release()
    assert matte(folder, "9-11", resume=True).resumed == 3


def test_overwriting_a_range_leaves_the_others(folder):
    matte(folder, "0-4")
    matte(folder, "5-9", output_types=["com", "pha"])
    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in images(folder / "out")}
    with pytest.raises(FileExistsError, match=r"com/00003\.png is there already"):
        matte(folder, "3-6")
    matte(folder, "3-6", overwrite=True)
    changed = {n for n, t in before.items() if (folder / "out" / n).stat().st_mtime_ns != t}
    assert changed == {f"com/{number:05d}.png" for number in range(3, 7)}
    (folder / "out/com/00012.png").write_text("mine")
    with pytest.raises(FileExistsError, match=r"00012\.png was not written by an earlier run"):
        matte(folder, "11-13", overwrite=True)


def test_a_plate_is_made_once_and_taken(folder):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    empty = cv2.GaussianBlur(noise, (0, 0), 2)
    (folder / "shot").mkdir()
    for number in range(8):
        frame = empty.copy()
        frame[20:50, 8 * number : 8 * number + 15] = (200, 30, 30)
        cv2.imwrite(str(folder / f"shot/{number:03d}.png"), frame)
    cv2.imwrite(str(folder / "moved.png"), np.roll(empty, (2, 3), (0, 1)))
    ways = (
        dict(video_bgr="auto"),
        dict(video_bgr=folder / "moved.png", preprocess_alignment="static"),
        dict(video_bgr="auto", mend_plate=True),
    )
    for flags in ways:
        flags["video_src"] = folder / "shot"
        matte(folder, out="whole", **flags)
        made = matte(folder, plate_only=True, **flags)
        assert made.frames == 0
        (folder / "shot/003.png").rename(folder / "003.png")  # nobody reads the clip again
        (folder / "003.png").rename(folder / "shot/003.png")
        for frames in ("0-3", "4-7"):
            assert "making" not in matte(folder, frames, **flags).bottleneck
        assert images(folder / "out") == images(folder / "whole")
        for out in ("out", "whole"):
            shutil.rmtree(folder / out)


def test_a_plate_that_was_made_from_something_else_is_not_taken(folder):
    matte(folder, plate_only=True, video_bgr="auto")
    result = matte(folder, "0-3", video_bgr="auto", video_resize=(48, 24), overwrite=True)
    assert any("was made with another --video-resize" in text for text in result.warnings)
    with pytest.raises(FileExistsError, match=r"plate\.png is there already"):
        matte(folder, plate_only=True, video_bgr="auto")
    matte(folder, plate_only=True, video_bgr="auto", overwrite=True)
    (folder / "out/run.plate.json").write_text('{"versions": {"bgmv2": ""}, "plate": [1]}')
    assert matte(folder, "4-5", video_bgr="auto").frames == 2


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({}, "needs a plate to make"),
        ({"video_bgr": "auto", "frames": "1-2"}, "nothing to do with --frames"),
        ({"video_bgr": "auto", "resume": True}, "nothing to do with --resume"),
    ],
)
def test_what_plate_only_does_not_go_with(folder, flags, told):
    with pytest.raises(UsageError, match=told):
        matte(folder, **{"plate_only": True, **flags})
