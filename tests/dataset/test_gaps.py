"""Frames whose packets FFmpeg skips because the file is damaged there: all others keep theirs."""

import random
from fractions import Fraction
from pathlib import Path

import av
import pytest
from footage import make_clip, read_number
from runs import report, run

from dataset import VideoSource
from dataset.gif import is_whole_gif

CLIPS = {
    "a.mkv": dict(options={"g": "12", "bf": "3"}),
    "with sound.mkv": dict(options={"g": "12"}, sound="aac"),
    "film.mkv": dict(options={"g": "12"}, rate=Fraction(24000, 1001)),
    "lossless.mkv": dict(codec="ffv1"),
    "vp9.webm": dict(codec="libvpx-vp9", options={"g": "12"}),
    "vp8.webm": dict(codec="libvpx", options={"g": "12"}),
    "a.flv": dict(options={"g": "12", "bf": "2"}),
    "a.nut": dict(options={"g": "12"}),
    "a.ts": dict(options={"g": "12", "bf": "2"}),
    "late.mkv": dict(  # of a longer one
        options={"g": "12"},
        times=[5 + Fraction(n, 25) for n in range(120)],
        time_base=Fraction(1, 1000),
    ),
}


def overwrite(path: Path, first: int, end: int, *, seed: int | None = 1) -> Path:
    """Put noise, or zeros without a seed, over packets ``first`` to ``end`` and what is between."""
    with av.open(str(path)) as container:
        places = sorted(packet.pos for packet in container.demux(video=0) if packet.size)
    data = bytearray(path.read_bytes())
    length = places[end] - places[first]
    noise = bytes(length) if seed is None else random.Random(seed).randbytes(length)
    data[places[first] : places[end]] = noise
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("seed", [None, 1], ids=["zeros", "noise"])
@pytest.mark.parametrize("damaged", [(20, 21), (14, 30), (40, 70)], ids=str)
@pytest.mark.parametrize("name", CLIPS)
def test_frames_after_a_hole_in_the_file_keep_their_numbers(tmp_path, name, damaged, seed):
    if seed and name in ("a.flv", "a.nut"):
        pytest.skip("FFmpeg ends there or gives noise as packets; a warning says so")
    clip = overwrite(make_clip(tmp_path / name, 120, **CLIPS[name]), *damaged, seed=seed)
    frames = list(VideoSource(clip, pytest.fail))
    shown = [read_number(frame.image) for frame in frames]
    assert len(frames) == 120
    assert shown[:8] == list(range(8)) and shown[112:] == list(range(112, 120))
    for number, frame in enumerate(frames):
        assert not frame.repeated or shown[number] == shown[number - 1]
    rate = CLIPS[name].get("rate", 25)
    start = frames[0].time
    assert all(abs(f.time - start - n / rate) <= Fraction(1, 500) for n, f in enumerate(frames))


def test_what_is_skipped_is_listed(folder):
    overwrite(make_clip(folder / "clip.mkv", 60, codec="ffv1"), 20, 26)
    result = run(folder, video_src="clip.mkv")
    assert result.returncode == 0
    repeated = report(folder / "out")["repeated_frames"]
    assert report(folder / "out")["frames"] == 60
    assert set(range(20, 26)) <= set(repeated) and repeated == list(range(20, 20 + len(repeated)))
    assert f"{len(repeated)} damaged frames" in result.stderr


@pytest.mark.parametrize("name", ["a.mkv", "with sound.mkv", "lossless.mkv", "vp9.webm"])
def test_a_hole_at_the_start(tmp_path, name):
    clip = overwrite(make_clip(tmp_path / name, 120, **CLIPS[name]), 0, 5)
    frames = list(VideoSource(clip, pytest.fail))
    shown = [read_number(frame.image) for frame in frames]
    assert len(frames) == 120 and shown[40:] == list(range(40, 120))
    assert frames[0].repeated and shown[0] == next(
        n for n, f in enumerate(frames) if not f.repeated
    )


