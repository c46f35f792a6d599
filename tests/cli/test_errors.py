"""What goes wrong with what comes in: message, exit status and files."""

import json
import os
import pickle
import sys
import zipfile
from fractions import Fraction
from functools import partial

import av
import footage
import numpy as np
import processes
import pytest
import torch
from footage import KnownNetwork, make_clip, make_plate, read_video
from PIL import Image
from processes import run_program
from runs import assert_error, matte, run

from dataset import MediaError
from inference_video import UsageError
from model import BaseOutput, DeviceError
from model.device import is_out_of_memory
from writers import FrameWriter, WriteError

# Missing, empty, not a video

UNREADABLE = {
    "missing": ("nothing.mp4", None, "not found; expected a video"),
    "empty": ("empty.mp4", b"", "empty; expected a video"),
    "text": ("notes.txt", b"Take 3 was the best one.\n" * 40, "expected a video"),
    "text called a video": ("notes.mp4", b"Take 3 was the best one.\n" * 40, "not a video"),
    "text called an image": ("notes.png", b"Take 3 was the best one.\n" * 40, "not a readable"),
    "zeros called a video": ("zeros.mov", bytes(4000), "not a video"),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("flag", ["video_src", "video_bgr"])
def test_what_is_no_video_is_named(folder, name, flag):
    file, content, message = UNREADABLE[name]
    if content is not None:
        (folder / file).write_bytes(content)
    assert_error(run(folder, **{flag: file}), 1, file, message)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("flag", ["video_src", "video_bgr", "garbage_matte", "video_target_bgr"])
def test_a_pipe_is_no_file(folder, flag):
    os.mkfifo(folder / "pipe.mkv")  # with nobody at its other end: to open it would take forever
    flags = {flag: folder / "pipe.mkv", "output_format": "video"}
    with pytest.raises(MediaError, match=r"pipe\.mkv: a pipe"):
        matte(folder, flags.pop("video_src", folder / "clip.mp4"), **flags)
    assert not (folder / "out").exists()


def test_a_pipe_has_no_moment(folder):
    os.mkfifo(folder / "pipe.mkv")
    with pytest.raises(MediaError, match=r"pipe\.mkv: a pipe"):
        matte(folder, folder / "clip.mp4", video_bgr=f"{folder / 'pipe.mkv'}@0.1")


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        ("png", lambda data: data[:5000]),
        ("tiff", lambda data: data[:5000]),
        ("png", lambda data: data[:5000] + bytes(9) + data[5009:]),
    ],
)
def test_a_damaged_deep_image_is_told_in_one_line(folder, suffix, damage):
    (folder / "shots").mkdir()
    deep = np.random.default_rng(1).integers(0, 65535, (48, 96)).astype(np.uint16)
    whole, cut = (folder / f"shots/{number}.{suffix}" for number in range(2))
    Image.fromarray(deep).save(whole)
    cut.write_bytes(damage(whole.read_bytes()))
    result = run(folder, "--no-preflight", video_src="shots")
    assert_error(result, 1, cut.name, "not a readable image")


def test_a_folder_without_images_is_named(folder):
    (folder / "shots").mkdir()
    (folder / "shots/notes.txt").write_text("no pictures here")
    assert_error(run(folder, video_src="shots"), 1, "shots", "no images")
    assert not (folder / "out").exists()


def test_a_file_with_sound_only_is_named(folder):
    with av.open(str(folder / "sound.m4a"), "w") as container:
        stream = container.add_stream("aac", 48000)
        for packet in footage._tone(stream, 1):
            container.mux(packet)
    assert_error(run(folder, video_src="sound.m4a"), 1, "sound.m4a", "no video")
    assert not (folder / "out").exists()


