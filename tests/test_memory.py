"""Memory does not grow with the length of the clip."""

import os
import subprocess
import sys
from pathlib import Path

import media
import pytest
from conftest import ROOT

SIZE = (360, 640)
#: Runs a clip through the whole pipeline, onto a disk that takes its time, and prints the peak.
PROGRAM = """
import sys, time
from inference_video import matte_video
from media import KnownNetwork
from writers import ImageSequenceWriter, VideoWriter

class SlowImages(ImageSequenceWriter):
    def _add_batch(self, frames, index):
        time.sleep(0.01)
        super()._add_batch(frames, index)

class SlowVideo(VideoWriter):
    def _add_frame(self, frame, time_):
        time.sleep(0.01)
        super()._add_frame(frame, time_)

src, plate, kind = sys.argv[1:]
writer = SlowVideo("x.mp4", 25, 640, 360) if kind == "video" else SlowImages("x", "png")
result = matte_video(
    video_src=src, video_bgr=plate, output_format=kind, writers={"com": writer},
    network=KnownNetwork(),
)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(result.frames, status["VmHWM"].split()[0])  # ru_maxrss starts with the peak of the parent
"""


def peak(folder: Path, frames: int, kind: str) -> int:
    """Peak resident memory in KiB of a run over ``frames`` frames."""
    folder.mkdir()
    options = {"preset": "ultrafast"}
    src = media.make_clip(folder / "src.mp4", frames, size=SIZE, options=options)
    plate = media.make_plate(folder / "plate.png", SIZE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, src, plate, kind],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    count, kilobytes = map(int, done.stdout.split())
    assert count == frames
    return kilobytes


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("kind", ["image_sequences", "video"])
def test_seven_times_the_frames_take_no_more_memory(tmp_path, kind):
    short, long = peak(tmp_path / "short", 20, kind), peak(tmp_path / "long", 140, kind)
    assert long - short < 64 * 1024, "120 more frames are 185 MiB in and out"
