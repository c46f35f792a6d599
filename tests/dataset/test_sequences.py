"""Folders of numbered images: the order, several sequences, patterns, and one image of many."""

import random
import re
from pathlib import Path

import pytest
from footage import make_clip, numbered, read_number
from PIL import Image

from dataset import ImageFolder, MediaError, frames_in, open_source
from dataset.folder import _choose


def save(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for number, name in enumerate(names):
        Image.fromarray(numbered(number)).save(folder / name)
    return folder


def names_in(path: Path, warn=pytest.fail) -> list[str]:
    return [found.name for found in ImageFolder.open(path, warn).paths]


@pytest.mark.parametrize(
    "names",
    [
        ["shot.-003.png", "shot.-002.png", "shot.-001.png", "shot.0000.png", "shot.0001.png"],
        ["s_-2.png", "s_-1.png", "s_0.png", "s_1.png"],
        ["-2.png", "-1.png", "0.png", "1.png"],
        ["a -2.png", "a -1.png", "a 0.png"],
        ["f.-50.png", "f.-25.png", "f.0.png", "f.25.png"],
        ["shot-001.png", "shot-002.png", "shot-003.png"],  # the hyphen separates
        ["2024-01-05.png", "2024-01-06.png", "2024-01-07.png"],
        ["t - 1.png", "t - 2.png", "t - 10.png"],
        ["x -1.png", "x -2.png", "x -3.png"],
        ["0.04.png", "0.08.png", "0.12.png", "0.2.png"],
        ["t1.8.png", "t1.9.png", "t1.10.png"],  # frame numbers behind a point
        ["v1.2.0001.png", "v1.2.0002.png"],
        ["f1.png", "f2.png", "f3.jpg", "f4.jpg", "f5.png"],  # one in two formats
    ],
)
def test_the_order_of_numbers(tmp_path, names):
    assert names_in(save(tmp_path, *sorted(names))) == names


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["f.-3.png", "f.-2.png", "f.-1.png"], r"read as negative ones, from f\.-3\.png"),
        (["0.2.png", "0.12.png"], r"0\.2\.png is read before 0\.12\.png, by whole numbers"),
    ],
)
def test_where_the_order_is_not_certain_it_is_told(tmp_path, names, told):
    warnings: list[str] = []
    assert names_in(save(tmp_path, *names), warnings.append) == names
    assert len(warnings) == 1
    assert re.search(told, warnings[0])


def numbers(pattern: str, *values: int) -> list[str]:
    return [pattern % value for value in values]


SEVERAL = [
    (numbers("beauty_%04d.png", 1, 2, 3), numbers("matte_%04d.png", 1, 2, 3)),
    (numbers("shot.left.%d.png", 1, 2), numbers("shot.right.%d.png", 1, 2)),
    (numbers("cam1_%03d.png", 1, 2, 3), numbers("cam2_%03d.png", 2, 3, 4)),
    (numbers("%04d_rgb.jpg", 7, 8, 9), numbers("%04d_depth.png", 7, 8, 9)),
    (numbers("f_%d.png", 1, 2, 3), numbers("f_%04d.png", 1, 2, 3)),
    (numbers("IMG_%d.JPG", 1, 2), numbers("IMG_%d.png", 1, 2)),
]


@pytest.mark.parametrize(("first", "second"), SEVERAL)
def test_several_sequences_are_named_and_each_can_be_read(tmp_path, first, second):
    save(tmp_path, *first, *second)
    with pytest.raises(MediaError, match="holds several sequences") as error:
        open_source(tmp_path, pytest.fail)
    text = str(error.value)
    patterns = [part.split(" (")[0] for part in text.split(": ")[2].split("; ")[0].split(", ")]
    assert text.count(f"({len(first)} images)") == 2 and len(patterns) == 2
    read = [names_in(tmp_path / pattern) for pattern in patterns]
    assert sorted(read) == sorted([first, second])
    with pytest.raises(MediaError, match="holds several"):
        frames_in(tmp_path, [])


@pytest.mark.parametrize(
    "others",
    [
        ["f_0002 (1).png", "f_0003 - Copy.png"],
        ["f_0001 copy.png", "f_0002 copy 2.png"],
        ["thumb.png"],
        ["contact sheet.jpg", "f_mask.png"],
        ["g_0001.png"],
    ],
)
def test_what_is_plainly_not_of_the_clip_is_left_out_and_told(tmp_path, others):
    frames = numbers("f_%04d.png", *range(1, 9))
    warnings: list[str] = []
    assert names_in(save(tmp_path, *frames, *others), warnings.append) == frames
    assert len(warnings) == 1 and "left out" in warnings[0]
    assert any(other in warnings[0] for other in others)
    assert [path.name for path in frames_in(tmp_path, [])[0]] == frames


@pytest.mark.parametrize(
    "names",
    [
        ["at the sea.png", "Anna.png", "IMG_2041.png", "sunset 3.png"],
        numbers("IMG_20240101_%d.png", 120001, 120412, 135959),
        ["20240101_120001.png", "20240102_090000.png", "20240102_170312.png"],
        numbers("shot (%d).png", 1, 2, 3),  # as Windows renames a selection
        ["f_1.png", "f_2.jpg", "f_3.png"],
        ["scene1_001.png", "scene1_002.png", "scene2_003.png", "scene2_004.png"],
    ],
)
def test_names_without_a_common_numbering_are_all_read(tmp_path, names):
    assert sorted(names_in(save(tmp_path, *names))) == sorted(names)


