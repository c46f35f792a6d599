"""A clip from a pipe, and the subject into one."""

import io
import subprocess
import sys

import av
import numpy as np
import pytest
from conftest import ROOT
from footage import make_checkpoint, make_clip, make_plate, read_number
from runs import matte

from dataset import MediaError, open_source
from dataset.pipe import PipeSource
from media import UsageError

PROGRAM = [sys.executable, str(ROOT / "inference_video.py")]


def piped(clip, form: str, codec: str = "rawvideo") -> bytes:
    """The frames of a clip as another program would send them."""
    content = io.BytesIO()
    with av.open(str(clip)) as source, av.open(content, "w", format=form) as sink:
        stream = source.streams.video[0]
        out = sink.add_stream(codec, stream.average_rate)
        out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
        for frame in source.decode(stream):
            sink.mux(out.encode(frame))
        sink.mux(out.encode(None))
    return content.getvalue()


class OneWay(io.BytesIO):
    """A stream that cannot go back, as a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError("a pipe")


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("nut", "rawvideo"),
        ("matroska", "ffv1"),
        ("matroska", "libx264"),
        ("yuv4mpegpipe", "wrapped_avframe"),
    ],
)
def test_what_comes_through_a_pipe_is_what_the_file_holds(tmp_path, form, codec):
    clip = make_clip(tmp_path / "clip.mp4", 12)
    wanted = list(open_source(clip, pytest.fail))
    source = PipeSource(pytest.fail, stream=OneWay(piped(clip, form, codec)))
    assert source.size == wanted[0].image.shape[:2] and source.frame_rate == 25
    found = list(source)
    assert [frame.time for frame in found] == [frame.time for frame in wanted]
    assert [read_number(frame.image) for frame in found] == list(range(12))
    if codec in ("rawvideo", "ffv1"):
        for frame, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(frame.image, other.image)


def test_a_pipe_is_read_once(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 3)
    source = PipeSource(pytest.fail, stream=OneWay(piped(clip, "nut")))
    assert len(list(source)) == 3
    with pytest.raises(MediaError, match="standard input can be read only once"):
        list(source)


def test_a_pipe_that_breaks_off_gives_what_came(tmp_path):
    content = piped(make_clip(tmp_path / "clip.mp4", 6), "nut")
    told: list[str] = []
    found = list(PipeSource(told.append, stream=OneWay(content[: len(content) * 2 // 3])))
    assert [read_number(frame.image) for frame in found][:3] == [0, 1, 2]
    for wrong in (b"", b"no video at all" * 100, b"#EXTM3U\n/etc/passwd\n"):
        with pytest.raises(MediaError, match="holds no video"):
            PipeSource(pytest.fail, stream=OneWay(wrong))


def test_the_program_stands_between_two_others(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 4)
    make_plate(tmp_path / "plate.png")
    make_checkpoint(tmp_path / "half.pth")
    flags = "--video-src - --video-bgr plate.png --output-dir - --output-format nut --device cpu"
    done = subprocess.run(
        [*PROGRAM, *flags.split(), "--model-checkpoint", "half.pth"],
        input=piped(clip, "nut"),
        capture_output=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0 and b"standard output" in done.stderr
    with av.open(io.BytesIO(done.stdout)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    for number, frame in enumerate(frames):
        assert read_number(frame[..., :3]) == number
        assert frame[..., 3].min() >= 127 and frame[..., 3].max() <= 128
    assert len(frames) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "half.pth", "plate.png"]


def test_a_reader_that_goes_away_ends_the_run_in_one_line(tmp_path):
    make_clip(tmp_path / "clip.mp4", 40)
    make_plate(tmp_path / "plate.png")
    make_checkpoint(tmp_path / "half.pth")
    flags = "--video-src clip.mp4 --video-bgr plate.png --output-dir - --output-format nut"
    program = subprocess.Popen(
        [*PROGRAM, *flags.split(), "--model-checkpoint", "half.pth", "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    program.stdout.read(1000)
    program.stdout.close()
    lines = program.stderr.read().decode().splitlines()
    assert program.wait(timeout=60) == 1
    assert lines[-1] == "error: -: Broken pipe"


def test_progress_on_standard_output_would_get_into_the_frames(tmp_path):
    flags = "--video-src - --video-bgr p.png --output-dir - --output-format nut --progress json"
    done = subprocess.run(
        [*PROGRAM, *flags.split()], input=b"", capture_output=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 2
    assert b"--progress json: standard output is taken by --output-dir -" in done.stdout


def test_nut_goes_into_a_folder_too(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 3)
    make_plate(tmp_path / "plate.png")
    matte(tmp_path, clip, output_format="nut", bit_depth=16)
    with av.open(str(tmp_path / "out/com.nut")) as container:
        frames = list(container.decode(video=0))
    assert [frame.format.name for frame in frames] == ["rgba64le"] * 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"video_bgr": "auto"}, "--video-bgr auto reads the clip more than once"),
        ({"mend_plate": True}, "--mend-plate reads"),
        ({"preprocess_alignment": "static"}, "static reads"),
        ({"resume": True}, "--resume reads"),
        ({"output_dir": "-"}, "standard output takes --output-format nut only"),
        (
            {"output_dir": "-", "output_format": "nut", "output_types": ["com", "pha"]},
            "takes one of --output-types",
        ),
        ({"output_dir": "-", "output_format": "nut", "overwrite": True}, "needs a folder"),
    ],
)
def test_what_a_pipe_cannot_do_is_told_before_it_is_read(tmp_path, options, words):
    make_plate(tmp_path / "plate.png")
    with pytest.raises(UsageError, match=words):
        matte(tmp_path, "-", **options)
