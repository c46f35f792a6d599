"""Frames in the middle of a clip are those that a reading from the start gives."""

import random
from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import pytest
from PIL import Image

from dataset import FrameSource, ImageFolder, VideoSource, open_source
from dataset.places import HeldFrames, LoopedFrames, PickedFrames, Places
from dataset.video import Frame

COUNT = 60
OPEN_GOP = {"x264-params": "keyint=15:open-gop=1:bframes=3:b-pyramid=2:scenecut=0"}
X265 = {"x265-params": "keyint=15:open-gop=1:bframes=3:log-level=error"}
MPEG2 = {"g": "15", "bf": "2", "b": "4000000"}
UNEVEN = [Fraction(n + n // 5 + n // 7, 50) for n in range(COUNT)]
CLIPS = {
    "open.mp4": dict(options=OPEN_GOP),
    "open.ts": dict(options=OPEN_GOP),
    "ntsc.mkv": dict(options=OPEN_GOP, rate=Fraction(30000, 1001)),
    "uneven.mp4": dict(options=OPEN_GOP, times=UNEVEN, time_base=Fraction(1, 50)),
    "hevc.mp4": dict(codec="libx265", options=X265),
    "mpeg2.ts": dict(codec="mpeg2video", options=MPEG2),
    "prores.mov": dict(codec="prores_ks", pix_fmt="yuv422p10le"),
    "vp9.webm": dict(codec="libvpx-vp9", options={"g": "20", "cpu-used": "8"}),
    "untimed.avi": dict(codec="mpeg4", options={"g": "15"}),
    "bare.h264": dict(options=OPEN_GOP),
    "fields.mpg": dict(codec="mpeg2video", options=MPEG2),
}
COUNTED = ("untimed.avi", "bare.h264", "fields.mpg")


def shown(frames) -> list[tuple[bytes, Fraction | None, bool]]:
    return [(frame.image.tobytes(), frame.time, frame.repeated) for frame in frames]


def open_quietly(path: Path) -> FrameSource:
    return open_source(path, lambda message: None, hold=False)


def assert_picks_are_right(source: FrameSource, seed: int = 0, tries: int = 12) -> None:
    whole = shown(source)
    chance = random.Random(seed)
    for attempt in range(tries):
        first = chance.randrange(len(whole))
        some = list(range(first, min(first + chance.choice([1, 2, 9]), len(whole))))
        if attempt % 4 == 3:
            some = sorted(chance.sample(range(len(whole)), 3))
        assert shown(source.pick(Places(some, None))) == [whole[n] for n in some], some
    middle = len(whole) // 2
    assert shown(source.pick(Places([3], middle))) == [whole[3], *whole[middle:]]
    assert shown(source.pick(Places([1, len(whole), len(whole) + 9], None))) == [whole[1]]
    assert source.length() == len(whole)


@pytest.mark.parametrize("name", CLIPS)
def test_frames_are_the_right_ones(tmp_path, name):
    clip = footage.make_clip(tmp_path / name, COUNT, **CLIPS[name])
    source = open_quietly(clip)
    assert isinstance(source, VideoSource)
    assert (source.index is None) == (name in COUNTED)
    assert_picks_are_right(source)


@pytest.mark.parametrize("name", ["open.mp4", "open.ts", "ntsc.mkv", "mpeg2.ts"])
def test_a_damaged_clip_is_counted(tmp_path, name):
    clip = footage.make_clip(tmp_path / name, COUNT, **CLIPS[name])
    data = clip.read_bytes()
    with av.open(str(clip)) as container:
        packets = [(x.pos, x.size) for x in container.demux(video=0) if x.size]
    for number in (8, 30, 44):
        place, size = packets[number]
        broken = bytearray(data)
        broken[place + 8 : place + size] = bytes(size - 8)
        clip.write_bytes(broken)
        assert_picks_are_right(open_quietly(clip), number, tries=5)


def test_seeking_does_not_decode_from_the_start(tmp_path, monkeypatch):
    clip = footage.make_clip(tmp_path / "open.mp4", COUNT, options=OPEN_GOP)
    source = open_quietly(clip)
    converted: list[int] = []
    convert = VideoSource.frame_at

    def noted(self, number, *more):
        converted.append(number)
        return convert(self, number, *more)

    monkeypatch.setattr(VideoSource, "frame_at", noted)
    monkeypatch.setattr(VideoSource, "__iter__", lambda self: pytest.fail("read from the start"))
    assert [footage.read_number(f.image) for f in source.pick(Places([7, 50, 51], None))] == [
        *(7, 50, 51)
    ]
    assert converted == [7, 50, 51]


def test_a_sequence_opens_only_the_files_of_its_range(tmp_path):
    for number in range(5):
        name = tmp_path / f"shot.{number:04d}.png"
        Image.fromarray(footage.numbered(number)).save(name)
    source = open_quietly(tmp_path)
    (tmp_path / "shot.0003.png").write_bytes(b"broken")
    read = [footage.read_number(frame.image) for frame in source.pick(Places([1, 2, 4], None))]
    assert read == [1, 2, 4]
    assert isinstance(source, ImageFolder) and source.numbers == [0, 1, 2, 3, 4]
    assert source.digits == 4


@pytest.mark.parametrize(
    ("names", "numbers", "digits"),
    [
        (["s.1001.png", "s.1002.png", "s.1005.png"], [1001, 1002, 1005], 4),
        (["9.png", "10.png", "11.png"], [9, 10, 11], 0),
        (["a-002.png", "a-003.png"], [2, 3], 3),
        (["s.0001.png", "s.0050.png", "s.1001.png"], [1, 50, 1001], 4),
        (["s.-002.png", "s.-001.png", "s.0000.png"], [-2, -1, 0], 4),
        (["hair.png", "hand.png"], [], 0),
    ],
)
def test_a_sequence_has_the_numbers_of_its_names(tmp_path, names, numbers, digits):
    for name in names:
        footage.make_plate(tmp_path / name)
    source = open_quietly(tmp_path)
    assert isinstance(source, ImageFolder)
    assert (list(source.numbers), source.digits) == (numbers, digits)


@pytest.mark.parametrize("pattern", ["s.%04d.png", "s.####.png", "s.@@@@.png", "s.$F4.png"])
def test_a_pattern_says_where_the_number_is(tmp_path, pattern):
    for number in (5, 90, 1001):
        footage.make_plate(tmp_path / f"s.{number:04d}.png")
    source = open_quietly(tmp_path / pattern)
    assert isinstance(source, ImageFolder)
    assert (list(source.numbers), source.digits) == ([5, 90, 1001], 4)


class Numbered(FrameSource):
    """Five frames that show their places."""

    name, size, frame_rate = "numbered", (1, 1), Fraction(25)

    def __iter__(self):
        return (Frame(np.full((1, 1, 3), place, np.uint8)) for place in range(5))


def places_of(source: FrameSource) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in source]


def test_the_last_plate_is_held_and_a_target_loops():
    assert places_of(PickedFrames(Numbered(), Places([1, 3], None))) == [1, 3]
    assert places_of(HeldFrames(Numbered(), Places([1, 2, 8, 9], None))) == [1, 2, 4]
    assert places_of(HeldFrames(Numbered(), Places([7, 8], None))) == [4]
    assert places_of(HeldFrames(Numbered(), Places([2], 9))) == [2, 4]
    assert places_of(LoopedFrames(Numbered(), Places([3, 4, 5, 11, 12], None))) == [3, 4, 0, 1, 2]
    assert PickedFrames(Numbered(), Places([1], None)).frame_rate == 25


def test_a_reader_that_goes_on_reads_the_same(tmp_path):
    src = VideoSource(
        footage.make_clip(tmp_path / "clip.mp4", COUNT, options=OPEN_GOP), pytest.fail
    )
    src.goes_on = True
    chance = random.Random(5)
    for _ in range(40):
        first = chance.randrange(COUNT)
        some = Places(range(first, min(COUNT, first + chance.randint(1, 9))), None)
        assert [footage.read_number(frame.image) for frame in src.pick(some)] == list(some)
    decodings = set()
    for first in range(0, COUNT, 8):  # every other part, as two workers do
        list(src.pick(Places(range(first, first + 4), None)))
        decodings.add(id(src._reading.decoding))
    assert len(decodings) <= 1 + COUNT // 15, "keyframes alone are sought"
