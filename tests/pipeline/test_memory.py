"""Memory does not grow with the length of the clip."""

import mmap
import platform
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import footage
import numpy as np
import pytest
import torch
from footage import KnownNetwork
from processes import Forked

from cli.allocator import configure_allocator
from inference_video import matte_video
from writers import ImageSequenceWriter, VideoWriter

SIZE = (360, 640)


class SlowImages(ImageSequenceWriter):
    """Onto a disk that takes its time."""

    def _save(self, frame, number):
        time.sleep(0.005)
        super()._save(frame, number)


class SlowVideo(VideoWriter):
    """Onto a disk that takes its time."""

    def _add_frame(self, frame, time_):
        time.sleep(0.005)
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
    footage.make_clip(folder / "src.mp4", frames, size=SIZE, options={"preset": "ultrafast"})
    footage.make_plate(folder / "plate.png", SIZE)
    done = Forked(matte, kind, cwd=folder).wait()
    assert done.returncode == 0, done.stderr
    count, kilobytes = map(int, done.stdout.split())
    assert count == frames
    return kilobytes


def cost_of_large_blocks() -> None:
    """Print the page faults for blocks like those of the frame before, and what is kept of them."""
    large = np.ones(30 * 2**17)
    del large  # from now on glibc would keep such blocks
    configure_allocator()
    free = resident()
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(6 * 2**20) for _ in range(4)]
        del blocks
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, resident() - free)


def cost_of_other_blocks() -> None:
    """Print the page faults for smaller blocks like those of the frame before."""
    configure_allocator()
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [np.ones(2**17) for _ in range(96)]
        del blocks
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def kept_by_threads() -> None:
    """Print what the process keeps of 12 MiB that four threads in turn made and freed."""
    configure_allocator()
    before = resident()

    def work() -> None:
        blocks, behind = [np.ones(3 * 2**16) for _ in range(8)], np.ones(2**14)
        del blocks
        behinds.append(behind)

    behinds: list[np.ndarray] = []
    threads = [ThreadPoolExecutor(1) for _ in range(4)]  # each of them lives on
    for thread in threads:
        thread.submit(work).result()
    print(resident() - before)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def huge_pages() -> bool:
    """Whether the kernel gives huge pages to who asks for them."""
    choice = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return choice.exists() and "[never]" not in choice.read_text()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others have ways of their own")
def test_large_blocks_are_returned_and_come_back_in_huge_pages(tmp_path):
    done = Forked(cost_of_large_blocks, cwd=tmp_path).wait()
    assert done.returncode == 0, done.stderr
    faults, kept = map(int, done.stdout.split())
    assert kept < 8 * 2**20, "of 96 MiB"
    assert faults < 4000 or not huge_pages(), "of 24576"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others have ways of their own")
def test_other_blocks_are_kept_for_the_next_frame(tmp_path):
    done = Forked(cost_of_other_blocks, cwd=tmp_path).wait()
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1000, "of 24576"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others have ways of their own")
def test_what_a_thread_freed_another_one_uses(tmp_path):
    done = Forked(kept_by_threads, cwd=tmp_path).wait()
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 24 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("kind", ["image_sequences", "video"])
def test_more_frames_take_no_more_memory(tmp_path, kind):
    # x264 looks 40 frames ahead and has a frame in each of its threads: 100 frames fill it
    short, long = peak(tmp_path / "short", 100, kind), peak(tmp_path / "long", 200, kind)
    assert long - short < 48 * 1024, "100 more frames are 154 MiB in and out"
