"""A run that is spread over workers: the same bytes as of one, here in one process.

The workers are real, and so is all that is sent between them and the run. test_ray.py lets Ray
carry it.
"""

import json
import pickle
import re
import sys
from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from conftest import ROOT
from PIL import Image
from runs import assert_error, run
from runs import matte_checkpoint as matte

from inference_video import UsageError, main
from pipeline import Settings
from pipeline.ray_pool import Seat, connect
from pipeline.worker import Order, Worker
from pipeline.workers import _seats_here, _seats_of_cluster

COUNT = 30


class PoolHere:
    """Workers in this process that take turns; their orders and parts are sent as bytes."""

    seats = (Seat("cpu", 1), Seat("cpu", 1))

    def __str__(self) -> str:
        return "2 workers here"

    def parts(self, order, places, schedule, waiting):
        workers = {}
        while not schedule.is_complete:
            for name in ("one", "two"):
                if (chunk := schedule.take(name, 0.0)) is None:
                    continue
                if name not in workers:
                    workers[name] = Worker()
                    workers[name].open(pickle.loads(pickle.dumps(order)), "cpu", 1)
                some = places[chunk.start : chunk.stop]
                part = pickle.dumps(workers[name].matte(some, chunk.start), protocol=5)
                waiting()
                schedule.finish(name, chunk, 1.0)
                assert schedule.collect() == chunk
                yield pickle.loads(part)

    def close(self) -> None:
        pass


@pytest.fixture
def desk(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    gop = {"x264-params": "keyint=10:bframes=3:scenecut=0"}
    footage.make_clip(tmp_path / "clip.mp4", COUNT, options=gop, sound="aac")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(60, 190, (*footage.SIZE, 3), np.uint8)).save(
        tmp_path / "plate.png"
    )
    (tmp_path / "half.pth").hardlink_to(checkpoint)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.matte.check_ray", lambda: None)
    monkeypatch.setattr("pipeline.matte.open_pool", lambda job: (job, PoolHere()))
    monkeypatch.setattr("plate.carry._BLOCK", 4)
    monkeypatch.setattr("plate.carry._RUN_UP", 4)
    return tmp_path


def files(out: str) -> dict[str, bytes]:
    found = (path for path in Path(out).rglob("*") if path.is_file() and path.suffix != ".json")
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def report(out: str) -> dict:
    (path,) = Path(out).glob("run*.json")
    found = json.loads(path.read_text())
    for name in ("seconds", "frames_per_second", "busy", "waited", "bottleneck", "device"):
        found.pop(name)
    for name in ("output_dir", "workers"):
        found["settings"].pop(name)
    return found


def assert_same(**flags) -> None:
    matte("one", **flags)
    matte("several", **flags, workers=2)
    assert files("several") == files("one") and len(files("one")) > 1
    assert report("several") == report("one")


@pytest.mark.parametrize(
    "flags",
    [
        {"output_types": ["com", "pha", "err", "ref"], "start_number": 1001, "batch_size": 3},
        {"image_extension": "exr", "frames": "3-20,25"},
        {"output_format": "prores4444", "bit_depth": 16, "frames": "5-27"},
        {"smooth_alpha": True, "match_plate": True, "frames": "7-29"},
        {"preprocess_alignment": "static", "frames": "0-7"},
        {"video_bgr": "auto", "output_format": "video", "output_types": ["com", "fgr"], "crf": 0},
        {"video_bgr": "clip.mp4@00:00:00.2", "despeckle": True, "video_resize": (64, 40)},
    ],
    ids=lambda flags: next(iter(flags)),
)
def test_workers_write_the_same_bytes(desk, flags):
    assert_same(**flags)


def test_the_command_of_the_docs(desk):
    page = (ROOT / "docs/farm.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^inference-video (.* --workers .*)$", page, flags=re.M)
    (desk / "clip.mp4").rename("shot.mp4")
    assert main(line.split()) == 0
    assert len(list(Path("farm/com").iterdir())) == COUNT
    assert json.loads(Path("farm/run.json").read_text())["device"] == "2 workers here"


def test_mattes_that_move(desk):
    (desk / "roto").mkdir()
    for n in range(COUNT):
        Image.fromarray(footage.numbered(n)[::2, ::2]).save(desk / f"roto/r.{n:04d}.png")
    assert_same(core_matte="roto/r.####.png", garbage_matte="clip.mp4", frames="4-21")