def sparse(name: str) -> dict:
    """A clip of 25 frames per second from which a recorder left out frames here and there."""
    numbers = [n for n in range(160) if n not in (5, 20, 21, 22, 60, 61, 90)][:120]
    tick = Fraction(1, 90000 if name.endswith(".ts") else 1000)
    return CLIPS[name] | dict(times=[Fraction(n, 25) for n in numbers], time_base=tick)


@pytest.mark.parametrize("name", [n for n in CLIPS if n not in ("late.mkv", "film.mkv")])
def test_frames_that_were_never_recorded_are_none(tmp_path, name):
    frames = list(VideoSource(make_clip(tmp_path / name, 120, **sparse(name)), pytest.fail))
    assert [read_number(frame.image) for frame in frames] == list(range(120))
    assert not any(frame.repeated for frame in frames)


def test_a_wrong_rate_in_the_header_invents_no_frames(tmp_path):
    path = make_clip(
        tmp_path / "c.mkv",
        60,
        rate=Fraction(50),
        times=[Fraction(n, 25) for n in range(60)],
        time_base=Fraction(1, 1000),
    )
    assert len(list(VideoSource(path, pytest.fail))) == 60
    frames = list(VideoSource(overwrite(path, 20, 30), pytest.fail))
    assert len(frames) == 60 and read_number(frames[-1].image) == 59


def test_where_the_rate_varies_a_hole_is_told(tmp_path):
    path = make_clip(
        tmp_path / "phone.mkv",
        120,
        options={"g": "12"},
        times=[Fraction(20 * n + n * n // 2 + 7 * (n % 3), 1000) for n in range(120)],
        time_base=Fraction(1, 1000),
    )
    assert len(list(VideoSource(path, pytest.fail))) == 120
    told: list[str] = []
    frames = list(VideoSource(overwrite(path, 50, 70), told.append))
    assert len(frames) < 120
    (warning,) = told
    assert str(path) in warning and "damaged; frames are missing" in warning
    assert "those after them have lower numbers" in warning


def copied(src: Path, dst: Path, **options: str) -> Path:
    """The same packets in another file."""
    with av.open(str(src)) as old, av.open(str(dst), "w", options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return dst


def test_a_fragment_that_is_lost(tmp_path):
    """As a camera that writes fragments has it, with a damaged index of one."""
    whole = make_clip(tmp_path / "whole.mp4", 120, options={"g": "12", "bf": "2"})
    path = copied(whole, tmp_path / "c.mp4", movflags="frag_keyframe+empty_moov")
    assert len(list(VideoSource(path, pytest.fail))) == 120
    data = bytearray(path.read_bytes())
    place = -1
    for _ in range(5):
        place = data.index(b"moof", place + 1)
    data[place : place + 60] = bytes(60)
    path.write_bytes(data)
    told: list[str] = []
    frames = list(VideoSource(path, told.append))
    assert [read_number(f.image) for f in frames[60:]] == list(range(60, 120))
    assert len(told) == 1 and "cut off or damaged" in told[0]
    path.write_bytes(data[: len(data) // 3])
    assert len(list(VideoSource(path, told.append))) < 60
    assert len(told) == 2 and ("may have held more" in told[1] or "promises" in told[1])


@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_transport_stream_with_padding(tmp_path, is_sparse):
    options = {"options": {"g": "12", "bf": "2"}}
    kind = sparse("a.ts") if is_sparse else options
    whole = make_clip(tmp_path / "whole.mp4", 120, **kind)
    path = copied(whole, tmp_path / "c.ts", muxrate="1000000")
    frames = list(VideoSource(path, pytest.fail))
    assert len(frames) == 120 and not any(frame.repeated for frame in frames)
    if not is_sparse:
        frames = list(VideoSource(overwrite(path, 20, 26), pytest.fail))
        assert len(frames) == 120 and read_number(frames[-1].image) == 119


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.97])
def test_a_gif_that_is_cut_off_is_told(tmp_path, kept):
    path = make_clip(tmp_path / "c.gif", 40, codec="gif", pix_fmt="rgb8")
    assert is_whole_gif(path) and len(list(VideoSource(path, pytest.fail))) == 40
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    told: list[str] = []
    count = len(list(VideoSource(path, told.append)))
    assert 0 < count < 40
    (warning,) = told
    assert str(path) in warning and f"more than the {count} frames" in warning
