"""Ranges of frames: each frame has the name and the bytes that a run over the whole clip gives."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import pytest
from footage import KnownNetwork
from PIL import Image

from inference_video import MattingResult, UsageError, matte_video
from pipeline import Settings

COUNT = 40
SIZE = (48, 96)
GOP = {"x264-params": "keyint=10:bframes=3:scenecut=0"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip, with sound, and its plate."""
    folder = tmp_path_factory.mktemp("made")
    footage.make_clip(folder / "clip.mp4", COUNT, options=GOP, sound="aac")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(60, 190, (*SIZE, 3), np.uint8)).save(folder / "plate.png")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    for path in made.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path


def matte(folder: Path, out: str, **flags) -> MattingResult:
    job = dict(
        video_src=folder / "clip.mp4",
        video_bgr=folder / "plate.png",
        output_dir=folder / out,
        output_format="image_sequences",
        preflight=False,
        network=KnownNetwork(),
        device="cpu",
    )
    return matte_video(**{**job, **flags})


def files(out: Path) -> dict[str, bytes]:
    """All images but the contact sheets."""
    found = (path for path in out.rglob("*.*g") if "preview" not in path.name)
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def assert_same_in_ranges(folder: Path, *ranges: str, **flags) -> None:
    matte(folder, "whole", **flags)
    whole = files(folder / "whole")
    for frames in ranges:
        result = matte(folder, "part", frames=frames, **flags)
        part = files(folder / "part")
        assert part and part == {name: whole[name] for name in part}, frames
        assert len(part) == result.frames
        shutil.rmtree(folder / "part")
    shutil.rmtree(folder / "whole")


def test_frames_have_their_names_and_bytes(folder):
    assert_same_in_ranges(folder, "0", "7-12", "38-39", "3,5-20x4", "00:00:00.4-00:00:00.6")
    assert_same_in_ranges(folder, "1005-1009", start_number=1000, batch_size=4)


@pytest.mark.parametrize(
    "flags",
    [
        {"smooth_alpha": True},
        {"match_plate": True, "smooth_alpha": True, "batch_size": 3},
    ],
    ids=lambda flags: next(iter(flags)),
)
def test_what_carries_over_is_found_again(folder, flags, monkeypatch):
    monkeypatch.setattr("plate.carry._BLOCK", 4)
    monkeypatch.setattr("plate.carry._RUN_UP", 8)
    assert_same_in_ranges(folder, "21-24", "39", "5-35x10", **flags)


def test_so_is_the_last_alignment(folder, monkeypatch):
    monkeypatch.setattr("plate.carry._ALIGNED_BLOCK", 3)
    clip = footage.make_clip(folder / "short.mp4", 6)
    assert_same_in_ranges(folder, "4-5", video_src=clip, preprocess_alignment=True)


def test_plates_and_targets_are_cut_alike(folder):
    footage.make_clip(folder / "plates.mp4", 9)
    assert_same_in_ranges(folder, "5-7", "8-10", "20", "3-30x9", video_bgr=folder / "plates.mp4")
    footage.make_clip(folder / "target.mp4", 7)
    video = dict(output_format="video", crf=0, video_target_bgr=folder / "target.mp4")
    matte(folder, "whole", **video)
    whole = footage.read_video(folder / "whole/com.mp4")[0]
    matte(folder, "part", frames="5-15", **video)
    part = footage.read_video(folder / "part/com.5-15.mp4")[0]
    assert len(part) == 11 and all((a == b).all() for a, b in zip(part, whole[5:], strict=False))


def test_a_sequence_keeps_its_numbers(folder):
    source = folder / "shot"
    source.mkdir()
    for number in (997, 998, 1001, 1002, 1003):
        Image.fromarray(footage.numbered(number)).save(source / f"s.{number:06d}.png")
    result = matte(folder, "all", video_src=source)
    names = [f"com/{number:06d}.png" for number in (997, 998, 1001, 1002, 1003)]
    assert sorted(files(folder / "all")) == names
    assert any("number 999 and 1 more are missing" in text for text in result.warnings)
    assert_same_in_ranges(folder, "998-1001", "1003", "990-1002x2", video_src=source)
    matte(folder, "new", video_src=source, start_number=1, frames="1001-1002")
    assert sorted(files(folder / "new")) == ["com/000003.png", "com/000004.png"]
    with pytest.raises(UsageError, match=r"--frames 5-7: .* none of these; its frames are 997 to"):
        matte(folder, "none", video_src=source, frames="5-7")
    assert not (folder / "none").exists()


def test_a_range_past_the_end_is_clamped_with_a_line(folder):
    result = matte(folder, "out", frames="38-50")
    assert sorted(files(folder / "out")) == ["com/00038.png", "com/00039.png"]
    assert [text for text in result.warnings if "ends with frame 39" in text]
    found = json.loads((folder / "out/run.38-39.json").read_text())
    assert (found["range"], found["clip"], found["frames"]) == ("38-39", "0-39", 2)
    with pytest.raises(UsageError, match="its frames are 0 to 39"):
        matte(folder, "out", frames="40-50")


