"""The preflight, on plates that are wrong in a known way."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import footage
import numpy as np
import pytest
from footage import KnownNetwork, make_clip, read_number

from dataset import SampledFrames, evenly_spaced, open_source, thumbnails
from drawing.shots import FAULTS, make_shots
from inference_video import main, matte_video
from plate import diagnose
from plate.steadiness import camera_move

SEED, SIZE = 9, (216, 384)


def say_nothing(message: str) -> None:
    raise AssertionError(message)


@pytest.fixture(scope="module")
def shots():
    """By fault: frames and a plate."""
    return {shot.fault: shot for shot in make_shots(SEED, 1)}


@pytest.fixture
def folder(tmp_path, shots):
    """A folder of frames, and a plate of each kind."""
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(shots["good"].frames):
        cv2.imwrite(str(tmp_path / f"frames/{number}.png"), frame[..., ::-1])
    for fault, shot in shots.items():
        cv2.imwrite(str(tmp_path / f"{fault}.png"), shot.plate[..., ::-1])
    return tmp_path


def matte(folder: Path, plate: str, **settings):
    return matte_video(
        video_src=folder / "frames",
        video_bgr=folder / plate,
        output_dir=folder / "out",
        network=KnownNetwork(),
        **settings,
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(shots, fault):
    shot = shots[fault]
    assert diagnose(list(shot.frames), [shot.plate]).verdict == fault


@pytest.mark.parametrize(
    ("brightness", "gain", "is_fault"),
    [(0.12, 1.08, False), (1, 1.02, False), (1, 0.98, False), (1, 1.08, True), (0.12, 1.5, True)],
)
def test_a_gain_that_is_small_or_changes_few_levels_is_no_fault(shots, brightness, gain, is_fault):
    shot = shots["good"]
    plate = (brightness * shot.plate.astype(float)).round().astype(np.uint8)
    frames = [(brightness * gain * x.astype(float)).clip(0, 255).round() for x in shot.frames]
    found = diagnose([frame.astype(np.uint8) for frame in frames], [plate])
    assert ("exposure" in found.faults) == is_fault, found.gain


@pytest.mark.parametrize(
    ("plate", "advice"),
    [
        ("scene.png", "--video-target-bgr"),
        ("camera.png", "--preprocess-alignment"),
        ("exposure.png", "--match-plate"),
        ("subject.png", "the subject, or a thing that was moved"),
    ],
)
def test_a_fault_is_warned_of_with_what_to_do(folder, plate, advice):
    result = matte(folder, plate)
    assert any("png" in text and advice in text for text in result.warnings)
    report = json.loads((folder / "out/run.json").read_text())
    assert report["preflight"]["verdict"] == plate.removesuffix(".png")
    assert report["preflight"]["frames"] == 5
    assert report["warnings"] == result.warnings


def test_a_good_plate_is_not_spoken_of(folder):
    result = matte(folder, "good.png")
    assert result.warnings == [] and result.preflight["verdict"] == "good"


def test_what_is_mended_is_not_warned_of(folder):
    assert not matte(folder, "camera.png", preprocess_alignment=True).warnings
    assert not matte(folder, "exposure.png", match_plate=True, overwrite=True).warnings


def test_strict_stops_before_anything_is_written(folder, capsys):
    job = f"--video-src {folder}/frames --output-dir {folder}/out --strict --video-bgr {folder}/"
    assert main(f"{job}scene.png".split()) == 1
    assert "--video-target-bgr" in capsys.readouterr().err
    assert not (folder / "out").exists()
    plate = cv2.imread(str(folder / "good.png"))
    cv2.imwrite(str(folder / "large.png"), cv2.resize(plate, None, fx=2, fy=2))
    assert main(f"{job}large.png".split()) == 1
    assert "768x432" in capsys.readouterr().err


def test_no_preflight_looks_at_nothing(folder):
    result = matte(folder, "scene.png", preflight=False)
    assert result.warnings == [] and result.preflight is None


def test_a_plate_for_each_frame_is_paired_by_number(folder, shots):
    (folder / "plates").mkdir()
    for number, frame in enumerate(shots["good"].frames):
        moved = np.roll(shots["good"].plate, 20 * number, axis=1)
        cv2.imwrite(str(folder / f"frames/{number}.png"), np.roll(frame, 20 * number, 1)[..., ::-1])
        cv2.imwrite(str(folder / f"plates/{number}.png"), moved[..., ::-1])
    assert matte(folder, "plates").preflight["verdict"] == "good"
    assert matte(folder, "plates/0.png", overwrite=True).preflight["verdict"] == "moving"


def test_pictures_too_small_to_judge_get_no_verdict(folder):
    result = matte(folder, "scene.png", video_resize=(96, 54))
    assert result.preflight["verdict"] == "unknown" and not result.warnings


def grey_clip(path: Path, count: int, keyframes: int) -> Path:
    """A clip whose frame n is grey of level 2 n, with a keyframe every so often."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "1", "g": str(keyframes)})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            image = np.full((48, 64, 3), 2 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("keyframes", [1, 7, 250])
