"""Sinks: a contract for every one, then what each kind promises."""

import itertools
import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import footage
import numpy as np
import pytest
import torch
from conftest import ROOT
from footage import read_video
from PIL import Image

from dataset import open_source
from model import Prediction
from writers import (
    FORMATS,
    FrameWriter,
    ImageSequenceWriter,
    MemoryWriter,
    VideoWriter,
    WriteError,
    composer,
)
from writers.compose import error_map, over, refined_map
from writers.quantize import to_host_levels

SIZE = footage.SIZE
TYPES = {8: torch.uint8, 16: torch.uint16, "half": torch.float16, "float": torch.float32}
PYTHONPATH = (ROOT, ROOT / "tests", Path(__file__).parent)


def levels(count: int, channels: int = 3) -> torch.Tensor:
    """Frames (N, C, H, W), float: each of one level of grey, all of them different."""
    grey = torch.arange(count).float() * 2 / 255
    return grey.view(-1, 1, 1, 1).expand(-1, channels, *SIZE).clone()


class Sink:
    """How to make a sink, and how to read back the level of each frame it wrote."""

    def __init__(self, make, read):
        self.make, self.read = make, read


def image_levels(folder: Path, extension: str) -> list[int]:
    files = sorted(folder.glob(f"*.{extension}"))
    assert [file.name for file in files] == [f"{n:05d}.{extension}" for n in range(len(files))]
    return [int(cv2.imread(str(file)).mean().round()) for file in files]


SINKS = {
    "png": Sink(
        lambda root: ImageSequenceWriter(root / "x", "png"),
        lambda root, _: image_levels(root / "x", "png"),
    ),
    "jpg": Sink(
        lambda root: ImageSequenceWriter(root / "x", "jpg"),
        lambda root, _: image_levels(root / "x", "jpg"),
    ),
    "mp4": Sink(
        lambda root: VideoWriter(root / "x.mp4", 25, SIZE[1], SIZE[0]),
        lambda root, _: [int(p.mean().round()) for p in read_video(root / "x.mp4")[0]],
    ),
    "memory": Sink(
        lambda root: MemoryWriter(),
        lambda _, sink: [int(f.float().mean().round()) for f in sink.frames],
    ),
}


@pytest.fixture(params=SINKS)
def sink(request) -> Sink:
    return SINKS[request.param]


def test_every_frame_arrives_in_order(sink, tmp_path):
    frames = levels(100)
    with sink.make(tmp_path) as writer:
        for batch in (frames[:1], frames[1:8], frames[8:]):
            writer.add_batch(batch)
    got = sink.read(tmp_path, writer)
    assert np.abs(np.array(got) - np.arange(100) * 2).max() <= 1
    assert len(got) == 100


@pytest.mark.parametrize("channels", [1, 3])
def test_the_caller_may_reuse_its_frames(sink, tmp_path, channels):
    buffer = torch.zeros(1, channels, *SIZE, dtype=torch.uint8)
    with sink.make(tmp_path) as writer:
        for number in range(30):
            buffer.fill_(number * 8)
            writer.add_batch(buffer)
        buffer.fill_(255)
    assert np.abs(np.array(sink.read(tmp_path, writer)) - np.arange(30) * 8).max() <= 1


def test_close_twice_is_harmless_and_use_after_it_raises(sink, tmp_path):
    writer = sink.make(tmp_path)
    writer.add_batch(levels(3))
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.add_batch(levels(1))
    assert len(sink.read(tmp_path, writer)) == 3


def test_what_was_taken_before_a_failure_elsewhere_is_kept(sink, tmp_path):
    with pytest.raises(KeyError), sink.make(tmp_path) as writer:
        writer.add_batch(levels(5))
        raise KeyError
    assert len(sink.read(tmp_path, writer)) == 5


def test_an_empty_batch_changes_nothing(sink, tmp_path):
    with sink.make(tmp_path) as writer:
        for batch in (levels(0), levels(2), levels(0)):
            writer.add_batch(batch)
    assert len(sink.read(tmp_path, writer)) == 2


@pytest.mark.parametrize(
    "frames",
    [torch.zeros(3, *SIZE), torch.zeros(1, 2, *SIZE), torch.zeros(1, 3, *SIZE, dtype=torch.int32)],
    ids=["no batch", "two channels", "int32"],
)
def test_frames_of_another_kind_are_refused(sink, tmp_path, frames):
    with sink.make(tmp_path) as writer, pytest.raises(ValueError, match=r"frames of (shape|type)"):
        writer.add_batch(frames)


