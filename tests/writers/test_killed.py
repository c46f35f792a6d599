"""What a killed program leaves of a video: all but its last two seconds."""

import os
import random
import signal
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from footage import SIZE, make_clip, numbered, read_number, read_video
from processes import Forked
from test_audio import packets_of

from writers import FORMATS, VideoWriter
from writers.encoder import Order
from writers.h264 import plan

_OTHERS = [name for name, form in FORMATS.items() if not form.is_images and name != "video"]


def _write(rate: str, audio: str | None, name: str) -> None:
    """Write frames without end, and say how many were given."""
    path = f"x.{FORMATS[name].extension}"
    writer = VideoWriter(path, Fraction(rate), SIZE[1], SIZE[0], audio=audio, format_name=name)
    with open("given", "wb", buffering=0) as given:
        for number in range(3000):
            writer.add_batch(torch.from_numpy(numbered(number)).permute(2, 0, 1)[None])
            os.pwrite(given.fileno(), b"%05d" % (number + 1), 0)
            time.sleep(0.003)


def _readable(path: Path) -> list[int]:
    """The numbers of the frames that can be read."""
    found = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                found.append(read_number(frame.to_ndarray(format="rgb24")))
    except av.error.FFmpegError:  # the last fragment may be cut
        pass
    return found


@pytest.mark.parametrize(
    ("rate", "sound", "most", "name"),
    [
        ("25", None, 50, "video"),
        ("25", "aac", 50, "video"),
        ("24000/1001", None, 47, "video"),
        ("5", None, 30, "video"),
        *(("25", None, 50, name) for name in _OTHERS),
    ],
)
def test_a_killed_video_lacks_at_most_two_seconds(tmp_path, rate, sound, most, name):
    audio = None
    if sound is not None:  # shorter than the video
        audio = str(make_clip(tmp_path / "sound.mp4", 100, sound=sound, sound_lasts=Fraction(1)))
    partial = tmp_path / f"x.{FORMATS[name].extension}.part"
    for _ in range(3 if name == "video" else 1):
        partial.unlink(missing_ok=True)
        program = Forked(_write, rate, audio, name, cwd=tmp_path)
        given = tmp_path / "given"
        given.write_text("0")
        while int(given.read_text() or 0) < 70:  # more than may be lost
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.5))
        program.send_signal(signal.SIGKILL)
        program.wait()
        count = int(given.read_text())
        frames = _readable(partial)
        assert frames == sorted(frames)
        unbroken = sum(place == number for place, number in enumerate(frames))
        assert unbroken > 0 and count - unbroken <= most, (count, unbroken)


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 16, 64])
@pytest.mark.parametrize("rate", [1, 12, 24, 25, 60])
def test_what_is_held_back_fits_into_two_seconds(rate, cores):
    queue = 2 + 2 * max(1, min(4, cores // 4))
    order = Order(
        size=SIZE,
        rate=Fraction(rate),
        alpha=False,
        depth=8,
        crf=18,
        preset="medium",
        on_card=False,
        cores=cores,
        queue=queue,
        warn=pytest.fail,
    )
    planned = plan(order)
    held = queue + planned.threads + planned.fragment + int(planned.options["rc-lookahead"])
    assert held + 7 <= max(2 * rate, 30)  # and what x264 needs for B-frames


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(12), Fraction(5)])
def test_no_frame_is_cut_off_at_the_end_whatever_the_length(tmp_path, rate):
    for count in (1, 2, 5, 20, 21, 33):
        with VideoWriter(tmp_path / "x.mp4", rate, SIZE[1], SIZE[0]) as writer:
            for number in range(count):
                writer.add_batch(torch.from_numpy(numbered(number)).permute(2, 0, 1)[None])
        pictures, times = read_video(tmp_path / "x.mp4")
        assert [read_number(picture) for picture in pictures] == list(range(count))
        assert times == [number / rate for number in range(count)]


def test_the_sound_of_a_stopped_slow_video_ends_with_its_frames(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", 50, rate=Fraction(5), sound="aac")
    video = VideoWriter(tmp_path / "x.mp4", 5, SIZE[1], SIZE[0], audio=clip)
    with pytest.raises(KeyboardInterrupt), video:
        video.add_batch(torch.zeros(7, 3, *SIZE))
        raise KeyboardInterrupt
    assert len(read_video(tmp_path / "x.mp4")[0]) == 7
    packet = 1024 / 48000
    assert 1.4 - 2 * packet < float(packets_of(tmp_path / "x.mp4")[-1][0]) <= 1.4
