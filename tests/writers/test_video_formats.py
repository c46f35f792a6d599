"""Every video format, read back: pictures, alpha, rate, times, tags and sound."""

import ctypes
import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import footage
import numpy as np
import pytest
import torch
from footage import make_clip, make_plate
from runs import matte

from dataset import open_source
from media import UsageError
from writers import FORMATS, VideoWriter, composer
from writers.audio import AudioTrack
from writers.planes import ToPlanes

VIDEOS = [name for name, form in FORMATS.items() if not form.is_images]
WITH_ALPHA = [name for name in VIDEOS if FORMATS[name].alpha]
#: Largest error of alpha and mean error of colours, in levels of 255, that a format may make.
ALPHA_ERRORS = {"prores4444": 0.25, "webm": 16}
COLOUR_ERRORS = {"video": 1.5, "hevc": 1.5, "av1": 1.5, "prores4444": 0.5, "webm": 2}
COUNT, HEIGHT, WIDTH = 6, 48, 96
#: glibc's name of the byte that it fills memory with; see malloc.h.
M_PERTURB = -6
RATE = Fraction(24000, 1001)


def drawn(channels: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Frames (N, H, W, C): saturated colours, a moving ramp of alpha, and hair of one pixel."""
    y, x = np.mgrid[: size[0], : size[1]]
    colours = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.9, 0.6, 0.5)], np.float32)
    frames = np.zeros((COUNT, *size, 4), np.float32)
    for number, frame in enumerate(frames):
        frame[..., :3] = colours[y // 12 % 4]
        frame[..., 3] = np.clip((x + number) / size[1], 0, 1)
        frame[:, number + 9 :: 16, 3] = 1
    return frames[..., :channels]


def write(path: Path, frames: np.ndarray, name: str, **options: object) -> Path:
    size = frames.shape[2], frames.shape[1]
    with VideoWriter(
        path.with_suffix(f".{FORMATS[name].extension}"),
        RATE,
        *size,
        format_name=name,
        channels=frames.shape[3],
        **options,
    ) as writer:
        for frame in frames:
            writer.add_batch(torch.from_numpy(frame).permute(2, 0, 1)[None])
    return writer.path


def decode(path: Path) -> list[av.VideoFrame]:
    """The frames with their alpha, which FFmpeg's own decoder of VP9 drops."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if "vp9" not in stream.codec_context.name:
            return list(container.decode(stream))
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [frame for packet in [*packets, None] for frame in decoder.decode(packet)]


def alpha_of(frame: av.VideoFrame) -> np.ndarray:
    """(H, W) in [0, 1]."""
    (index,) = [i for i, part in enumerate(frame.format.components) if part.is_alpha]
    bits = frame.format.components[index].bits
    if len(frame.planes) == 1:
        levels = frame.to_ndarray()[..., 0 if frame.format.name == "argb" else 3]
    else:
        rows = np.frombuffer(frame.planes[index], np.uint8 if bits == 8 else np.uint16)
        levels = rows.reshape(frame.height, -1)[:, : frame.width]
    return levels / (2**bits - 1)


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_alpha_comes_back(tmp_path, name):
    frames = drawn(4)
    found = decode(write(tmp_path / "x", frames, name))
    assert len(found) == COUNT
    error = np.abs(np.stack([alpha_of(frame) for frame in found]) - frames[..., 3]) * 255
    assert error.max() <= ALPHA_ERRORS.get(name, 0.51)


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_rate_and_times_come_back(tmp_path, name, channels):
    if channels == 4 and not FORMATS[name].alpha:
        pytest.skip("holds no alpha")
    frames = drawn(channels)
    path = write(tmp_path / "x", frames, name)
    source = open_source(path, lambda message: None)
    assert source.frame_rate == RATE
    found = list(source)
    assert [frame.time for frame in found] == [n / RATE for n in range(COUNT)]
    inside = np.zeros((HEIGHT, WIDTH), bool)
    for band in range(0, HEIGHT, 12):  # chroma is soft where colours meet
        inside[band + 3 : band + 9] = True
    for frame, wanted in zip(found, frames, strict=True):
        levels = frame.image / np.iinfo(frame.image.dtype).max
        error = np.abs(levels - wanted[..., :3])[inside] * 255
        assert error.mean() <= COLOUR_ERRORS.get(name, 0.5)
    if name != "av1":  # OpenCV has no decoder for it
        capture = cv2.VideoCapture(str(path))
        assert sum(capture.read()[0] for _ in range(COUNT + 1)) == COUNT


@pytest.mark.parametrize("name", [name for name in VIDEOS if name != "nut"])  # which holds none
def test_tags_say_how_levels_are_meant(tmp_path, name):
    path = write(tmp_path / "x", drawn(3), name)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        tags = context.color_primaries, context.color_trc, context.colorspace, context.color_range
        letters = context.codec_tag
    if name in ("qtrle", "ffv1"):
        assert tags[:3] == (1, 13, 0)
    else:
        assert tags == (1, 1, 1, 1)
    assert {"hevc": "hvc1", "prores4444": "ap4h"}.get(name, letters) == letters


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("size", [(49, 97), (2, 2)])
def test_odd_and_tiny_sizes_are_written(tmp_path, name, size):
    size = max(size, (FORMATS[name].min_side, FORMATS[name].min_side))
    frames = decode(write(tmp_path / "x", drawn(3, size), name))
    shape = frames[0].height, frames[0].width
    assert len(frames) == COUNT
    subsampled = "420" in frames[0].format.name
    assert shape == (tuple(side + side % 2 for side in size) if subsampled else size)


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("sound", ["aac", "libopus"])
def test_sound_is_copied_or_encoded_anew(tmp_path, name, sound):
    clip = make_clip(tmp_path / "clip.mkv", 24, sound=sound, rate=RATE)
    told: list[str] = []
    path = write(tmp_path / "x", drawn(3).repeat(4, axis=0), name, audio=clip, warn=told.append)
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        wanted = {".webm": "opus", ".mov": "aac"}.get(path.suffix, sound.removeprefix("lib"))
        assert stream.codec_context.codec.canonical_name == wanted
        seconds = sum(frame.samples for frame in container.decode(stream)) / stream.rate
    assert abs(seconds - 24 / RATE) < 0.1 and told == []


def test_sound_goes_with_packets_rather_than_with_frames(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mov", 60, sound="aac", rate=RATE)
    untils: list[Fraction | None] = []
    feed = AudioTrack.feed

    def listening(track: AudioTrack, until: Fraction | None) -> None:
        untils.append(until)
        feed(track, until)

    monkeypatch.setattr(AudioTrack, "feed", listening)
    path = write(tmp_path / "x", drawn(3).repeat(8, axis=0), "video", audio=clip)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert untils == [*(p.dts * p.time_base + 1 / RATE for p in packets), None]
    assert any(p.dts != p.pts for p in packets), "an encoder that keeps frames"


@pytest.mark.parametrize("sound", ["pcm_s32le", "pcm_f32le"])
@pytest.mark.parametrize("name", ["prores4444", "ffv1"])
def test_sound_of_recorders_is_copied_where_the_container_holds_it(tmp_path, name, sound):
    clip = make_clip(tmp_path / "clip.mov", 6, sound=sound)
    path = write(tmp_path / "x", drawn(3), name, audio=clip, warn=pytest.fail)
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        assert stream.codec_context.name == sound


def test_ffv1_of_16_bits_is_exact(tmp_path):
    levels = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256, 1)
    frames = np.concatenate([levels, levels[:, ::-1], levels[:, :, ::-1], levels], axis=3)
    path = tmp_path / "x.mkv"
    with VideoWriter(path, 25, 256, 256, format_name="ffv1", channels=4, bit_depth=16) as writer:
        writer.add_batch(torch.from_numpy(frames).permute(0, 3, 1, 2))
    (frame,) = decode(path)
    assert frame.format.name == "gbrap16le"
    np.testing.assert_array_equal(frame.to_ndarray(), frames[0])


@pytest.mark.parametrize("name", ["prores4444", "qtrle", "ffv1"])
def test_each_frame_of_an_editing_format_stands_alone(tmp_path, name):
    with av.open(str(write(tmp_path / "x", drawn(3), name))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert [packet.is_keyframe for packet in packets] == [True] * COUNT


def test_prores_names_the_maker_that_editors_know(tmp_path):
    with av.open(str(write(tmp_path / "x", drawn(4), "prores4444"))) as container:
        packet = bytes(next(iter(container.demux(video=0))))
    assert (packet[4:8], packet[12:16]) == (b"icpf", b"apl0")


def test_a_damaged_part_of_ffv1_is_noticed(tmp_path):
    with av.open(str(write(tmp_path / "x", drawn(4), "ffv1"))) as container:
        stream = container.streams.video[0]
        packet, extradata = bytes(next(container.demux(stream))), stream.codec_context.extradata
    damaged = bytearray(packet)
    damaged[len(packet) // 2] ^= 1
    decoder = av.CodecContext.create("ffv1", "r")
    decoder.extradata, decoder.width, decoder.height = extradata, WIDTH, HEIGHT
    assert decoder.decode(av.Packet(packet))
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as said:
            decoder.decode(av.Packet(bytes(damaged)))
    finally:
        av.logging.set_level(None)
    assert any("CRC mismatch" in message for _, _, message in said)


def test_levels_of_prores_are_rounded():
    ramp = np.linspace(0, 65535, 4096).round().astype(np.uint16).reshape(1, -1, 1)
    frame = ToPlanes((1, 4096), "yuva444p10le")(ramp.repeat(4, axis=2))
    luma, alpha = (np.frombuffer(frame.planes[n], np.uint16)[:4096] for n in (0, 3))
    grey = ramp[0, :, 0] / 65535
    assert np.abs(luma - (64 + 876 * grey)).max() <= 0.501
    assert np.abs(alpha - 1023 * grey).max() <= 0.501


def test_prores_keeps_10_bits(tmp_path):
    ramp = np.tile(np.linspace(0, 1, 1024, dtype=np.float32)[None, None, :, None], (1, 32, 1, 3))
    (frame,) = decode(write(tmp_path / "x", ramp, "prores4444"))
    luma = np.frombuffer(frame.planes[0], np.uint16).reshape(frame.height, -1)[16, :1024]
    assert len(np.unique(luma)) >= 800


@pytest.mark.parametrize("name", ["video", "hevc", "av1", "webm"])
def test_crf_0_is_lossless(tmp_path, name):
    noise = np.random.default_rng(0).random((1, 64, 64, 1), np.float32).repeat(3, axis=3)
    (rough,) = decode(write(tmp_path / "rough", noise, name, crf=40))
    (exact,) = decode(write(tmp_path / "exact", noise, name, crf=0))
    white = 2 ** exact.format.components[0].bits
    kind = np.uint8 if white == 256 else np.uint16
    wanted = (16 + 219 * noise[0, ..., 0]) * white / 256

    def error(frame: av.VideoFrame) -> float:
        luma = np.frombuffer(frame.planes[0], kind).reshape(frame.height, -1)[:, :64]
        return float(np.abs(luma - wanted).max() * 256 / white)

    assert error(exact) <= 1 < error(rough)


def test_a_format_refuses_frames_that_it_does_not_hold(tmp_path):
    with pytest.raises(UsageError, match="video holds no alpha"):
        VideoWriter(tmp_path / "x.mp4", 25, 8, 8, channels=4)
    with (
        VideoWriter(tmp_path / "x.mov", 25, 8, 8, format_name="qtrle", channels=4) as writer,
        pytest.raises(UsageError, match="holds alpha; expected 4 channels, not 3"),
    ):
        writer.add_batch(torch.zeros(1, 3, 8, 8))


def test_colours_go_on_around_the_subject_where_a_codec_would_mix_black_into_its_edge():
    pha = torch.zeros(1, 1, 40, 40)
    pha[..., 20, 20] = 0.5
    known = replace(footage.known_matte(pha), fgr=torch.full((1, 3, 40, 40), 0.8))
    narrow = composer("com", alpha=True, depth=8)(known, None)
    wide = composer("com", alpha=True, depth=8, margin=4)(known, None)
    assert torch.equal(narrow[:, 3], wide[:, 3])
    assert narrow[0, 0].count_nonzero() == 1
    assert wide[0, 0, 16:25, 16:25].eq(204).all()  # cells of 8 pixels
    assert wide[0, 0].count_nonzero() == 24 * 24


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_a_run_writes_the_subject_with_alpha(tmp_path, name):
    clip = make_clip(tmp_path / "clip.mkv", 5, sound="aac")
    make_plate(tmp_path / "plate.png")
    result = matte(tmp_path, clip, output_format=name, output_types=["com", "pha"])
    assert result.note is None and result.warnings == []
    path = tmp_path / f"out/com.{FORMATS[name].extension}"
    assert result.outputs[0] == path
    found = decode(path)
    wanted = [frame.image[..., 0] / 255 for frame in open_source(clip, pytest.fail)]
    for frame, alpha in zip(found, wanted, strict=True):
        assert np.abs(alpha_of(frame) - alpha).mean() < 0.01
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
    (com, pha) = json.loads((tmp_path / "out/run.json").read_text())["outputs"][:2]
    assert com["holds"]["alpha"] == "straight" and pha["holds"]["alpha"] is None
    written = com["holds"]["pixel_format"]
    assert written.replace("p10", "p12") == found[0].format.name or written == found[0].format.name


@pytest.mark.parametrize("name", ["hevc", "av1"])
def test_a_run_says_where_alpha_was_lost_and_what_holds_it(tmp_path, name):
    clip = make_clip(tmp_path / "clip.mp4", 3)
    make_plate(tmp_path / "plate.png")
    result = matte(tmp_path, clip, output_format=name)
    assert "over green" in result.note and "prores4444, webm, qtrle, ffv1" in result.note
    asked = {"output_format": name, "video_target_bgr": "teal", "overwrite": True}
    assert matte(tmp_path, clip, **asked).note is None


def test_an_encoder_that_is_missing_is_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("writers.prores.ENCODER", "prores_none")
    with pytest.raises(UsageError, match=r"prores4444: .* no encoder prores_none; pip install"):
        matte(tmp_path, tmp_path / "missing.mp4", output_format="prores4444")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    monkeypatch.delitem(sys.modules, "writers.exr", raising=False)
    with pytest.raises(UsageError, match="exr: needs the Python package OpenEXR"):
        matte(tmp_path, tmp_path / "missing.mp4", image_extension="exr")


@pytest.fixture
def dirty_memory():
    """Memory that is allocated from now on is not zero by chance."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        pytest.skip("only glibc fills memory")
    libc.mallopt(M_PERTURB, 0x5A)
    yield
    libc.mallopt(M_PERTURB, 0)


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_clips_are_written(tmp_path, dirty_memory, name, count):
    path = write(tmp_path / "x", drawn(3)[:count], name, time_base=Fraction(1, 24000))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = [packet.pts * packet.time_base for packet in packets]
    assert sorted(times) == pytest.approx([n / RATE for n in range(count)], abs=0.001)
