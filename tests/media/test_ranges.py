"""Ranges of frames: the notation, and the frames that it names."""

import random
from fractions import Fraction

import pytest

from media import FrameRange, range_text


def numbers(text: str, clip: range = range(-20, 2000)) -> list[int]:
    return [clip[place] for place in FrameRange.parse(text).places(clip)]


def test_the_notation_of_studios():
    assert numbers("1001-1003") == [1001, 1002, 1003]
    assert numbers("1001-1012x5") == [1001, 1006, 1011]
    assert numbers("1-2, 5,4-6") == [1, 2, 4, 5, 6]
    assert numbers("-5--3") == [-5, -4, -3] and numbers("-2-1") == [-2, -1, 0, 1]
    assert numbers("7", range(0, 20, 7)) == [7]


def test_times_name_what_begins_in_them_and_a_single_one_what_is_shown():
    def shown(text):
        return FrameRange.parse(text).places(range(100), lambda place: Fraction(place, 10))

    assert shown("00:00:02.5-00:00:03") == [25, 26, 27, 28, 29]
    assert shown("0:01.299-0:01.4") == [13], "times are written to the millisecond"
    assert shown("00:00:01.25") == [12]
    assert shown("3,0:05-0:05.2") == [3, 50, 51]
    assert shown("0:20-0:30") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected frames such as"),
        ("1-", "expected frames such as"),
        ("1-5-9", "expected frames such as"),
        ("1-10y3", "expected frames such as"),
        ("\u0663", "expected frames such as"),
        ("9" * 13, "expected frames such as"),
        ("1:2:3:4", "or times such as"),
        ("10-1", "ends before it begins"),
        ("0:05-0:01", "ends before it begins"),
        ("1-10x0", "a step of 0"),
        (",".join("1" * 2000), "more than 1000 parts"),
    ],
)
def test_what_is_no_range_is_named(text, told):
    with pytest.raises(ValueError, match=told):
        FrameRange.parse(text)


def test_a_huge_range_takes_no_memory():
    parts = ",".join(f"{n}-999999999999x{n}" for n in range(1, 900))
    assert numbers(parts, range(1, 4)) == [1, 2, 3]
    assert 10**11 in FrameRange.parse("1-999999999999")


def test_numbers_and_text_are_the_same_thing():
    chance = random.Random(1)
    for _ in range(300):
        some = sorted(chance.sample(range(-20, 40), chance.randint(1, 20)))
        assert list(FrameRange.parse(range_text(some))) == numbers(range_text(some)) == some
        other = FrameRange.parse(range_text(sorted(chance.sample(range(20), 3))))
        if not set(some).isdisjoint(other):
            assert FrameRange.parse(range_text(some)).overlaps(other)
    assert range_text([1, 2, 3, 10, 20, 30, 31]) == "1-3,10-30x10,31"
    assert range_text([]) == ""
    assert not FrameRange.parse("1-10").overlaps(FrameRange.parse("11-20"))