def test_so_is_one_of_a_clip_that_has_to_be_counted(folder):
    clip = footage.make_clip(folder / "clip.avi", 10, codec="mpeg4", options={"g": "5"})
    assert_same_in_ranges(folder, "3-5", "8-9", video_src=clip)
    result = matte(folder, "out", video_src=clip, frames="8-20")
    assert result.frames == 2
    assert [text for text in result.warnings if "ends with frame 9" in text]


def test_a_video_of_a_range_has_its_times_and_its_sound(folder):
    matte(folder, "out", frames="10-29", output_format="video")
    with av.open(str(folder / "out/com.10-29.mp4")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [Fraction(n, 25) for n in range(20)]
    wanted = samples(folder / "clip.mp4")[int(0.4 * 48000) :]
    with av.open(str(folder / "out/com.10-29.mp4")) as container:
        first = next(container.demux(audio=0))
        assert 0 <= first.pts * first.time_base < Fraction(1024, 48000)
        delay = round(first.pts * first.time_base * 48000)
    heard = samples(folder / "out/com.10-29.mp4")
    assert abs(delay + len(heard) - 0.8 * 48000) <= 2 * 1024
    some = slice(4096, 20000)
    assert np.abs(heard[some] - wanted[delay:][some]).max() < 1e-3


def samples(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])


def test_a_range_that_was_stopped_is_resumed(folder):
    def stop(done: int, expected: int | None) -> None:
        assert expected == 20
        if done == 5:
            raise KeyboardInterrupt

    matte(folder, "whole")
    whole = files(folder / "whole")
    for form in ({}, {"output_format": "video"}):
        with pytest.raises(KeyboardInterrupt):
            matte(folder, "out", frames="10-29", progress=stop, **form)
        result = matte(folder, "out", frames="10-29", resume=True, **form)
        assert (result.frames, result.resumed) == (20, 0 if form else 5)
        assert matte(folder, "out", frames="10-29", resume=True, **form).resumed == 20
    assert files(folder / "out") == {
        f"com/{n:05d}.png": whole[f"com/{n:05d}.png"] for n in range(10, 30)
    }
    assert len(footage.read_video(folder / "out/com.10-29.mp4")[0]) == 20


def test_a_quick_look_at_a_range_shows_frames_of_it(folder):
    result = matte(folder, "out", frames="10-19", preview_only=True, start_number=0)
    assert result.frames == 5
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("preview.10-19.png", "run.10-19.json"),
    ]


def test_memory_sinks_get_the_frames_of_a_range(folder):
    from writers import MemoryWriter

    whole, part = MemoryWriter(), MemoryWriter()
    matte(folder, "", output_dir=None, writers={"com": whole})
    matte(folder, "", output_dir=None, writers={"com": part}, frames="4-6")
    assert (part.frames == whole.frames[4:7]).all()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../{kind}.####.{ext}", "no name within"),
        ("/tmp/{kind}.####.{ext}", "no name within"),
        ("a/../../{kind}.####.{ext}", "no name within"),
        (".{kind}.####.{ext}", "no name within"),
        ("a\\{kind}.####.{ext}", "no name within"),
        ("c:{kind}.####.{ext}", "no name within"),
        ("{kind}\n.####.{ext}", "no name within"),
        ("shot.####.{ext}", "needs {kind}"),
        ("{kind}.{ext}", "one #### for the number"),
        ("{kind}/##/##.{ext}", "one #### for the number"),
        ("{kind}.##/a.{ext}", "one #### for the number"),
        ("{kind}/####", "at the end"),
        ("{kind}/####.sh", "at the end"),
        ("preview/{kind}.####.{ext}", "what the program calls"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name, told):
    flags = dict(video_src="a", video_bgr="b", output_format="image_sequences")
    with pytest.raises(UsageError, match=told):
        Settings(**flags, output_types=["com", "pha"], output_name=name)


def test_outputs_have_the_names_that_were_asked_for(folder):
    flags = dict(output_types=["com", "pha"], frames="8-9", start_number=0)
    matte(folder, "out", output_name="v1/shot_{kind}.##.{ext}", **flags)
    assert sorted(files(folder / "out")) == [
        *("v1/shot_com.08.png", "v1/shot_com.09.png", "v1/shot_pha.08.jpg", "v1/shot_pha.09.jpg"),
    ]
    assert matte(folder, "out", output_name="v1/shot_{kind}.##.{ext}", resume=True, **flags).resumed
    matte(folder, "out", output_name="####.{ext}", overwrite=True)
    assert sorted(files(folder / "out")) == [f"{n:04d}.png" for n in range(COUNT)]
    video = dict(output_format="video", output_name="cut/{kind}_v2.{ext}")
    matte(folder, "out", frames="3-4", **video)
    assert (folder / "out/cut/com_v2.3-4.mp4").exists()


def test_a_range_in_another_format_leaves_files_that_can_be_overwritten_later(folder):
    for extension in ("tif", "webp", "png"):
        matte(folder, "out", frames="1-2", image_extension=extension, overwrite=True)
    assert {path.suffix for path in (folder / "out/com").iterdir()} == {".tif", ".webp", ".png"}
    matte(folder, "out", frames="1-2", image_extension="tif", overwrite=True)
    matte(folder, "out", overwrite=True)
    assert {path.suffix for path in (folder / "out/com").iterdir()} == {".png"}
