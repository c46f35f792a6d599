"""The loop: what is in flight arrives, and what is waited for is said."""

import json
import os
import threading
import time

import footage
import pytest
import torch
from runs import matte

from dataset import MediaError, VideoSource, open_source
from inference_video import main, matte_video
from model import Predictor, load_network
from pipeline import MattingResult, PairLoader, Preview, Run
from pipeline.bottleneck import bottleneck, explain, last_words
from pipeline.concurrency import batches_at_once, cores_at_hand, threads_kept
from pipeline.transfer import PendingTransfer, now, seconds_between
from writers import MemoryWriter


def make_run(src, plate, *, network=None, **more):
    """A run into memory: the run, its result and its sink."""
    result, com = MattingResult(), MemoryWriter()
    run = Run(
        loader=PairLoader(open_source(src, print), open_source(plate, print), warn=print),
        predictor=Predictor(network or footage.KnownNetwork(), torch.device("cpu"), warn=print),
        filters=more.pop("filters", []),
        sinks=[("com", com)],
        keeps_alpha=True,
        result=result,
        progress=lambda done: None,
        **more,
    )
    return run, result, com


def test_frames_in_flight_all_arrive(tmp_path):
    src, plate = footage.make_clip(tmp_path / "a.mp4", 7), footage.make_plate(tmp_path / "b.png")
    run, result, com = make_run(src, plate)
    run.matte()
    at_once = MemoryWriter()
    matte_video(
        video_src=src,
        video_bgr=plate,
        output_format="image_sequences",
        writers={"com": at_once},
        network=footage.KnownNetwork(),
    )
    assert result.frames == 7
    assert torch.equal(com.frames, at_once.frames)