def test_rounding_is_to_the_nearest_level():
    exact = torch.arange(256).float().view(1, 1, 16, 16) / 255
    for dtype in (torch.float32, torch.float64, torch.float16):
        assert torch.equal(to_host_levels(exact.to(dtype)).flatten().int(), torch.arange(256).int())
    edges = torch.tensor([0.4999, 0.5001, 254.4999, 254.5001, -5, 300]).view(1, 1, 1, 6) / 255
    assert to_host_levels(edges).flatten().tolist() == [0, 1, 254, 255, 0, 255]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_is_exact_and_says_it_is_srgb(tmp_path, channels):
    frames = torch.randint(0, 256, (2, channels, 37, 53), dtype=torch.uint8)
    with ImageSequenceWriter(str(tmp_path / "deep/er"), "png") as writer:
        writer.add_batch(frames)
    for number, frame in enumerate(frames):
        with Image.open(tmp_path / f"deep/er/{number:05d}.png") as image:
            assert image.info["srgb"] == 0
            got = np.asarray(image).reshape(37, 53, channels)
        np.testing.assert_array_equal(got, frame.permute(1, 2, 0).numpy())


def test_jpeg_keeps_its_chroma_and_its_quality(tmp_path):
    red = torch.zeros(1, 3, 64, 64)
    red[:, 0, :, ::2] = 1  # columns one pixel wide
    with ImageSequenceWriter(tmp_path, "jpg") as writer:
        writer.add_batch(red)
        with pytest.raises(ValueError, match="alpha"):
            writer.add_batch(torch.zeros(1, 4, 8, 8))
    with Image.open(tmp_path / "00000.jpg") as image:
        assert image.layer[0][1:3] == image.layer[1][1:3] == (1, 1), "4:4:4"
        assert np.abs(np.asarray(image) - red[0].permute(1, 2, 0).numpy() * 255).max() < 16


def test_numbers_start_where_they_are_told_and_grow_past_five_digits(tmp_path):
    with ImageSequenceWriter(tmp_path, "png", start_number=99_998) as writer:
        writer.add_batch(levels(4))
    assert sorted(os.listdir(tmp_path)) == ["100000.png", "100001.png", "99998.png", "99999.png"]


def test_a_sequence_keeps_its_size(tmp_path):
    with ImageSequenceWriter(tmp_path, "png") as writer:
        writer.add_batch(torch.zeros(1, 3, 8, 10))
        with pytest.raises(ValueError, match="frame of 12x8 in a sequence of 10x8"):
            writer.add_batch(torch.zeros(1, 3, 8, 12))


def test_an_unknown_extension_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'gif' is none of png, tif, exr, webp, jpg"):
        ImageSequenceWriter(tmp_path, "gif")


class SlowImages(ImageSequenceWriter):
    """A disk that takes its time, and knows how much waits for it."""

    waiting = most = 0
    gate = threading.Lock()

    def add_batch(self, frames):
        super().add_batch(frames)
        with self.gate:
            SlowImages.waiting += len(frames)
            SlowImages.most = max(SlowImages.most, SlowImages.waiting)

    def _save(self, frame, number):
        time.sleep(0.01)
        super()._save(frame, number)
        with self.gate:
            SlowImages.waiting -= 1


def test_the_queue_before_a_slow_disk_is_bounded(tmp_path):
    with SlowImages(tmp_path, "png", workers=2) as writer:
        for frame in levels(60).split(1):
            writer.add_batch(frame)
    assert len(os.listdir(tmp_path)) == 60
    assert 0 < SlowImages.most <= 2 * 2 + 1 + 1


class Failing(ImageSequenceWriter):
    """A disk that breaks at the fourth file."""

    def _save(self, frame, number):
        if number == 3:
            raise WriteError("disk broke")
        super()._save(frame, number)


def test_a_failed_save_surfaces_at_the_next_batch(tmp_path):
    with Failing(tmp_path, "png", workers=1) as writer:
        with pytest.raises(WriteError, match="disk broke"):
            for frame in levels(100).split(1):
                writer.add_batch(frame)
                time.sleep(0.002)
        assert next(writer._numbers) < 20
        with pytest.raises(WriteError, match="disk broke"):
            writer.add_batch(levels(1))
    assert "00002.png" in os.listdir(tmp_path)


