"""The region of interest: what is looked at, that no part is lost, and what the report says."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from footage import KnownNetwork
from PIL import Image

from drawing.events import EVENTS, EventFrame, make_event
from inference_video import UsageError, matte_video
from model import Box, Predictor, load_network
from pipeline import RegionPredictor, Settings
from plate.changes import Changes
from training.region_table import lost_parts

SIZE = (360, 640)
WHOLE = Box(0, 360, 0, 640)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image)[None].permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def full() -> Predictor:
    return Predictor(load_network(None), torch.device("cpu"), precision="fp32", warn=pytest.fail)


def region(full: Predictor, *, fixed: bool = False) -> RegionPredictor:
    return RegionPredictor(full, scale=0.25, fixed=fixed)


@pytest.fixture(scope="module")
def events() -> dict[str, list[EventFrame]]:
    return {event: list(make_event(event, 1, SIZE, frames=3)) for event in EVENTS}


@pytest.fixture(scope="module")
def two(events) -> EventFrame:
    """Two people, some way apart."""
    return events["two"][-1]


@pytest.mark.parametrize("event", EVENTS)
def test_no_part_is_lost(full, events, event):
    part = region(full)
    for frame in events[event]:
        src, bgr, true = tensor(frame.src), tensor(frame.bgr), frame.pha / np.float32(255)
        reference, found = (x(src, bgr).pha[0, 0].numpy() for x in (full, part))
        assert lost_parts(true, reference, found) == 0
    assert part.counts.report()["share"] < 0.7


def test_a_thing_that_the_network_does_not_see_at_first_is_looked_at(full, two):
    src = two.bgr.copy()
    src[100:106, 40:43] = np.where(src[100:106, 40:43].mean() > 127, 0, 255)  # a few pixels
    [box] = region(full).boxes(tensor(src), tensor(two.bgr))
    assert box.top <= 100 and box.bottom >= 106 and box.left <= 40 and box.right >= 43
    assert box.area < 0.2 * WHOLE.area


def test_what_hardly_differs_from_the_plate_is_found_by_the_look(full, two, monkeypatch):
    nothing = np.zeros((72, 128), bool)
    monkeypatch.setattr(
        "pipeline.region.find_changes", lambda *_: Changes(nothing, nothing, nothing)
    )
    boxes = region(full).boxes(tensor(two.src), tensor(two.bgr))
    covered = np.zeros(SIZE, bool)
    for box in boxes:
        covered[box.top : box.bottom, box.left : box.right] = True
    assert covered[two.pha > 12].all() and covered.mean() < 0.7


def test_a_thrown_ball_before_a_busy_scene_is_looked_at(full):
    """It is hardly clearer than the leaves around it, and the look does not see it."""
    rng = np.random.default_rng(5)
    scene = rng.uniform(60, 140, (45, 80, 3)).astype(np.float32)
    bgr = cv2.resize(scene, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    bgr = bgr.clip(0, 255).astype(np.uint8)
    part = region(full)
    part._predictor = _Blind(full)
    for x in (40, 200, 410, 580):
        src = bgr.copy()
        cv2.circle(src, (x, 100), 9, (170, 60, 170), -1, cv2.LINE_AA)
        boxes = part.boxes(tensor(src), tensor(bgr))
        assert any(b.left <= x - 9 and x + 9 <= b.right and b.top <= 91 for b in boxes), x
        assert sum(box.area for box in boxes) < 0.3 * WHOLE.area


def test_the_empty_scene_is_empty_at_no_further_cost(full, two):
    part = region(full)
    found = part(tensor(two.bgr), tensor(two.bgr))
    assert not found.pha.any()
    assert part.counts.report() == {"share": 0.0, "scales": {}}


def test_doubt_means_the_full_frame(full, two):
    """A faint veil over a fifth of the frame, of which the look sees nothing."""
    src = two.bgr.copy()
    src[40:200, 300:500] = np.clip(src[40:200, 300:500].astype(int) + 14, 0, 255)
    part = region(full)
    part._predictor = _Blind(full)
    assert part.boxes(tensor(src), tensor(two.bgr)) == [WHOLE]


class _Blind:
    """A predictor whose first look finds nothing."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    def look(self, src: torch.Tensor, bgr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pha, err = self._predictor.look(src, bgr)
        return 0 * pha, 0 * err


