"""Memory does not grow with the length of the clip."""

import sys
import time
from pathlib import Path

import media
import pytest
from media import KnownNetwork
from processes import Forked

from inference_video import matte_video
from writers import ImageSequenceWriter, VideoWriter

SIZE = (360, 640)


class SlowImages(ImageSequenceWriter):
    """Onto a disk that takes its time."""

    def _add_batch(self, frames, index):
        time.sleep(0.01)
        super()._add_batch(frames, index)


class SlowVideo(VideoWriter):
    """Onto a disk that takes its time."""

    def _add_frame(self, frame, time_):
        time.sleep(0.01)
        super()._add_frame(frame, time_)


def matte(kind: str) -> None:
    """Run a clip through the whole pipeline, and print the frames and the peak in KiB."""
    video = kind == "video"
    writer = SlowVideo("x.mp4", 25, *SIZE[::-1]) if video else SlowImages("x", "png")
    result = matte_video(
        video_src="src.mp4",
        video_bgr="plate.png",
        output_format=kind,
        writers={"com": writer},
        network=KnownNetwork(),
    )
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(result.frames, status["VmHWM"].split()[0])  # ru_maxrss starts with the parent's peak


def peak(folder: Path, frames: int, kind: str) -> int:
    """Peak resident memory in KiB of a run over ``frames`` frames."""
    folder.mkdir()
    media.make_clip(folder / "src.mp4", frames, size=SIZE, options={"preset": "ultrafast"})
    media.make_plate(folder / "plate.png", SIZE)
    done = Forked(matte, kind, cwd=folder).wait()
    assert done.returncode == 0, done.stderr
    count, kilobytes = map(int, done.stdout.split())
    assert count == frames
    return kilobytes


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("kind", ["image_sequences", "video"])
def test_seven_times_the_frames_take_no_more_memory(tmp_path, kind):
    short, long = peak(tmp_path / "short", 20, kind), peak(tmp_path / "long", 140, kind)
    assert long - short < 64 * 1024, "120 more frames are 185 MiB in and out"