@pytest.mark.parametrize(
    "pattern",
    [
        *("shot.%04d.png", "shot.####.png", "shot.@@@@.png", "shot.*.png", "shot.$F4.png"),
        *("sh?t.%d.png", "shot.#.png", "shot.@.png", "shot.00*.png"),
    ],
)
def test_a_pattern_reads_its_sequence(tmp_path, pattern):
    save(tmp_path / "in it", "shot.0008.png", "shot.0009.png", "shot.0010.png", "other.0009.png")
    source = open_source(tmp_path / "in it" / pattern, pytest.fail, hold=False)
    assert [read_number(frame.image) for frame in source] == [0, 1, 2]
    assert len(frames_in(tmp_path / "in it" / pattern, [])[0]) == 3


def test_patterns_and_their_places(tmp_path):
    save(tmp_path, "a.9998.png", "a.9999.png", "a.10000.png", "a.-001.png", "a.5.png")
    told: list[str] = []
    wanted = ["a.-001.png", "a.9998.png", "a.9999.png", "a.10000.png"]
    assert names_in(tmp_path / "a.%04d.png", told.append) == wanted
    save(tmp_path, "real.####.png")
    (frame,) = open_source(tmp_path / "real.####.png", pytest.fail, hold=False)
    assert read_number(frame.image) == 0, "a file of that name comes first"
    save(tmp_path / "b", "b.1.png", "b.2.png", "b.4.png")
    assert names_in(tmp_path / "b/b.%d.png", told.append) == ["b.1.png", "b.2.png", "b.4.png"]
    assert "number 3 is missing" in told[-1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no.%04d.png", r"no\.%04d\.png: no image has such a name; the folder holds f_%04d\.png"),
        ("gone/f.####.png", r"gone: not found; expected the folder of f\.####\.png"),
        ("f_*.psd", r"\.psd is no format of images that can be read"),
        ("f_*/1.png", r"only the name of the file may be a pattern"),
        ("gone@home.png", r"gone@home\.png: not found"),
    ],
)
def test_a_pattern_of_nothing_says_what_is_there(tmp_path, name, told):
    save(tmp_path, "f_0001.png", "f_0002.png")
    with pytest.raises(MediaError, match=told):
        open_source(tmp_path / name, pytest.fail)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("-", "only the clip can come from standard input"),
        ("https://host/clip.mp4", r"^https://host/clip\.mp4: a URL cannot be read; download"),
        ("rtsp://host/live", r"^rtsp://host/live: a URL"),
    ],
)
def test_what_is_no_file_is_told(name, told):
    for given in (name, Path(name)):
        with pytest.raises(MediaError, match=told):
            open_source(given, pytest.fail)


def test_one_image_of_a_sequence_as_the_clip_is_told(tmp_path):
    save(tmp_path, *numbers("shot.%d.png", *range(1001, 1007)), "shot.png", "alone 7.png")
    told: list[str] = []
    assert len(list(open_source(tmp_path / "shot.1001.png", told.append, hold=False))) == 1
    (text,) = told
    assert "one of 6" in text and text.endswith(f"give {tmp_path / 'shot.%04d.png'}")
    assert len(names_in(Path(text.rpartition("give ")[2]))) == 6
    for name, hold in (("shot.png", False), ("alone 7.png", False), ("shot.1001.png", True)):
        open_source(tmp_path / name, pytest.fail, hold=hold)


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    for number in range(12):
        (tmp_path / f"f.{number:04d}.psd").write_bytes(b"x")
    make_clip(tmp_path / "a.mp4", 2)
    (tmp_path / "more").mkdir()
    with pytest.raises(MediaError, match=r"can be read; .*12 \.psd files, 1 \.mp4 file, 1 folder;"):
        open_source(tmp_path, pytest.fail)
    with pytest.raises(MediaError, match="the folder is empty"):
        open_source(tmp_path / "more", pytest.fail)


@pytest.mark.parametrize("seed", range(40))
def test_a_plain_folder_is_read_as_any_other(tmp_path, monkeypatch, seed):
    """Names of which most are plain, read fast and read with care, are the same."""
    chance = random.Random(seed)
    before = chance.choice(["", "shot.", "A_v2-b", "t1.", "x", "shot 1 ", "s-", "copy of "])
    width, after = chance.choice([1, 3, 5]), chance.choice([".png", ".PNG", ".exr", ".gif"])
    last = min(10**width, 30)
    numbers = sorted(chance.sample(range(last), chance.randint(2, min(last, 12))))
    names = [f"{before}{number:0{width}d}{after}" for number in numbers]
    if chance.random() < 0.4:
        more = [
            f"{before}07 (1){after}",
            "other.png",
            f"{before}123456{after}",
            ".hidden",
            "note.txt",
        ]
        names.append(chance.choice(more))
    for name in names:
        (tmp_path / name).touch()
    besides = [tmp_path / names[0]] if chance.random() < 0.2 else []

    def chosen() -> tuple[object, ...]:
        try:
            found = _choose(tmp_path, besides)
        except MediaError as error:
            return (str(error),)
        numbers = list(found.numbers), found.digits
        return list(found.paths), found.excluded, found.told, *numbers

    fast = chosen()
    monkeypatch.setattr("dataset.folder.plain_sequence", lambda *_: None)
    assert fast == chosen()