def test_plates_and_targets_that_are_clips(desk):
    footage.make_clip(desk / "plates.mp4", 9)
    footage.make_clip(desk / "target.mp4", 7)
    video = dict(output_format="video", crf=0)
    assert_same(video_bgr="plates.mp4", video_target_bgr="target.mp4", **video)


def test_a_sequence_with_its_numbers(desk):
    (desk / "shot").mkdir()
    for number in (997, 998, *range(1001, 1012)):
        Image.fromarray(footage.numbered(number)).save(desk / f"shot/s.{number:06d}.png")
    assert_same(video_src="shot")


def test_times_that_vary_reach_the_report(desk):
    times = [Fraction(n + n // 3, 50) for n in range(COUNT)]
    footage.make_clip(desk / "uneven.mp4", COUNT, times=times, time_base=Fraction(1, 50))
    assert_same(video_src="uneven.mp4")
    assert "timecodes.txt" in files("several")
    assert_same(video_src="uneven.mp4", output_format="video", crf=0, overwrite=True)


def test_workers_read_a_clip_as_the_plate_says(desk):
    tiles = np.random.default_rng(3).integers(20, 236, (6, 8, 3), np.uint8)
    scene = tiles.repeat(20, axis=0).repeat(20, axis=1)
    Image.fromarray(scene).save(desk / "plate.png")
    with av.open(str(desk / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.height, stream.width, stream.pix_fmt = *scene.shape[:2], "yuv420p"
        for number in range(6):
            picture = scene.copy()
            picture[40:, 20 + 10 * number : 50 + 10 * number] = (200, 30, 60)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame = frame.reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.JPEG
            )
            frame.colorspace, frame.color_range = 2, 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert_same(video_src="clip.mkv")
    assert report("several")["coding"]["matrix_by"] == "plate"


def test_what_is_there_is_not_made_again(desk):
    matte("one")
    matte("several", frames="4-9")
    kept = Path("several/com/00004.png").stat().st_ino
    matte("several", resume=True, workers=2)
    for number in (3, 17):
        Path(f"several/com/{number:05d}.png").unlink()
    result = matte("several", resume=True, workers=2)
    assert (result.frames, result.resumed) == (COUNT, COUNT - 2)
    pictures = {n: x for n, x in files("several").items() if n.startswith("com/")}
    assert pictures == {n: x for n, x in files("one").items() if n.startswith("com/")}
    assert Path("several/com/00004.png").stat().st_ino == kept


def test_an_error_of_a_worker_comes_after_the_frames_before_it(desk):
    (desk / "shot").mkdir()
    for number in range(20):
        Image.fromarray(footage.numbered(number)).save(desk / f"shot/{number:03d}.png")
    Image.new("RGB", (40, 40)).save(desk / "shot/012.png")
    for out, workers in (("one", None), ("several", 2)):
        with pytest.raises(OSError, match=r"012\.png"):
            matte(out, video_src="shot", workers=workers)
        assert sorted(path.name for path in Path(out, "com").iterdir())[-1] == "00011.png"[-7:]
        assert json.loads(Path(out, "run.json").read_text())["status"] == "failed"


def test_a_stop_keeps_what_was_written(desk):
    def stop(done: int, expected: int | None) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        matte("several", workers=2, progress=stop)
    assert json.loads(Path("several/run.json").read_text())["status"] == "stopped"
    assert len(list(Path("several/com").iterdir())) >= 8
    matte("one")
    matte("several", workers=2, resume=True)
    assert {n for n in files("several")} == {n for n in files("one")}


def test_a_clip_that_is_read_from_its_start_needs_no_workers(desk):
    footage.make_clip(desk / "clip.avi", 8, codec="mpeg4", options={"g": "5"})
    result = matte("out", video_src="clip.avi", workers=2)
    assert result.frames == 8
    assert [text for text in result.warnings if "without workers" in text]


def test_a_worker_checks_its_files_and_its_version(desk):
    class Stop(Exception):
        pass

    class PoolThatAsks(PoolHere):
        def parts(self, order, places, schedule, waiting):
            orders.append(order)
            raise Stop
            yield

    orders: list[Order] = []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr("pipeline.matte.open_pool", lambda job: (job, PoolThatAsks()))
        matte("out", workers=2)
    (order,) = orders
    Worker().open(order, "cpu", 1)
    with pytest.raises(OSError, match=r"clip\.mp4: is another clip on"):
        Worker().open(Order(**{**vars(order), "length": 31}), "cpu", 1)
    footage.make_clip(desk / "clip.mp4", 3)
    with pytest.raises(OSError, match=r"clip\.mp4: is another file on"):
        Worker().open(order, "cpu", 1)
    (desk / "clip.mp4").unlink()
    with pytest.raises(OSError, match=r"clip\.mp4: not found on"):
        Worker().open(order, "cpu", 1)
    with pytest.raises(UsageError, match=r"0\.0\.1 here; install the"):
        Worker().open(Order(**{**vars(order), "version": "0.0.1"}), "cpu", 1)


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"workers": 0}, "--workers 0: expected 1 or more, or auto"),
        ({"workers": "many"}, "--workers many: expected 1 or more, or auto"),
        ({"workers": 2, "devices": "all"}, "leave out --workers"),
        ({"workers": 2, "video_src": "-"}, "workers cannot read standard input"),
        ({"workers": 2, "device": "cuda:1"}, "give --devices cuda:1"),
        ({"devices": "cuda:0", "device": "cpu"}, "leave out --device"),
        ({"devices": "gpu"}, "expected all, or names such as cuda:0,cuda:1"),
        ({"ray_address": "ray://there:10001"}, "expected HOST:PORT"),
    ],
)
def test_what_does_not_go_together(flags, message):
    with pytest.raises(UsageError) as caught:
        Settings(**{"video_src": "a.mp4", "video_bgr": "b.png", "output_dir": "out", **flags})
    assert message in str(caught.value)