def test_frames_of_a_video_are_picked_by_number(tmp_path, keyframes):
    clip = open_source(grey_clip(tmp_path / "c.mp4", 100, keyframes), say_nothing, hold=False)
    numbers = evenly_spaced(clip.length_hint, 5)
    assert numbers == [10, 30, 50, 70, 90]
    for number, image in thumbnails(clip, numbers, (24, 32)):
        assert image.shape == (24, 32, 3)
        assert abs(int(image[12, 16, 0]) - 2 * number) <= 3
    levels = [int(frame.image[24, 32, 0]) for frame in SampledFrames(clip, numbers)]
    assert np.abs(np.array(levels) - 2 * np.array(numbers)).max() <= 3


@pytest.mark.parametrize("name", ["c.mkv", "c.webm"])
def test_a_recording_without_a_length_is_looked_at_up_to_its_end(tmp_path, name):
    codec = "libvpx" if name == "c.webm" else "libx264"
    path = tmp_path / name
    with av.open(str(path), "w", options={"live": "1"}) as container:  # as browsers write it
        stream = container.add_stream(codec, 25)
        stream.height, stream.width = footage.SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(60):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(footage.numbered(number), "rgb24"))
            )
        container.mux(stream.encode(None))
    clip = open_source(path, say_nothing, hold=False)
    assert clip.length_hint == 60
    shown = [read_number(f.image) for f in SampledFrames(clip, evenly_spaced(clip.length_hint, 5))]
    assert shown == [6, 18, 30, 42, 54]


def test_numbers_beyond_the_end_give_the_last_picture(tmp_path):
    clip = open_source(grey_clip(tmp_path / "c.mp4", 10, 250), say_nothing)
    for numbers, wanted in (([2, 30, 50], [2, 9]), ([30], [9])):
        levels = [int(frame.image[24, 32, 0]) for frame in SampledFrames(clip, numbers)]
        assert np.abs(np.array(levels) - 2 * np.array(wanted)).max() <= 1


def test_a_clip_of_variable_rate_is_looked_at_up_to_its_end(tmp_path):
    times = [Fraction(n, 30) for n in range(30)] + [1 + Fraction(n, 6) for n in range(30)]
    path = make_clip(
        tmp_path / "c.mp4", 60, times=times, rate=Fraction(30), time_base=Fraction(1, 600)
    )
    clip = open_source(path, say_nothing, hold=False)
    shown = [read_number(f.image) for f in SampledFrames(clip, evenly_spaced(clip.length_hint, 5))]
    assert len(shown) == 5 and shown[-1] > 50, "at nine tenths of six seconds"


@pytest.mark.parametrize(
    "suffix, codec",
    [
        (".ts", "libx264"),
        (".avi", "mpeg4"),
        (".avi", "libx264"),
        (".mxf", "libx264"),
        (".mkv", "vp9"),
    ],
)
def test_picked_frames_are_those_of_their_numbers_in_any_container(tmp_path, suffix, codec):
    options = {"g": "20", "b": "3M", "crf": "20"}
    clip = make_clip(tmp_path / f"c{suffix}", 100, codec=codec, options=options)
    source = open_source(clip, say_nothing, hold=False)
    numbers = evenly_spaced(100, 5)
    assert [read_number(frame.image) for frame in SampledFrames(source, numbers)] == numbers
    short = open_source(make_clip(tmp_path / f"s{suffix}", 12, codec=codec), say_nothing)
    assert [read_number(f.image) for f in SampledFrames(short, [1, 3, 10, 30])] == [1, 3, 10, 11]


def test_frames_that_cannot_be_sought_are_counted(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "c.mp4", 30)
    source = open_source(clip, say_nothing)

    def refuse(*of: object, **more: object) -> None:
        raise av.error.PermissionError(1, "cannot be sought")

    monkeypatch.setattr(sys.modules["dataset.sampled"], "_decode_from", refuse)
    assert [read_number(f.image) for f in SampledFrames(source, [4, 20])] == [4, 20]
    assert [read_number(f.image) for f in SampledFrames(source, [4, 50])] == [4, 29]


def test_a_video_that_cannot_be_sought_gives_its_first_frames(tmp_path):
    clip = grey_clip(tmp_path / "c.mp4", 10, 5)
    with av.open(str(clip)) as whole, av.open(str(tmp_path / "raw.h264"), "w", "h264") as raw:
        stream = raw.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(whole.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                raw.mux(packet)
    source = open_source(tmp_path / "raw.h264", say_nothing, hold=False)
    assert len(thumbnails(source, evenly_spaced(source.length_hint, 5), (24, 32))) >= 1


@pytest.mark.parametrize("size", [(64, 64), (72, 128), (65, 384), (384, 66)])
def test_frames_of_any_shape_are_looked_at(size):
    random = np.random.default_rng(3)
    frames = [random.integers(0, 255, (*size, 3), np.uint8) for _ in range(5)]
    assert diagnose(frames, frames[:1]).frames == 5
    assert diagnose(frames, [np.full_like(frames[0], 90)]).frames == 5


@pytest.mark.parametrize(("shift", "moves"), [(0.0, False), (0.3, False), (1.5, True), (4.0, True)])
def test_a_camera_moves_from_half_a_pixel_on(shots, shift, moves):
    plate = shots["good"].plate
    by = np.array([[1, 0, shift], [0, 1, 0]], np.float32)
    shifted = cv2.warpAffine(plate, by, plate.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    found = camera_move([plate] * 2, [shifted] * 2)
    assert found == pytest.approx(shift if moves else 0, abs=0.5 if moves else 0)