def test_frames_in_flight_arrive_before_an_error(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        size = footage.SIZE if number < 4 else (40, 80)
        footage.make_plate(folder / f"{number}.png", size)
    run, result, com = make_run(folder, footage.make_plate(tmp_path / "b.png"))
    with pytest.raises(MediaError):
        run.matte()
    assert result.frames == len(com.frames) == 4


class Uneven(footage.KnownNetwork):
    """Takes longer for even frames, so that odd ones are ready before them; may fail at one."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.fails_at = fails_at

    def forward(self, src, bgr):
        number = footage.read_number((255 * src[0].permute(1, 2, 0)).byte().numpy())
        time.sleep(0.05 * (number % 2 == 0))
        if number == self.fails_at:
            raise ValueError(f"no frame {number}")
        return super().forward(src, bgr)


def run_at_once(tmp_path, monkeypatch, network):
    monkeypatch.setattr("pipeline.run.batches_at_once", lambda matter: 2)
    src, plate = footage.make_clip(tmp_path / "a.mp4", 11), footage.make_plate(tmp_path / "b.png")
    seen = []

    def watch(src, pha):
        seen.append(footage.read_number(src[0].permute(1, 2, 0).numpy()))
        return pha

    made = make_run(src, plate, network=network, filters=[watch], preview=Preview(11))
    return *made, seen


def test_batches_matted_at_once_arrive_in_order(tmp_path, monkeypatch):
    run, result, com, seen = run_at_once(tmp_path, monkeypatch, Uneven())
    run.matte()
    alone, _, wanted = make_run(tmp_path / "a.mp4", tmp_path / "b.png")
    alone.matte()
    assert torch.equal(com.frames, wanted.frames)
    assert seen == list(range(result.frames)) == list(range(11))
    assert run.preview.numbers == [1, 3, 5, 7, 9]
    assert 0 < result.busy["network"] <= 1


def test_batches_matted_at_once_arrive_before_an_error(tmp_path, monkeypatch):
    run, result, com, seen = run_at_once(tmp_path, monkeypatch, Uneven(fails_at=5))
    with pytest.raises(ValueError, match="no frame 5"):
        run.matte()
    assert result.frames == len(com.frames) == 5
    assert seen[:5] == [0, 1, 2, 3, 4]
    assert not [t for t in threading.enumerate() if t.name.startswith("network")]


def test_runs_that_overlap_give_all_threads_back():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        first, second = threads_kept(), threads_kept()
        first.__enter__()
        torch.set_num_threads(1)  # its share
        second.__enter__()
        assert cores_at_hand() == 3
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == cores_at_hand() == 3
    finally:
        torch.set_num_threads(before)


def test_the_fast_network_takes_batches_at_once(tmp_path, monkeypatch):
    """As many as there are cores for; alpha is what it is one after another."""
    before = torch.get_num_threads()
    clip, plate = footage.make_clip(tmp_path / "a.mp4", 7), footage.make_plate(tmp_path / "b.png")
    alphas, threads = [], []
    try:
        for cores in (1, 4):
            torch.set_num_threads(cores)
            pha = MemoryWriter()
            matte_video(video_src=clip, video_bgr=plate, writers={"pha": pha}, device="cpu")
            alphas.append(pha.frames.int())
            threads.append(torch.get_num_threads())
        matter = Predictor(load_network(None), torch.device("cpu"), warn=print)
        sizes = {}
        for cores in (1, 2, 8, 12, 64):
            torch.set_num_threads(cores)
            sizes[cores] = batches_at_once(matter)
    finally:
        torch.set_num_threads(before)
    assert threads == [1, 4], "a run leaves PyTorch's threads as they were"
    assert (alphas[0] - alphas[1]).abs().max() <= 1
    assert sizes == {1: 1, 2: 2, 8: 2, 12: 3, 64: 4}
    known = Predictor(footage.KnownNetwork(), torch.device("cpu"), warn=print)
    assert batches_at_once(known) == 1, "a network that is not ours may not bear it"


def test_a_landing_waits():
    frames = torch.rand(1, 3, 4, 4)
    assert torch.equal(PendingTransfer(frames, None).wait(), frames)
    device = torch.device("cpu")
    start = now(device)
    assert 0 <= seconds_between(start, now(device)) < 10


@pytest.mark.cuda
def test_landings_from_cuda_hold_what_was_made():
    device = torch.device("cuda")
    stream = torch.cuda.Stream(device)
    start = now(device)
    landings = []
    for number in range(8):
        frames = torch.full((1, 4, 1080, 1920), number, dtype=torch.uint8, device=device)
        landings.append(PendingTransfer(frames, stream))
        frames = None  # its memory may be used again
    for number, landing in enumerate(landings):
        landed = landing.wait()
        assert landed.is_pinned() and bool((landed == number).all())
    assert seconds_between(start, now(device)) > 0


WAITED = {
    "network": {"read": 0.02, "network": 0.94, "write": 0.04},
    "read": {"read": 0.8, "network": 0.15, "write": 0.05},
    "write": {"read": 0.0, "network": 0.3, "write": 0.7},
}


@pytest.mark.parametrize(
    "stage, facts, sentence",
    [
        (
            "network",
            {},
            "the network took 94% of the time; a CUDA device or a smaller --video-resize would "
            "help",
        ),
        (
            "network",
            {"on_cuda": True},
            "the network took 94% of the time; fewer --model-refine-sample-pixels or a smaller "
            "--video-resize would help",
        ),
        (
            "read",
            {},
            "reading the clip took 80% of the time; an intermediate codec or a faster disk would "
            "help",
        ),
        (
            "read",
            {"images_in": True},
            "reading the clip took 80% of the time; JPEG instead of PNG or TIFF or a faster disk "
            "would help",
        ),
        (
            "read",
            {"aligned": True},
            "reading and aligning took 80% of the time; more cores, or a camera that stands still, "
            "help",
        ),
        (
            "read",
            {"plate": 0.6},
            "reading the clip for a plate took 80% of the time; --video-bgr plate.png spares that "
            "next time",
        ),
        (
            "read",
            {"plate": 0.1},
            "reading the clip took 80% of the time; an intermediate codec or a faster disk would "
            "help",
        ),
        (
            "write",
            {"written": [("com", "png")]},
            "writing png took 70% of the time; more cores or a faster disk would help",
        ),
        (
            "write",
            {"written": [("pha", "png"), ("fgr", "png")]},
            "writing png took 70% of the time; fewer --output-types, --image-extension jpg, more "
            "cores or a faster disk would help",
        ),
        (
            "write",
            {"written": [("com", "mp4"), ("pha", "mp4")]},
            "writing mp4 took 70% of the time; fewer --output-types, more cores or a faster disk "
            "would help",
        ),
        ("write", {}, "writing took 70% of the time; more cores or a faster disk would help"),
    ],
)
def test_the_sentence_fits_the_figures(stage, facts, sentence):
    assert bottleneck(WAITED[stage]) == stage
    given = {"on_cuda": False, "images_in": False, "aligned": False, "written": ()} | facts
    assert explain(WAITED[stage], **given) == sentence


def test_a_run_says_what_it_waited_for(tmp_path, capsys, checkpoint):
    src, plate = footage.make_clip(tmp_path / "a.mp4", 3), footage.make_plate(tmp_path / "b.png")
    out = tmp_path / "out"
    flags = {"src": src, "bgr": plate}
    argv = [text for name, path in flags.items() for text in (f"--video-{name}", str(path))]
    assert main([*argv, "--output-dir", str(out), "--model-checkpoint", str(checkpoint)]) == 0
    report = json.loads((out / "run.json").read_text())
    assert sum(report["waited"].values()) == pytest.approx(1, abs=0.01)
    stage = max(report["waited"], key=report["waited"].get)
    assert report["bottleneck"]["stage"] == stage
    told, advice = capsys.readouterr().err.splitlines(), report["bottleneck"]["advice"]
    assert advice.partition(";")[0] in told, "a short run needs no advice"
    assert f"{report['waited'][stage]:.0%}" in report["bottleneck"]["advice"]


def test_time_spent_on_reading_is_not_that_of_the_network(tmp_path, monkeypatch):
    footage.make_clip(tmp_path / "clip.mp4", 4)
    footage.make_plate(tmp_path / "plate.png")
    decoded = VideoSource.__iter__

    def slowly(source):
        for frame in decoded(source):
            time.sleep(0.2)
            yield frame

    monkeypatch.setattr(VideoSource, "__iter__", slowly)
    waited = matte(tmp_path, tmp_path / "clip.mp4").waited
    assert bottleneck(waited) == "read"
    assert all(share >= 0 for share in waited.values())


def test_waiting_threads_of_openmp_leave_the_cores_to_others():
    assert os.environ["OMP_WAIT_POLICY"]  # set by importing inference_video, or by the user


def test_a_run_that_went_on_says_what_it_waited_for():
    waited = {"read": 0.1, "network": 0.8, "write": 0.1}
    facts = dict(seconds=1.0, resumed=5)
    told = last_words("the network took 80%; buy a card", waited, matted=3, **facts)
    assert told == "the network took 80%"
    told = last_words("the network took 80%; buy a card", waited, matted=0, **facts)
    assert told == "all 5 frames were there already"