# Odd sizes


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (47, 99)], ids=str)
@pytest.mark.parametrize("form", ["video", "image_sequences"])
def test_any_size_works(folder, size, form):
    (folder / "shots").mkdir()
    for number in range(2):
        Image.fromarray(footage.numbered(number, size)).save(folder / f"shots/{number}.png")
    make_plate(folder / "plate.png", size)
    kinds = ("com", "pha", "fgr", "err", "ref")
    result = run(
        folder, "--preprocess-alignment", video_src="shots", output_types=kinds, output_format=form
    )
    assert result.returncode == 0, result.stderr
    height, width = size
    for kind in kinds:
        if form == "video":
            pictures, _ = read_video(folder / f"out/{kind}.mp4")
            assert [p.shape[:2] for p in pictures] == [(height + height % 2, width + width % 2)] * 2
        else:
            for file in (folder / "out" / kind).iterdir():
                assert Image.open(file).size == (width, height)
            assert len(list((folder / "out" / kind).iterdir())) == 2


def test_one_pixel_without_a_refiner(folder):
    make_clip(folder / "clip.mkv", 2, size=(1, 1), codec="ffv1", pix_fmt="bgr0")
    make_plate(folder / "plate.png", (1, 1))
    result = run(folder, video_src="clip.mkv", model_type="mattingbase")
    assert result.returncode == 0, result.stderr
    assert len(list((folder / "out/com").iterdir())) == 2


# Checkpoints


class _Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("code was run",)