def test_the_boxes_stand_still_while_the_subject_does(full, two):
    rng = np.random.default_rng(0)
    shown = two.src.astype(np.float32)
    part, seen = region(full), set()
    for _ in range(5):
        src = (shown + rng.normal(0, 2, shown.shape)).clip(0, 255).astype(np.uint8)
        seen.add(tuple(part.boxes(tensor(src), tensor(two.bgr))))
    assert len(seen) <= 2


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_where_the_box_is_the_frame_the_matte_is_the_full_one(full, two, kind):
    """A subject of most of the frame, in every type that frames and plates have."""
    white = 1 if kind is np.float32 else np.iinfo(kind).max
    src, bgr = (tensor((x / 255 * white).astype(kind)) for x in (255 - two.bgr, two.bgr))
    part = region(full, fixed=True)
    got, wanted = part(src, bgr), full(src, bgr)
    assert part.counts.report() == {"share": 1.0, "scales": {"0.25": 1}}
    for name in ("pha", "fgr", "err", "ref"):
        assert torch.equal(getattr(got, name), getattr(wanted, name)), name
    assert torch.equal(got.cut_out(), wanted.cut_out())


def test_the_scale_is_the_largest_at_the_price_of_a_full_frame(full, events):
    part = region(full)
    for share, scale in ((0.05, 0.5), (0.3, 0.5), (0.6, 0.375), (1.0, 0.3125)):
        assert part._scale_for(share) == scale
    assert region(full, fixed=True)._scale_for(0.9) == 0.25
    src, bgr = tensor(events["far"][0].src), tensor(events["far"][0].bgr)
    boxes = part.boxes(src, bgr)
    sharp = Predictor(
        load_network(None, backbone_scale=0.5), full.device, precision="fp32", warn=pytest.fail
    )
    found = part(src, bgr).pha
    for box in boxes:
        wanted = sharp(box.cut(src), box.cut(bgr)).pha
        torch.testing.assert_close(box.cut(found), wanted, rtol=0, atol=1e-4)
    assert boxes and part.counts.report()["scales"] == {"0.5": 1}


def test_a_batch_has_a_region_for_each_frame(full, events):
    frames = [events["two"][-1].src, events["two"][-1].bgr, 255 - events["two"][-1].bgr]
    bgr, part = tensor(events["two"][-1].bgr), region(full)
    found = part(torch.cat([tensor(x) for x in frames]), bgr)
    for i, frame in enumerate(frames):
        torch.testing.assert_close(found.pha[i : i + 1], part(tensor(frame), bgr).pha)


@pytest.fixture
def folder(tmp_path: Path, events) -> Path:
    """A clip of a person who enters, as images, and the plate."""
    (tmp_path / "clip").mkdir()
    for number, frame in enumerate(events["enters"]):
        Image.fromarray(frame.src).save(tmp_path / f"clip/{number:04}.png")
    Image.fromarray(events["enters"][0].bgr).save(tmp_path / "plate.png")
    return tmp_path


def matte(folder: Path, out: str, **flags: object):
    return matte_video(
        video_src=folder / "clip",
        video_bgr=folder / "plate.png",
        output_dir=folder / out,
        output_format="image_sequences",
        device="cpu",
        **flags,
    )


def files(out: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in sorted((out / "com").iterdir()))


def test_a_frame_is_the_same_in_every_run_and_the_report_says_what_was_looked_at(folder):
    result = matte(folder, "whole", region="auto")
    told = json.loads((folder / "whole/run.json").read_text())
    assert told["region"] == result.region
    assert 0 < told["region"]["share"] < 0.6
    assert sum(told["region"]["scales"].values()) <= 3 and "0.5" in told["region"]["scales"]
    assert told["settings"]["model_backbone_scale"] == "auto"
    for frames in ("1-2", "0"):
        matte(folder, "parts", region="auto", frames=frames)
    assert list(files(folder / "parts")) == list(files(folder / "whole"))
    matte(folder, "full")
    assert json.loads((folder / "full/run.json").read_text())["region"] is None


def test_what_has_no_region_says_so(folder):
    for flags in ({"network": KnownNetwork()}, {"model_type": "mattingbase"}):
        with pytest.raises(UsageError, match="--region auto needs a network with a refiner"):
            matte(folder, "out", region="auto", **flags)
        assert not (folder / "out").exists()


def test_a_scale_is_a_number_or_auto():
    paths = {"video_src": "a.mp4", "video_bgr": "b.png", "output_dir": "out"}
    for given, kept in (("auto", "auto"), ("0.3", 0.3), (0.5, 0.5), (None, None)):
        assert Settings(**paths, model_backbone_scale=given).model_backbone_scale == kept
    for wrong in ("Auto", "0.6", 0, 1, "nan"):
        with pytest.raises(UsageError, match="expected auto, or more than 0"):
            Settings(**paths, model_backbone_scale=wrong)
