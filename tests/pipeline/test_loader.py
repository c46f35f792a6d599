"""Pairing, resizing, batching and reading ahead."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import footage
import numpy as np
import pytest
import torch
from footage import deepened, make_clip, numbered, read_number

from dataset import FlatColour, Frame, FrameSource, open_source
from dataset.scaling import cover, resize
from pipeline import DeviceFeed, PairLoader


class Numbered(FrameSource):
    """Numbered pictures, made as they are asked for."""

    def __init__(self, count: int, size=footage.SIZE, fails_at: int | None = None, deep=False):
        self.name = f"{count} pictures"
        self.size = size
        self.length_hint = count
        self.asked = 0
        self._fails_at = fails_at
        self._deep = deep

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self.length_hint):
            self.asked += 1
            if number == self._fails_at:
                raise OSError(f"picture {number} is broken")
            picture = numbered(number, self.size)
            yield Frame(deepened(picture) if self._deep else picture, Fraction(number))


GREY = FlatColour((90, 90, 90), footage.SIZE)


def load(src, bgr=GREY, **options):
    with PairLoader(src, bgr, warn=options.pop("warn", pytest.fail), **options) as loader:
        return list(loader)


def numbers(batches, name="src"):
    pictures = [p for b in batches for p in getattr(b, name).permute(0, 2, 3, 1).numpy()]
    return [read_number(picture) for picture in pictures]


@pytest.mark.parametrize("batch_size", [1, 3, 10, 16])
def test_batches_hold_every_frame_once(batch_size):
    batches = load(Numbered(10), batch_size=batch_size)
    assert numbers(batches) == list(range(10))
    assert [len(b.src) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert [t for b in batches for t in b.times] == list(range(10))
    assert all(
        b.src.dtype == torch.uint8 and b.src.shape[1:] == (3, *footage.SIZE) for b in batches
    )


def test_a_plate_for_each_frame_holds_its_last_one():
    batches = load(Numbered(7), Numbered(3), batch_size=2)
    assert numbers(batches, "bgr") == [0, 1, 2, 2, 2, 2, 2]


def test_a_longer_plate_is_read_no_further_than_needed():
    plate = Numbered(500)
    assert numbers(load(Numbered(5), plate), "bgr") == [0, 1, 2, 3, 4]
    assert plate.asked == 5


def test_a_still_plate_is_one_tensor_that_is_sent_once():
    batches = load(Numbered(4))
    assert all(b.bgr is batches[0].bgr for b in batches) and len(batches[0].bgr) == 1
    feed = DeviceFeed(torch.device("cpu"))
    sent = [feed(b).bgr for b in batches]
    assert all(bgr is sent[0] for bgr in sent)
    assert torch.equal(sent[0], torch.full((1, 3, *footage.SIZE), 90, dtype=torch.uint8))


def test_a_shorter_target_loops_and_a_still_one_stays():
    assert numbers(load(Numbered(7), target=Numbered(3)), "target") == [0, 1, 2, 0, 1, 2, 0]
    batches = load(Numbered(3), target=GREY)
    assert all(b.target is batches[0].target for b in batches)


def test_16_bits_reach_the_device_without_loss():
    (batch,) = load(Numbered(1, deep=True))
    assert batch.src.dtype == torch.uint16
    src = DeviceFeed(torch.device("cpu"))(batch).src.float() / 65535
    levels = torch.from_numpy(deepened(numbered(0)).astype(np.float32))
    wanted = levels.permute(2, 0, 1)[None] / 65535
    assert torch.allclose(src, wanted, atol=1e-6)


def test_8_and_16_bits_may_be_mixed():
    class Mixed(Numbered):
        def __iter__(self):
            for number, frame in enumerate(super().__iter__()):
                yield Frame(deepened(frame.image) if number % 2 else frame.image)

    (batch,) = load(Mixed(4), batch_size=4)
    assert numbers([batch]) == [0, 1, 2, 3]
    wanted = [numbered(0).astype(np.uint16) * 257, deepened(numbered(1))]
    for image, levels in zip(batch.src, wanted, strict=False):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), levels), "the same brightness"


def test_frames_before_a_failure_are_handed_over():
    loader = PairLoader(Numbered(10, fails_at=7), GREY, batch_size=3, warn=pytest.fail)
    seen = []
    with loader, pytest.raises(OSError, match="picture 7 is broken"):
        for batch in loader:
            seen += numbers([batch])
    assert seen == [0, 1, 2, 3, 4, 5, 6]


def test_reading_ahead_is_bounded():
    src = Numbered(1000)
    with PairLoader(src, GREY, batch_size=2, ahead=2, warn=pytest.fail) as loader:
        batches = iter(loader)
        next(batches)
        time.sleep(0.3)
        assert src.asked <= 2 * (1 + 2 + 1) + 1, "taken, queued, and in the reader's hands"


def test_closing_early_ends_the_thread():
    before = threading.active_count()
    loader = PairLoader(Numbered(1000), GREY, warn=pytest.fail)
    with loader:
        next(iter(loader))
        assert threading.active_count() == before + 1
    loader.close()
    assert threading.active_count() == before


def test_timestamps_follow_the_frames():
    with PairLoader(Numbered(5), GREY, batch_size=2, warn=pytest.fail) as loader:
        clocks = [loader.timestamps(), loader.timestamps()]
        for batch in loader:
            for clock in clocks:
                assert [next(clock) for _ in batch.times] == list(batch.times)


def test_resizing_takes_source_and_plate_along():
    (batch,) = load(Numbered(1), FlatColour((1, 2, 3), (10, 10)), size=(24, 48))
    assert batch.src.shape[2:] == batch.bgr.shape[2:] == (24, 48)


def test_resize_is_antialiased_and_bilinear():
    checkered = np.indices((64, 64)).sum(axis=0) % 2 * 255
    picture = np.repeat(checkered[..., None], 3, axis=2).astype(np.uint8)
    assert np.abs(resize(picture, (16, 16)).astype(int)[2:-2, 2:-2] - 127).max() <= 2
    deep = resize(deepened(picture), (16, 16))
    assert deep.dtype == np.uint16 and np.abs(deep[2:-2, 2:-2] / 257 - 127.5).max() <= 2
    ramp = np.repeat(np.arange(4, dtype=np.uint8)[None, :, None] * 80, 3, axis=2).repeat(4, axis=0)
    np.testing.assert_array_equal(
        resize(ramp, (4, 8))[0, :, 0], [0, 20, 60, 100, 140, 180, 220, 240]
    )


def test_cover_fills_the_frame_and_keeps_the_middle():
    wide = np.repeat(np.arange(40, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(20, axis=0)
    np.testing.assert_array_equal(cover(wide, (20, 20)), wide[:, 10:30])
    np.testing.assert_array_equal(cover(wide, (10, 20)), resize(wide, (10, 20)))
    tall = wide.transpose(1, 0, 2)
    np.testing.assert_array_equal(cover(tall, (20, 20)), tall[10:30])


def test_plate_of_another_size_or_shape():
    told: list[str] = []
    (batch,) = load(Numbered(1), FlatColour((0, 0, 0), (96, 192)), warn=told.append)
    assert batch.bgr.shape[2:] == footage.SIZE
    assert len(told) == 1 and "192x96" in told[0] and "96x48" in told[0]
    with pytest.raises(ValueError, match=r"48x48.*96x48.*crop the plate to 48x24"):
        load(Numbered(1), FlatColour((0, 0, 0), (48, 48)))


def test_damaged_frames_are_listed_by_number():
    class Damaged(Numbered):
        def __iter__(self):
            for number, frame in enumerate(super().__iter__()):
                yield Frame(frame.image, frame.time, repeated=number in (3, 4))

    batches = load(Damaged(6), batch_size=4)
    assert [b.repeated for b in batches] == [(3,), (4,)]


def test_real_media_pair(tmp_path):
    src = open_source(make_clip(tmp_path / "src.mp4", 6), pytest.fail)
    bgr = open_source(make_clip(tmp_path / "bgr.mp4", 6), pytest.fail)
    batches = load(src, bgr, batch_size=4)
    assert numbers(batches) == numbers(batches, "bgr") == list(range(6))


def test_a_long_look_for_the_place_of_a_static_plate_can_be_stopped():
    class Endless(Numbered):
        def __iter__(self) -> Iterator[Frame]:
            while True:
                yield from super().__iter__()

    def stop() -> None:
        raise KeyboardInterrupt

    loader = PairLoader(Endless(10), GREY, align="static", waiting=stop, warn=pytest.fail)
    with pytest.raises(KeyboardInterrupt), loader:
        next(iter(loader))
    loading = [thread for thread in threading.enumerate() if thread.name.startswith("load")]
    assert not loading, "it ended when it was told, and not with the clip"