CHECKPOINTS = {
    "missing": (None, "No such file"),
    "empty": (b"", "empty"),
    "web page": (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "HTML page"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs"),
    "text": (b"weights go here\n", "not a checkpoint"),
    "code": (pickle.dumps({"state_dict": _Evil()}), "could run code"),
    "list": ([torch.zeros(3)], "holds a list"),
    "other network": ({"conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(1)}, "conv1, fc"),
    "optimizer": ({"state": {0: {}}, "param_groups": []}, "another network"),
    "numbers for names": ({0: torch.zeros(3), 1: torch.zeros(3)}, "another network"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_is_no_checkpoint_is_named(folder, name):
    content, message = CHECKPOINTS[name]
    if isinstance(content, bytes):
        (folder / "bad.pth").write_bytes(content)
    elif content is not None:
        torch.save(content, folder / "bad.pth")
    assert_error(run(folder, model_checkpoint="bad.pth"), 1, "bad.pth", message)
    assert not (folder / "out").exists()
    assert not (folder / "code was run").exists()


def test_a_folder_is_no_checkpoint(folder):
    (folder / "weights.pth").mkdir()
    assert_error(run(folder, model_checkpoint="weights.pth"), 1, "weights.pth", "directory")


@pytest.mark.parametrize("old_format", [False, True], ids=["zip", "pickle"])
def test_a_truncated_checkpoint_is_named(folder, old_format):
    state = torch.load(folder / "half.pth", weights_only=True)
    torch.save(state, folder / "whole.pth", _use_new_zipfile_serialization=not old_format)
    whole = (folder / "whole.pth").read_bytes()
    for length in (2, 600, 70_000, len(whole) // 2, len(whole) - 30):
        (folder / "cut.pth").write_bytes(whole[:length])
        result = run(folder, model_checkpoint="cut.pth")
        assert_error(result, 1, "cut.pth", "cut short")
    assert not (folder / "out").exists()


def test_a_pickle_that_is_cut_within_its_archive_is_named(folder):
    whole, cut = folder / "half.pth", folder / "cut.pth"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(cut, "w") as copy:
        for name in source.namelist():
            data = source.read(name)
            copy.writestr(name, data[:2] + b"." if name.endswith("data.pkl") else data)
    assert_error(run(folder, model_checkpoint="cut.pth"), 1, "cut.pth: damaged or cut short")


def test_a_damaged_archive_is_named(folder):
    damaged = bytearray((folder / "half.pth").read_bytes())
    directory = damaged.rindex(b"PK\x01\x02")
    damaged[directory : directory + 20] = bytes(20)
    (folder / "bad.pth").write_bytes(damaged)
    assert_error(run(folder, model_checkpoint="bad.pth"), 1, "bad.pth", "damaged")


# Devices and memory


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named(folder):
    assert_error(run(folder, device="cuda"), 1, "--device cuda", "--device auto")
    assert not (folder / "out").exists()


def test_an_unknown_device_is_named(folder):
    assert_error(run(folder, device="gpu"), 2, "--device gpu", "cuda:N")
    assert not (folder / "out").exists()


class SmallDevice(KnownNetwork):
    """Runs out of memory above a batch size."""

    def __init__(self, largest: int):
        super().__init__()
        self.largest = largest
        self.seen: list[int] = []

    def forward(self, src, bgr) -> BaseOutput:
        self.seen.append(len(src))
        if len(src) > self.largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().forward(src, bgr)


def test_a_batch_that_does_not_fit_is_halved_once(folder):
    network = SmallDevice(2)
    clip = make_clip(folder / "long.mp4", 12)
    result = matte(folder, clip, network=network, batch_size=4, output_types=["fgr"])
    assert network.seen == [4, 2, 2, 2, 2, 2, 2]
    assert result.frames == len(list((folder / "out/fgr").iterdir())) == 12
    (warning,) = result.warnings
    assert "out of memory" in warning and "--batch-size 2" in warning


def test_memory_for_not_one_frame_says_what_to_set(folder):
    with pytest.raises(DeviceError, match=r"memory.*--precision.*--device"):
        matte(folder, folder / "clip.mp4", network=SmallDevice(0), batch_size=2)


def test_memory_for_the_code_of_a_convolution_is_memory_too():
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a pool"))


def test_memory_that_ends_outside_of_the_network_says_what_to_set(folder):
    class Greedy(FrameWriter):
        def add_batch(self, frames):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

        def close(self):
            pass

    with pytest.raises(DeviceError, match=r"memory.*--batch-size.*--device"):
        matte(folder, folder / "clip.mp4", writers={"com": Greedy()}, output_dir=None)


# Wrong command lines

WRONG = {
    "unknown flag": (["--video-srcs", "x"], "--video-srcs"),
    "jpg with com": (["--image-extension", "jpg"], "jpg"),
    "ref without a refiner": (["--output-types", "ref", "--model-type", "mattingbase"], "ref"),
    "unknown type": (["--output-types", "alpha"], "alpha"),
    "unknown format": (["--output-format", "gif"], "gif"),
    "batch size 0": (["--batch-size", "0"], "--batch-size 0"),
    "batch size x": (["--batch-size", "x"], "--batch-size"),
    "crf": (["--crf", "52"], "--crf 52"),
    "scale": (["--model-backbone-scale", "0.75"], "--model-backbone-scale 0.75"),
    "scale in words": (
        ["--model-backbone-scale", "big"],
        "'big': expected a number up to 0.5, or auto",
    ),
    "scale nan": (["--model-backbone-scale", "nan"], "--model-backbone-scale nan"),
    "specks": (["--despeckle", "101"], "--despeckle 101"),
    "specks nan": (["--despeckle", "nan"], "--despeckle nan"),
    "size": (["--video-resize", "0", "100"], "--video-resize"),
    "rate": (["--frame-rate", "0"], "--frame-rate 0"),
    "rate too low": (["--frame-rate", "0.0009"], "--frame-rate"),
    "rate beyond all": (["--frame-rate", "1e30"], "--frame-rate"),
    "no path": (["--video-bgr", ""], "--video-bgr is empty"),
    "no target": (["--video-target-bgr", ""], "--video-target-bgr is empty"),
    "no folder": (["--output-dir", ""], "--output-dir is empty"),
    "no matte": (["--garbage-matte", ""], "--garbage-matte is empty"),
    "no checkpoint": (["--model-checkpoint", ""], "--model-checkpoint is empty"),
    "the clip as its plate": (["--video-bgr", "clip.mp4"], "is the clip itself"),
    "strict without a look": (["--strict", "--no-preflight"], "--no-preflight"),
    "rate of nothing": (["--frame-rate", "25/0"], "--frame-rate"),
    "pixels": (["--model-refine-sample-pixels", "-1"], "--model-refine-sample-pixels -1"),
    "start": (["--start-number", "-1"], "--start-number -1"),
    "threshold": (["--model-refine-threshold", "nan"], "--model-refine-threshold nan"),
    "kernel": (["--model-refine-kernel-size", "2"], "kernel-size"),
}


def test_flags_of_another_format_are_said_to_have_no_effect(folder):
    clip = folder / "clip.mp4"
    video = matte(folder, clip, output_format="video", image_extension="png", start_number=7)
    assert [w.partition(" has no effect on ")[0] for w in video.warnings] == ["--image-extension"]
    images = matte(folder, clip, output_dir=folder / "images", crf=3, start_number=7)
    assert images.warnings == ["--crf has no effect on --image-extension png"]


def test_a_frame_too_large_for_h264_is_refused_before_anything_goes(folder):
    matte(folder, folder / "clip.mp4", output_format="video")
    wide = dict(video_resize=(17000, 16), preflight=False, output_format="video", overwrite=True)
    with pytest.raises(WriteError, match=r"17000x16.*16384.*--video-resize.*image_sequences"):
        matte(folder, folder / "clip.mp4", **wide)
    assert (folder / "out/com.mp4").exists()


def test_the_lowest_rate_is_one_that_can_be_given(folder):
    frames = folder / "frames"
    frames.mkdir()
    Image.open(folder / "plate.png").save(frames / "0.png")
    result = matte(folder, frames, output_format="video", frame_rate=Fraction("0.001"))
    assert result.frames == 1


def test_numbers_of_any_kind_are_taken_from_programs(folder):
    clip = folder / "clip.mp4"
    flags = dict(start_number=np.int64(3), batch_size=np.int32(2), frame_rate="24000/1001")
    for _ in range(2):
        matte(folder, clip, overwrite=True, **flags)
    written = json.loads((folder / "out/run.json").read_text())
    assert written["settings"]["start_number"] == 3
    assert written["outputs"][0]["numbers"] == "3-7"
    matte(folder, clip, overwrite=True, video_resize=np.array([96, 48]))
    wrong_size = {"video_resize": (96 / 2, 24)}
    for wrong in ({"batch_size": 2.0}, {"crf": "18"}, {"frame_rate": "fast"}, wrong_size):
        (name,) = wrong
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} "):
            matte(folder, clip, **wrong)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_line_has_status_2(folder, name):
    argv, message = WRONG[name]
    assert_error(run(folder, *argv), 2, message)
    assert not (folder / "out").exists()


def test_missing_flags_have_status_2(folder):
    assert_error(run_program("--video-src", "clip.mp4", cwd=folder), 2, "--video-bgr, --output-dir")


def test_a_traceback_comes_with_debug_only(folder):
    result = run(folder, "--debug", video_src="nothing.mp4")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: nothing.mp4: not found")


def test_a_target_that_is_neither_file_nor_colour_is_named(folder):
    result = run(folder, "--video-target-bgr", "256,0,0", "--output-format", "video")
    assert_error(result, 2, "--video-target-bgr 256,0,0", "#78ff9b")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is on Linux alone")
@pytest.mark.parametrize(
    ("megabytes", "batch", "warnings"),
    [(500, 2, 1), (200, 1, 0)],
    ids=["network", "before"],
)
def test_too_little_memory_says_what_to_set(folder, megabytes, batch, warnings):
    """In the network, where the batch is halved first, and before it, on the way there."""
    size = 1440, 2560
    make_clip(folder / "large.mp4", batch, size=size, options={"preset": "ultrafast"})
    make_plate(folder / "large.png", size)
    result = run(
        folder,
        "--no-preflight",
        before=partial(processes.little_memory, megabytes),
        video_src="large.mp4",
        video_bgr="large.png",
        batch_size=batch,
        model_backbone_scale=0.5,
        precision="fp32",  # others take less
    )
    *told, error = result.stderr.splitlines()
    assert result.returncode == 1 and error.startswith("error: out of memory on cpu")
    assert "--video-resize" in error and "--precision" in error and "--device" in error
    assert len(told) == warnings and all("--batch-size 1" in warning for warning in told)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_libraries_print_nothing_of_their_own_about_a_damaged_plate(folder, compression):
    path = folder / "plate.tif"
    Image.fromarray(footage.numbered(3)).save(path, compression=compression)
    data = bytearray(path.read_bytes())
    data[300:340] = bytes(range(100, 140))
    path.write_bytes(data)
    assert_error(run(folder, video_bgr="plate.tif"), 1, "plate.tif: not a readable image")
