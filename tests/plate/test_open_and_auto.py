"""Plates from the clip itself, and one frame of a clip as plate."""

import json
import os
import re
import tracemalloc
from fractions import Fraction
from pathlib import Path
from time import sleep

import footage
import numpy as np
import pytest
from footage import deepened, make_clip, make_plate, numbered, read_number
from PIL import Image

from dataset import Frame, FrameSource, MediaError, open_source, read_image, sample_evenly
from inference_video import main, matte_video
from media import format_time, parse_time
from plate import AutoPlate, open_plate
from writers import VideoWriter

HEIGHT, WIDTH, COUNT = 90, 160, 40


def room() -> np.ndarray:
    """An empty scene (H, W, 3), uint8."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    stripes = 40 * np.sin(x / 7) * np.cos(y / 5)
    return np.stack([90 + stripes, 120 + stripes / 2, 60 + y], axis=2).round().astype(np.uint8)


class Walk(FrameSource):
    """A white block walks through a room with sensor noise; a red one never leaves its place."""

    def __init__(self, count: int = COUNT, *, sits: bool = False, deep: bool = False):
        self.name, self.size = "walk.mp4", (HEIGHT, WIDTH)
        self.length_hint = count
        self._sits, self._deep = sits, deep

    def __iter__(self):
        random = np.random.default_rng(0)
        for number in range(self.length_hint or 0):
            picture = room() + random.normal(0, 1.5, (HEIGHT, WIDTH, 3))
            left = (number * 4) % (WIDTH - 30)
            picture[20:80, left : left + 30] = 235
            if self._sits:  # and turns the head: no colour is there for long
                picture[40:60, 100:120] = (200, 6 * number % 250, 90)
            picture = picture.round().clip(0, 255).astype(np.uint8)
            yield Frame(deepened(picture) if self._deep else picture)


def silent(message: str) -> None:
    pytest.fail(message)


@pytest.mark.parametrize("deep", [False, True])
def test_who_walks_by_is_not_in_the_plate(deep):
    source = AutoPlate(Walk(deep=deep), silent)
    (frame,) = source
    assert source.still and frame.image.dtype == np.uint8
    assert np.abs(frame.image.astype(int) - room()).max() <= 2
    assert source.spots is not None and not source.spots.any()
    assert source.find() is frame.image, "it is looked for once"


def test_what_was_never_free_is_found_filled_and_told():
    told: list[str] = []
    source = AutoPlate(Walk(sits=True), told.append)
    plate = source.find().astype(int)
    spot = np.zeros((HEIGHT, WIDTH), bool)
    spot[40:60, 100:120] = True
    found = source.spots
    assert found is not None and (found & spot).sum() > 0.95 * spot.sum()
    assert (found & ~spot).mean() < 0.02
    off = np.abs(plate - room()).max(axis=2)
    assert off[~found].max() <= 2 and np.median(off[spot]) < 60 < 110, "not red any more"
    (message,) = told
    share, x, y = re.search(r"([\d.]+)% .* x (\d+), y (\d+)", message).groups()
    assert float(share) == pytest.approx(100 * found.mean(), abs=0.01)
    assert abs(int(x) - 110) < 5 and abs(int(y) - 50) < 5


@pytest.mark.parametrize("top", [5, 35, 62])
def test_what_only_its_surroundings_give_away_is_not_in_the_plate(top):
    """A button on a coat that shimmers: shown more often than the scene, and like it."""

    class Coat(Walk):
        def __iter__(self):
            for number in range(self.length_hint or 0):
                picture = room()
                if number % 5 < 3:
                    picture[top : top + 20, 60:80] = (0, 20, 230, 255)[number % 4]
                    picture[top + 10, 70] = room()[top + 10, 70] + 30
                yield Frame(picture)

    plate = AutoPlate(Coat(), lambda message: None).find()
    assert np.abs(plate.astype(int) - room()).max() <= 2


def test_a_clip_in_which_nothing_moves_is_told():
    class Statue(Walk):
        def __iter__(self):
            return (Frame(room()) for _ in range(20))

    told: list[str] = []
    AutoPlate(Statue(), told.append).find()
    assert len(told) == 1 and "nothing moves" in told[0]


def test_a_camera_that_moves_is_told():
    class Pan(Walk):
        def __iter__(self):
            noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH + 200, 3), np.uint8)
            return (Frame(noise[:, 4 * n : 4 * n + WIDTH].copy()) for n in range(COUNT))

    told: list[str] = []
    AutoPlate(Pan(), told.append).find()
    assert len(told) == 1 and "stands still" in told[0]


class Numbers(FrameSource):
    def __init__(self, count: int, hint: int | None):
        self.name, self.size, self.length_hint, self._count = "numbers", footage.SIZE, hint, count

    def __iter__(self):
        return (Frame(numbered(number)) for number in range(self._count))


@pytest.mark.parametrize("hint", [None, 3, 1000])
@pytest.mark.parametrize("count", [1, 19, 20, 21, 100, 333])
def test_sampling_is_even_and_bounded_whatever_the_header_says(count, hint):
    numbers = [read_number(p) for p in sample_evenly(Numbers(count, hint), most=20)]
    assert numbers[0] == 0 and len(numbers) <= 20
    (step,) = set(np.diff(numbers)) or {1}
    assert count - numbers[-1] <= step, "it goes to the end"
    assert len(numbers) >= min(count, 10)


def test_a_search_can_be_stopped():
    def stop(stage: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        AutoPlate(Walk(), silent).find(stop)


def test_one_frame_makes_no_plate(tmp_path):
    still = make_plate(tmp_path / "still.png")
    with pytest.raises(MediaError, match=r"still\.png: --video-bgr auto needs a clip .* one frame"):
        open_plate("auto", open_source(still, silent, hold=False), silent)
    unknown = Numbers(1, None)
    with pytest.raises(MediaError, match="one frame"):
        open_plate("auto", unknown, silent).find()


def test_auto_end_to_end_and_the_plate_given_back(tmp_path, checkpoint, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "shot.mp4", 4)
    run = ["--video-src", "shot.mp4", "--model-checkpoint", str(checkpoint)]
    assert main([*run, "--video-bgr", "auto", "--output-dir", "out"]) == 0
    assert read_image(Path("out/plate.png")).shape == (*footage.SIZE, 3)
    report = json.loads(Path("out/run.json").read_text())
    listed = [output["path"] for output in report["outputs"]]
    assert sorted(listed) == ["com.mp4", "plate.png", "preview.png"]
    Path("out/mine.txt").touch()
    again = [*run, "--video-bgr", "out/plate.png", "--output-dir"]
    assert main([*again, "out", "--overwrite"]) == 1, "it would remove what it reads"
    assert "plate.png" in capsys.readouterr().err
    Path("plate.png").write_bytes(Path("out/plate.png").read_bytes())
    last = [*run, "--video-bgr", "plate.png", "--output-dir", "out", "--overwrite"]
    assert main(last) == 0
    left = ["com.mp4", "mine.txt", "preview.png", "run.json"]
    assert sorted(p.name for p in Path("out").iterdir()) == left


def test_a_plate_of_a_preview_makes_room_unless_it_was_painted(tmp_path, capsys):
    clip, out = make_clip(tmp_path / "clip.mp4", 6), tmp_path / "out"
    flags = dict(video_src=clip, network=footage.KnownNetwork(), output_dir=out)
    look = dict(flags, video_bgr="auto", preview_only=True)
    for _ in range(2):
        matte_video(**look)
    matte_video(**dict(flags, video_bgr=out / "plate.png"))
    assert (out / "plate.png").exists() and (out / "com.mp4").exists()
    for painted in (False, True):
        out = flags["output_dir"] = look["output_dir"] = tmp_path / f"again {painted}"
        matte_video(**look)
        if painted:
            later = (out / "run.json").stat().st_mtime_ns + 1_000_000
            os.utime(out / "plate.png", ns=(later, later))
            with pytest.raises(FileExistsError, match=r"plate\.png is there already"):
                matte_video(**flags, video_bgr="auto")
        else:
            matte_video(**flags, video_bgr="auto")
        assert (out / "plate.png").exists() and (out / "com.mp4").exists() == (not painted)


def test_the_time_that_a_plate_takes_counts_as_reading(tmp_path, checkpoint, monkeypatch):
    find, first = AutoPlate.find, [1.0]

    def slowly(self, *rest):
        sleep(first.pop() if first else 0)
        return find(self, *rest)

    monkeypatch.setattr(AutoPlate, "find", slowly)
    src, out = make_clip(tmp_path / "shot.mp4", 4), tmp_path / "out"
    run = ["--video-src", src, "--video-bgr", "auto", "--output-dir", out]
    assert main([*map(str, run), "--model-checkpoint", str(checkpoint)]) == 0
    report = json.loads((out / "run.json").read_text())
    assert report["waited"]["read"] * report["seconds"] > 0.99


def test_a_plate_that_is_not_of_an_earlier_run_stays(tmp_path, checkpoint, capsys):
    src = make_clip(tmp_path / "shot.mp4", 4)
    (tmp_path / "out").mkdir()
    mine = make_plate(tmp_path / "out/plate.png")
    before = mine.read_bytes()
    run = ["--video-src", src, "--video-bgr", "auto", "--output-dir", tmp_path / "out"]
    for overwrite in ([], ["--overwrite"]):
        assert main([*map(str, run), "--model-checkpoint", str(checkpoint), *overwrite]) == 1
        assert "plate.png" in capsys.readouterr().err and mine.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2.5", Fraction(5, 2)),
        ("0", Fraction(0)),
        (".5", Fraction(1, 2)),
        ("1:02", Fraction(62)),
        ("00:00:02.5", Fraction(5, 2)),
        ("1:00:00", Fraction(3600)),
        ("", None),
        ("2,5", None),
        ("-1", None),
        ("1:2:3:4", None),
        ("home.mp4", None),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == seconds


def test_clock():
    assert format_time(Fraction(7384501, 1000)) == "02:03:04.501"


@pytest.mark.parametrize(
    ("name", "rate", "options"),
    [
        ("a.mp4", Fraction(25), {"bf": "3", "g": "12"}),
        ("b.mp4", Fraction(24000, 1001), {"bf": "2", "g": "250"}),
        ("c.mkv", Fraction(30000, 1001), {"bf": "2", "g": "10"}),
        ("d.avi", Fraction(25), {"bf": "0", "g": "10"}),
        ("d3.avi", Fraction(25), {"bf": "3", "g": "12"}),
        ("e.ts", Fraction(25), {"bf": "3", "g": "12", "flags": "-cgop"}),
    ],
)
def test_the_frame_that_is_shown_at_a_time(tmp_path, name, rate, options):
    path = make_clip(tmp_path / name, 60, rate=rate, options={"crf": "10", **options})
    for number in (0, 1, 11, 12, 13, 37, 58, 59):
        for late in (Fraction(0), Fraction(1, 3), Fraction(9, 10)):
            seconds = float((number + late) / rate)
            (frame,) = open_plate(f"{path}@{seconds:.3f}", Walk(), silent)
            assert read_number(frame.image) == number, (number, seconds)


def test_a_clip_that_does_not_start_at_zero_and_has_gaps(tmp_path):
    times = [Fraction(n, 10) for n in (50, 51, 52, 70, 71)]
    path = make_clip(
        tmp_path / "late.mp4", 5, times=times, rate=Fraction(10), time_base=Fraction(1, 1000)
    )
    start = next(iter(open_source(path, silent))).time
    assert start is not None
    for seconds, number in ((0, 0), (0.1, 1), (1.9, 2), (2.0, 3), (2.1, 4)):
        (frame,) = open_plate(f"{path}@{seconds}", Walk(), silent)
        assert read_number(frame.image) == number, seconds


def test_a_time_beyond_the_end_names_both(tmp_path):
    path = make_clip(tmp_path / "shot.mp4", 50)
    for time in ("2.0", "00:01:00"):
        with pytest.raises(MediaError, match=r"shot\.mp4: ends at 00:00:02\.000, before the 00:0"):
            open_plate(f"{path}@{time}", Walk(), silent)


def test_a_turned_clip_gives_an_upright_plate(tmp_path):
    quarter = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
    path = make_clip(tmp_path / "phone.mp4", 20, matrix=quarter)
    for time in (0.2, 0.79):  # sought, and decoded to the end
        plate = open_plate(f"{path}@{time}", Walk(), silent)
        (frame,) = plate
        (first, *_) = open_source(path, silent)
        assert frame.image.shape == first.image.shape and plate.size == first.image.shape[:2]


def test_names_with_an_at_sign_are_names_first(tmp_path):
    image = make_plate(tmp_path / "me@home.png")
    assert open_plate(image, Walk(), silent).name == str(image)
    odd = tmp_path / "a@1"
    make_clip(tmp_path / "a@1.mp4", 5).rename(odd)
    assert not open_plate(odd, Walk(), silent).still, "the whole clip"
    (frame,) = open_plate(f"{odd}@0.08", Walk(), silent)
    assert read_number(frame.image) == 2
    with pytest.raises(MediaError, match=r"gone@home\.png: not found"):
        open_plate(tmp_path / "gone@home.png", Walk(), silent)


def test_a_plate_with_transparent_parts_is_told(tmp_path):
    path = tmp_path / "erased.png"
    for alpha, count in ((255, 0), (0, 1)):
        Image.new("RGBA", (96, 48), (90, 90, 90, alpha)).save(path)
        told: list[str] = []
        open_plate(path, Walk(), told.append)
        assert len(told) == count
    assert f"{path}: is transparent in parts" in told[0]
    clip = make_clip(tmp_path / "clip.mp4", 2)
    result = matte_video(
        video_src=clip, video_bgr=make_plate(tmp_path / "plate.png"), video_target_bgr=str(path),
        output_dir=tmp_path / "out", network=footage.KnownNetwork(), preflight=False,
    )  # fmt: skip
    assert result.warnings == told


def test_sinks_of_a_program_are_closed_if_no_plate_is_found(tmp_path):
    calls, clip = [], make_clip(tmp_path / "clip.mp4", 6)

    def progress(done, expected):
        calls.append((done, expected))
        if len(calls) == 2:
            raise KeyboardInterrupt

    writer = VideoWriter(tmp_path / "com.mp4", 25, 96, 48)
    with pytest.raises(KeyboardInterrupt):
        matte_video(
            video_src=clip, video_bgr="auto", writers={"com": writer}, progress=progress,
            network=footage.KnownNetwork(),
        )  # fmt: skip
    assert calls[0] == (0, 6), "before anything is done"
    assert not list(tmp_path.glob("com*"))


def test_what_is_wrong_with_a_moment_is_said(tmp_path):
    clip = make_clip(tmp_path / "shot.mp4", 3)
    still = make_plate(tmp_path / "plate.png")
    for text, message in (
        (f"{clip}@noon", r"'noon' is not a time; expected one such as 2\.5"),
        (f"{clip}@", r"'' is not a time"),
        (f"{tmp_path / 'gone.mp4'}@2", r"gone\.mp4: not found"),
        (f"{still}@2", r"plate\.png: has no times"),
        (f"{tmp_path}@2", r"has no times"),
    ):
        with pytest.raises(MediaError, match=message):
            open_plate(text, Walk(), silent)


def test_a_file_called_auto_comes_first_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "auto").mkdir()  # as --output-dir auto leaves it
    make_plate(tmp_path / "auto/x.png")
    assert open_plate("auto", Walk(), silent).name == "the plate made from walk.mp4"
    assert open_plate("./auto", Walk(), silent).name == "auto"
    (tmp_path / "auto/x.png").unlink()
    (tmp_path / "auto").rmdir()
    make_clip(tmp_path / "auto.mp4", 3).rename(tmp_path / "auto")
    assert open_plate("auto", Walk(), silent).name == "auto"


def test_ten_times_the_frames_take_no_more_memory(monkeypatch):
    monkeypatch.setattr("plate.temporal_mode._MAX_THREADS", 1)  # how many work at once is chance

    class Endless(Walk):
        def __iter__(self):
            short = list(super().__iter__())
            return (short[number % COUNT] for number in range(self.frames))

    def peak(frames: int) -> int:
        src = Endless()
        src.frames = frames
        tracemalloc.start()
        AutoPlate(src, silent).find()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(3000) < 1.2 * peak(300)
