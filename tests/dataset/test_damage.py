"""Clips cut off, damaged, joined, or changing on the way: every frame that is there counts."""

import math
import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import pytest
from footage import make_clip, read_number, read_video
from PIL import Image
from runs import assert_error, matte, numbers, report, run

from dataset import MediaError, VideoSource, open_source


def packets(path: Path) -> list[tuple[int, int]]:
    """Place and size in bytes of each packet of a video."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def damage(path: Path, *damaged: int) -> Path:
    """Zero out packets of a clip."""
    data = bytearray(path.read_bytes())
    for position, size in np.array(packets(path))[list(damaged)]:
        data[position : position + size] = bytes(int(size))
    path.write_bytes(data)
    return path


# Cut off


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_clip_cut_off_in_the_middle_is_matted_until_there(folder, suffix):
    whole = make_clip(folder / f"whole{suffix}", 40, options={"movflags": "+faststart", "g": "10"})
    if suffix == ".mp4":  # the index first, as cameras that stream and download tools write it
        with (
            av.open(str(whole)) as old,
            av.open(
                str(folder / "index first.mp4"), "w", options={"movflags": "+faststart"}
            ) as new,
        ):
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    new.mux(packet)
        whole = folder / "index first.mp4"
    position, size = packets(whole)[26]
    cut = folder / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: position + size // 2])
    result = run(folder, video_src=cut.name)
    written = numbers(folder / "out/com")
    assert result.returncode == 0
    assert len(written) in range(20, 28)
    assert written == list(range(len(written)))
    (warning,) = report(folder / "out")["warnings"]
    assert f"warning: {warning}" in result.stderr
    assert f"promises 40 frames, {len(written)} could be read" in warning
    assert cut.name in warning


@pytest.mark.parametrize(
    "codec",
    [dict(codec="mjpeg", pix_fmt="yuvj420p"), dict(options={"bf": "3"})],
    ids=["mjpeg", "h264"],
)
def test_an_avi_that_is_cut_off_is_told(folder, codec):
    data = make_clip(folder / "clip.avi", 60, **codec).read_bytes()
    (folder / "clip.avi").write_bytes(data[: len(data) * 9 // 10])
    assert run(folder, video_src="clip.avi").returncode == 0
    written = numbers(folder / "out/com")
    assert written == sorted(written) and 50 < len(written) < 60
    *others, warning = report(folder / "out")["warnings"]
    assert all("one frame is damaged in parts" in other for other in others)
    promised, read = map(int, re.search(r"promises (\d+) frames, (\d+) could", warning).groups())
    assert read == len(written) and promised in (59, 60)


def test_a_header_that_claims_more_frames_is_not_trusted(folder):
    """The lengths in the header of a Matroska file, of the file and of its video, doubled."""
    clip = make_clip(folder / "clip.mkv", 30)
    data = bytearray(clip.read_bytes())
    duration = data.index(b"\x44\x89\x88") + 3  # the element's name and its size of 8 bytes
    (milliseconds,) = struct.unpack_from(">d", data, duration)
    struct.pack_into(">d", data, duration, milliseconds * 2)
    assert milliseconds == 1200
    clip.write_bytes(data.replace(b"00:00:01.200", b"00:00:02.400"))
    result = run(folder, video_src="clip.mkv")
    assert result.returncode == 0
    assert numbers(folder / "out/com") == list(range(30))
    (warning,) = report(folder / "out")["warnings"]
    assert "promises 60 frames, 30 could be read" in warning
    assert warning in result.stderr


@pytest.mark.parametrize(("suffix", "sound"), [(".mkv", "aac"), (".mp4", "aac"), (".avi", "mp3")])
def test_sound_that_goes_on_after_the_pictures_is_no_loss(folder, suffix, sound):
    make_clip(folder / f"clip{suffix}", 20, sound=sound, sound_lasts=3)
    result = run(folder, video_src=f"clip{suffix}")
    assert result.returncode == 0
    assert numbers(folder / "out/com") == list(range(20))
    assert report(folder / "out")["warnings"] == []


@pytest.mark.parametrize("seconds", ["0.3", "0.5", "0.53"])
def test_a_clip_that_was_trimmed_between_two_frames_is_whole(tmp_path, seconds):
    """As editors trim without encoding again: the file says where to begin to show."""
    path = tmp_path / "trimmed.mp4"
    with (
        av.open(str(make_clip(tmp_path / "clip.mp4", 50, options={"g": "12"}))) as old,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.pts is not None and packet.dts is not None:
                shift = round(Fraction(seconds) / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - shift,
                    packet.dts - shift,
                    stream,
                )
                new.mux(packet)
    shown = [read_number(frame.image) for frame in VideoSource(path, pytest.fail)]
    assert shown == list(range(math.ceil(25 * Fraction(seconds)), 50))


# Damage in mid-stream


def test_a_clip_that_is_damaged_while_it_is_open_is_no_clip_without_frames(folder):
    clip = VideoSource(make_clip(folder / "clip.mp4", 3), lambda _: None)
    damage(folder / "clip.mp4", 0, 1, 2)
    with pytest.raises(MediaError, match=r"clip\.mp4: not one frame of this video can be decoded"):
        list(clip)


def test_frames_after_damage_keep_their_numbers(folder):
    """Without B-frames: each picture follows from those before it, and from 20 on all is well."""
    damage(make_clip(folder / "clip.mp4", 30, options={"bf": "0", "g": "10"}), 12, 16)
    result = run(folder)
    written = numbers(folder / "out/com")
    assert result.returncode == 0
    assert len(written) == 30
    assert written[:12] == list(range(12))
    assert written[20:] == list(range(20, 30))
    repeated = report(folder / "out")["repeated_frames"]
    assert repeated == [12, 16]
    assert all(written[number] == written[number - 1] for number in repeated)
    assert "2 damaged frames" in result.stderr


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}, {"bf": "3", "b-pyramid": "strict"}])
@pytest.mark.parametrize(
    "damaged",
    [[0], [0, 1, 2], [7], [8], [9], [39], [3, 9, 15, 16, 17, 22], list(range(8, 32)), [1, 38, 39]],
    ids=str,
)
def test_there_are_as_many_frames_as_packets(tmp_path, damaged, options):
    clip = damage(make_clip(tmp_path / "clip.mp4", 40, options={"g": "8", **options}), *damaged)
    frames = list(VideoSource(clip, lambda message: None))
    assert len(frames) == 40
    shown = [read_number(frame.image) for frame in frames]
    last_damage = max(damaged)
    sound = range(-(-(last_damage + 4) // 8) * 8, 40)  # from the next key picture on
    assert [shown[number] for number in sound] == list(sound)
    for number, frame in enumerate(frames):
        if frame.repeated and number and not frames[0].repeated:
            assert shown[number] == shown[number - 1]


@pytest.mark.parametrize("damaged", [[7], [8], [39], [3, 9, 15, 16, 17, 22], [1, 38, 39]], ids=str)
def test_after_damage_frames_without_times_are_in_step_from_a_key_picture_on(tmp_path, damaged):
    """AVI says in which order pictures are decoded, not when they are shown."""
    clip = damage(make_clip(tmp_path / "clip.avi", 40, options={"g": "8", "bf": "3"}), *damaged)
    frames = list(VideoSource(clip, lambda message: None))
    shown = [read_number(frame.image) for frame in frames]
    sound = [
        n for n in range(40) if not any(n // 8 == (d + 3) // 8 or n // 8 == d // 8 for d in damaged)
    ]
    assert len(frames) == 40
    assert [shown[number] for number in sound] == sound
    assert sum(frame.repeated for frame in frames) >= len(damaged) - 1
    assert [frame.time - frames[0].time for frame in frames] == [Fraction(n, 25) for n in range(40)]


def test_an_intact_frame_that_the_decoder_gives_late_is_shown(tmp_path):
    clip = damage(make_clip(tmp_path / "clip.mp4", 30, options={"g": "8", "bf": "3"}), 7)
    frames = list(VideoSource(clip, pytest.fail))
    assert [read_number(frame.image) for frame in frames[:7]] == list(range(7))
    assert not any(frame.repeated for frame in frames[:7])


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p")])
def test_an_empty_packet_is_one_frame_without_news(tmp_path, codec, pix_fmt):
    path = make_clip(tmp_path / "capture.mov", 20, codec=codec, pix_fmt=pix_fmt)
    data = bytearray(path.read_bytes())
    sizes = data.index(b"stsz") + 16 + 4 * 7  # ISO/IEC 14496-12, 8.7.3: one number for each sample
    one, two = struct.unpack_from(">2I", data, sizes)
    struct.pack_into(">2I", data, sizes, 0, one + two)
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert [p.size for p in container.demux(video=0)].count(0) == 2, "that, and the end"
    frames = list(VideoSource(path, pytest.fail))
    assert [frame.repeated for frame in frames] == [number == 7 for number in range(20)]
    intact = [*range(7), 6, *range(9, 20)] if codec == "mjpeg" else [*range(7), 6]
    shown = [read_number(frame.image) for frame in frames]
    assert shown[:8] == intact[:8] and len(shown) == 20
    if codec == "mjpeg":
        assert shown[9:] == intact[8:]


def test_recordings_one_after_another_are_all_read(tmp_path):
    """As ``cat a.ts b.ts`` gives them: the clock starts again."""
    part = make_clip(tmp_path / "part.ts", 20)
    both = tmp_path / "both.ts"
    both.write_bytes(part.read_bytes() * 2)
    frames = list(VideoSource(both, pytest.fail))
    assert [read_number(frame.image) for frame in frames] == [*range(20), *range(20)]
    assert [frame.time - frames[0].time for frame in frames] == [Fraction(n, 25) for n in range(40)]


def test_recordings_one_after_another_keep_their_sound(folder):
    part = make_clip(folder / "part.ts", 50, sound="aac")
    both = folder / "both.ts"
    both.write_bytes(part.read_bytes() * 2)
    matte(folder, both, output_format="video")
    _, times = read_video(folder / "out/com.mp4")
    assert [time - times[0] for time in times] == [Fraction(n, 25) for n in range(100)]
    with av.open(str(folder / "out/com.mp4")) as container:
        sound = sum(frame.samples for frame in container.decode(audio=0)) / 48000
    assert sound == pytest.approx(4, abs=0.1)


# A frame of another size


@pytest.mark.parametrize("suffix", [".ts", ".h264"])
def test_a_frame_of_another_size_ends_the_run(folder, suffix):
    first = make_clip(folder / f"a{suffix}", 12)
    second = make_clip(folder / f"b{suffix}", 12, size=(64, 128))
    (folder / f"both{suffix}").write_bytes(first.read_bytes() + second.read_bytes())
    result = run(folder, "--batch-size", 5, video_src=f"both{suffix}")
    assert_error(result, 1, f"both{suffix}", "frame 12", "128x64", "96x48")
    assert numbers(folder / "out/com") == list(range(12))
    assert report(folder / "out")["status"] == "failed"
    assert report(folder / "out")["frames"] == 12


def test_an_image_of_another_size_ends_the_run(folder):
    (folder / "shots").mkdir()
    for number in range(5):
        size = (64, 128) if number == 3 else footage.SIZE
        Image.fromarray(footage.numbered(number, size)).save(folder / f"shots/{number}.png")
    assert_error(run(folder, video_src="shots"), 1, "shots", "frame 3", "128x64", "96x48")
    assert numbers(folder / "out/com") == list(range(3))


def test_an_avi_with_more_frames_than_its_header_says_is_told(tmp_path):
    clip = make_clip(tmp_path / "clip.avi", 20, codec="mpeg4")
    data = bytearray(clip.read_bytes())
    length = data.index(b"strh") + 8 + 32  # of the video's stream header
    assert int.from_bytes(data[length : length + 4], "little") == 20
    data[length : length + 4] = (18).to_bytes(4, "little")
    clip.write_bytes(data)
    told: list[str] = []
    assert len(list(open_source(clip, told.append))) == 20
    assert len(told) == 1 and "the header promises 18 frames, 20 could be read" in told[0]
