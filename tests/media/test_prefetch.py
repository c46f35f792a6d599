"""Work begun before it is asked for: the order, the bound and the errors stay."""

import threading

import footage
import numpy as np
import pytest
import torch
from PIL import Image

from dataset import open_source
from media import delayed, prefetch


@pytest.mark.parametrize("threads", [0, 1, 2, 4])
def test_the_order_stays(threads):
    assert list(prefetch(lambda n: n * n, range(50), threads, name="test")) == [
        n * n for n in range(50)
    ]


def test_several_are_in_work_at_once_and_not_too_many_are_taken():
    meeting = threading.Barrier(4, timeout=30)
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    def work(number):
        if number < 4:
            meeting.wait()  # breaks unless four threads come
        return number

    results = prefetch(work, items(), 4, name="test")
    assert next(results) == 0
    assert len(taken) <= 8
    results.close()


@pytest.mark.parametrize("threads", [0, 4])
def test_an_error_comes_after_what_is_before_it_and_nothing_after_it(threads):
    def work(number):
        if number == 5:
            raise ValueError("5 is bad")
        return number

    def broken():
        yield from range(3)
        raise OSError("the file ends")

    for items, count, error in ((range(20), 5, ValueError), (broken(), 3, OSError)):
        done = []
        with pytest.raises(error):
            for result in prefetch(work, items, threads, name="test"):
                done.append(result)
        assert done == list(range(count))


def test_a_thread_that_cannot_be_prepared_says_so():
    def refuse():
        raise OSError("no thread for you")

    for threads in (1, 3):
        with pytest.raises(OSError, match="no thread for you"):
            next(prefetch(lambda n: n, range(9), threads, name="test", prepare=refuse))
    assert not [t for t in threading.enumerate() if t.name.startswith("test")]


def test_delayed_hands_everything_on():
    taken = []
    late = delayed((taken.append(n) or n for n in range(5)), 2)
    assert next(late) == 0 and taken == [0, 1, 2]
    assert list(late) == [1, 2, 3, 4]
    assert list(delayed([1, 2], 5)) == [1, 2]
    assert list(delayed([1, 2], 0)) == [1, 2]


def test_sources_give_the_same_with_many_threads(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(footage.numbered(number)).save(folder / f"{number}.png")
    clip = footage.make_clip(tmp_path / "clip.mp4", 12)
    before = torch.get_num_threads()
    try:
        given = []
        for threads in (1, 16):
            torch.set_num_threads(threads)
            given.append([list(open_source(path, pytest.fail)) for path in (folder, clip)])
    finally:
        torch.set_num_threads(before)
    for few, many in zip(*given, strict=True):
        assert [footage.read_number(frame.image) for frame in many] == list(range(12))
        assert [frame.time for frame in few] == [frame.time for frame in many]
        for one, other in zip(few, many, strict=True):
            np.testing.assert_array_equal(one.image, other.image)