def test_a_network_of_a_program_cannot_be_sent(desk):
    with pytest.raises(UsageError, match="give a checkpoint"):
        matte("out", workers=2, network=footage.KnownNetwork())


def without_ray() -> None:
    sys.modules["ray"] = None  # type: ignore[assignment]


def without_ray_on_windows() -> None:
    without_ray()
    sys.platform = "win32"


def test_without_ray_a_line_says_what_to_do(folder):
    assert_error(run(folder, workers=2, before=without_ray), 2, "pip install 'ray", "--frames")
    result = run(folder, workers=2, before=without_ray_on_windows)
    assert_error(result, 2, "Windows", "start runs with --frames", "docs/farm.md")
    assert not (folder / "out").exists()


def test_room_for_workers(monkeypatch):
    job = dict(video_src="a.mp4", video_bgr="b.png", output_dir="out", device="cpu")
    monkeypatch.setattr("pipeline.workers.cores_at_hand", lambda: 9)
    assert _seats_here(Settings(**job, workers="auto")) == [Seat("cpu", 4)] * 2
    assert _seats_here(Settings(**job, workers=3)) == [Seat("cpu", 3)] * 3
    job["device"] = "auto"
    assert _seats_here(Settings(**job, devices="cpu,cpu")) == [Seat("cpu", 4)] * 2
    nodes = [{"Alive": alive, "Resources": {"CPU": n}} for alive, n in [(1, 8.0), (1, 5.0), (0, 9)]]
    assert _seats_of_cluster(Settings(**job, workers="auto"), nodes) == [Seat("cpu", 4)] * 3
    assert _seats_of_cluster(Settings(**job, workers=2), nodes) == [Seat("cpu", 5)] * 2
    with pytest.raises(UsageError, match="--workers 14: the cluster has 13 cores"):
        _seats_of_cluster(Settings(**job, workers=14), nodes)
    nodes += [{"Alive": 1, "Resources": {"CPU": 16.0, "GPU": 2.0}}]
    assert _seats_of_cluster(Settings(**job), nodes) == [Seat("cuda", 8, 1)] * 2
    with pytest.raises(UsageError, match="the cluster has 2 GPUs"):
        _seats_of_cluster(Settings(**job, workers=3), nodes)


def test_a_cluster_that_does_not_answer_is_told_at_once():
    with pytest.raises(RuntimeError, match=r"--ray-address 127\.0\.0\.1:9: cannot be reached"):
        connect("127.0.0.1:9")