def test_a_failed_save_surfaces_at_close(tmp_path):
    writer = Failing(tmp_path, "png")
    writer.add_batch(levels(4))
    with pytest.raises(WriteError, match="disk broke"):
        writer.close()
    assert sorted(os.listdir(tmp_path)) == ["00000.png", "00001.png", "00002.png"]


def run_program(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, PYTHONPATH))},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_usage_example_works_without_close(tmp_path):
    code = """
import torch
from inference_video import ImageSequenceWriter
pha, fgr = torch.rand(40, 1, 90, 120), torch.rand(40, 3, 90, 120)
com = torch.cat([fgr * pha.ne(0), pha], dim=1)
ImageSequenceWriter('output/com', 'png').add_batch(com)
torch.save(com, 'com.pt')
"""
    done = run_program(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    wanted = to_host_levels(torch.load(tmp_path / "com.pt")).permute(0, 2, 3, 1).numpy()
    files = sorted((tmp_path / "output/com").iterdir())
    assert [file.name for file in files] == [f"{n:05d}.png" for n in range(40)]
    for file, frame in zip(files, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), frame)


def test_programs_that_just_end_are_told_of_failures_and_get_their_video(tmp_path):
    code = """
import torch
from test_writers import Failing
from writers import VideoWriter
video = VideoWriter('x.mp4', 25, 64, 48)
video.add_batch(torch.rand(9, 3, 48, 64))
images = Failing('images', 'png')
images.add_batch(torch.rand(9, 3, 48, 64))
"""
    done = run_program(code, tmp_path)
    assert done.stderr == "error: disk broke\n"
    assert len(read_video(tmp_path / "x.mp4")[0]) == 9
    assert len(os.listdir(tmp_path / "images")) == 8


@pytest.mark.parametrize("size", [(47, 95), (1, 1), (48, 96)])
def test_video_is_bt709_and_padded_to_even(tmp_path, size):
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [40, 90, 200]])
    frames = colours.to(torch.uint8).view(5, 3, 1, 1).expand(-1, -1, *size)
    with VideoWriter(tmp_path / "x.mp4", 25, size[1], size[0], crf=0) as writer:
        writer.add_batch(frames)
    with av.open(str(tmp_path / "x.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        assert tags == (1, 1, 1, 1) and context.pix_fmt == "yuv420p"
        pictures = [p.to_ndarray(format="rgb24") for p in container.decode(video=0)]
    assert pictures[0].shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    got = np.array([picture[-1, -1] for picture in pictures]).astype(int)
    assert np.abs(got - colours.numpy()).max() <= 3


@pytest.mark.parametrize("axis", [0, 1])
def test_the_colours_of_a_video_come_back_where_they_were(tmp_path, axis):
    place = np.arange(160)

    def blue(shift: float) -> np.ndarray:
        return 128 + 100 * np.sin((place - shift) / 20)

    frame = np.full((160, 160, 3), 128, np.uint8)
    frame[..., 2] = np.expand_dims(blue(0), 1 - axis)
    with VideoWriter(tmp_path / "x.mp4", 25, 160, 160, crf=0) as writer:
        writer.add_batch(torch.from_numpy(frame).permute(2, 0, 1)[None])
    found = next(iter(open_source(tmp_path / "x.mp4", print))).image.astype(float)
    across = found[..., 2].mean(axis=1 - axis)
    off = {shift: np.abs(across - blue(shift))[8:-8].mean() for shift in (-0.5, -0.25, 0, 0.25)}
    assert min(off, key=off.__getitem__) == 0 and off[0] < 1


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (4, 6), (64, 14)])
def test_x264_works_on_whole_frames_side_by_side(tmp_path, monkeypatch, cores, threads):
    monkeypatch.setattr("writers.video.usable_cores", lambda: cores)
    with VideoWriter(tmp_path / "x.mp4", 25, 640, 360) as writer:
        writer.add_batch(torch.zeros(1, 3, 360, 640))
    told = (tmp_path / "x.mp4").read_bytes()  # x264 writes its settings into the stream
    assert b" sliced_threads=0 " in told and b" threads=%d " % threads in told


def test_video_refuses_alpha_and_other_sizes(tmp_path):
    with VideoWriter(tmp_path / "x.mp4", 25, 96, 48) as writer:
        with pytest.raises(ValueError, match="no alpha"):
            writer.add_batch(torch.zeros(1, 4, 48, 96))
        with pytest.raises(ValueError, match="frame of 98x50 in a video of 96x48"):
            writer.add_batch(torch.zeros(1, 3, 50, 98))
    assert list(tmp_path.iterdir()) == [], "no frame, no file"


def test_timestamps_are_exact(tmp_path):
    times = [Fraction(n * n + 7 + 30 * n, 3000) for n in range(30)]
    writer = VideoWriter(
        tmp_path / "x.mp4", 25, 96, 48, timestamps=times, time_base=Fraction(1, 3000)
    )
    with writer:
        writer.add_batch(levels(30))
    assert read_video(tmp_path / "x.mp4")[1] == times


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(60000, 1001), 25, 29.97])
def test_frame_rate_is_exact(tmp_path, rate):
    with VideoWriter(tmp_path / "x.mp4", rate, 96, 48) as writer:
        writer.add_batch(levels(20))
    exact = Fraction(30000, 1001) if rate == 29.97 else Fraction(rate)
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert container.streams.video[0].average_rate == exact
    assert read_video(tmp_path / "x.mp4")[1] == [n / exact for n in range(20)]


def test_what_a_killed_program_leaves_of_a_video_plays(tmp_path):
    code = """
import os, torch
from writers import VideoWriter
writer = VideoWriter('x.mp4', 25, 64, 48, preset='ultrafast')
for number in range(700):
    writer.add_batch(torch.full((1, 3, 48, 64), number % 256, dtype=torch.uint8))
writer._pool.shutdown()
os.kill(os.getpid(), 9)
"""
    assert run_program(code, tmp_path).returncode == -9
    assert os.listdir(tmp_path) == ["x.mp4.part"]
    assert len(read_video(tmp_path / "x.mp4.part")[0]) >= 500


def test_the_folder_is_that_in_which_the_writer_was_made(tmp_path, monkeypatch):
    for name in ("here", "there/com", "there/out"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with ImageSequenceWriter("com", "png") as images, VideoWriter("x.mp4", 25, 16, 16) as video:
        images.add_batch(torch.zeros(2, 3, 16, 16))
        monkeypatch.chdir(tmp_path / "there")
        images.add_batch(torch.zeros(2, 3, 16, 16))
        video.add_batch(torch.zeros(2, 3, 16, 16))
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*"))
    assert written == [*(f"here/com/0000{n}.png" for n in range(4)), "here/x.mp4"]


def test_compositing():
    pha = torch.tensor([0.0, 1e-4, 0.25, 1.0]).view(1, 1, 1, 4)
    fgr = torch.full((1, 3, 1, 4), 0.8)
    com = Prediction(pha, fgr, pha, None, (1, 4)).cut_out()
    assert torch.equal(com[:, 3:], pha)
    assert torch.equal(com[0, 0, 0], torch.tensor([0.0, 0.8, 0.8, 0.8])), "straight, black where 0"
    blended = over(pha, fgr, torch.full((1, 3, 1, 1), 0.4))
    assert torch.allclose(blended[0, 0, 0], torch.tensor([0.4, 0.40004, 0.5, 0.8]))
    ref = torch.tensor([[0.0, 1.0]]).view(1, 1, 1, 2)
    assert refined_map(ref, (4, 8))[0, 0, 0].tolist() == [0] * 4 + [1] * 4
    assert error_map(ref, (1, 4))[0, 0, 0].tolist() == [0, 0.25, 0.75, 1]


def test_every_kind_has_a_composer_in_every_format():
    matte = footage.known_matte(pha=torch.rand(2, 1, 6, 7))
    for name, form in FORMATS.items():
        for kind, depth in itertools.product(("com", "pha", "fgr", "err", "ref"), form.depths):
            compose = composer(kind, alpha=form.alpha, depth=depth)
            frames = compose(matte, torch.zeros(1, 3, 1, 1))
            assert frames.shape == (2, frames.shape[1], 6, 7), (name, kind)
            assert frames.dtype == TYPES[depth], (name, kind)


def test_every_sink_is_a_frame_writer():
    assert all(issubclass(s, FrameWriter) for s in (ImageSequenceWriter, VideoWriter, MemoryWriter))
