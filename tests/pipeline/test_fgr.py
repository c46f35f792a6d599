"""``--fgr``: the network's foreground, or the estimate."""

import json

import cv2
import footage
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference_video import UsageError, matte_video
from model import BaseOutput, EstimatedPrediction, Prediction
from pipeline import Preview
from writers import MemoryWriter

SIZE = (96, 160)


class Disc(nn.Module):
    """Alpha is a disc with a soft edge, and the foreground the frame itself."""

    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        rows, columns = (torch.arange(side) - side / 2 for side in src.shape[2:])
        far = torch.hypot(rows[:, None], columns)
        pha = ((30 - far) / 8 + 0.5).clamp(0, 1).expand(len(src), 1, -1, -1)
        return BaseOutput(pha, src, pha * 0, src)


@pytest.fixture
def media(tmp_path):
    """A folder with a clip and a plate with detail."""
    footage.make_clip(tmp_path / "clip.mp4", 5, size=SIZE)
    levels = np.random.default_rng(1).integers(0, 255, (*SIZE, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "plate.png"), levels)
    return tmp_path


def run(media, **flags):
    options = {
        "video_src": media / "clip.mp4",
        "video_bgr": media / "plate.png",
        "output_format": "image_sequences",
        "preflight": False,
        "network": Disc(),
        "output_dir": media / "out",
    }
    return matte_video(**{**options, **flags})


def frames(media, kind="com", **flags) -> Tensor:
    sink = MemoryWriter()
    run(media, writers={kind: sink}, output_dir=None, **flags)
    return sink.frames


def test_only_colours_of_partial_alpha_change(media):
    network, estimate = (frames(media, fgr=fgr) for fgr in ("network", "estimate"))
    pha = network[:, 3:]
    assert torch.equal(pha, estimate[:, 3:])
    whole, partial = (x.expand_as(network) for x in (pha == 255, (pha > 30) & (pha < 220)))
    assert torch.equal(network[whole], estimate[whole])
    assert (network[partial] != estimate[partial]).float().mean() > 0.3


@pytest.mark.parametrize("kind", ["com", "fgr"])
def test_batches_of_any_size_give_the_same(media, kind):
    alone, *others = (frames(media, kind, fgr="estimate", batch_size=size) for size in (1, 2, 5))
    assert all(torch.equal(alone, other) for other in others)


def test_the_weights_decide_and_run_json_says_what(media):
    checkpoint = footage.make_checkpoint(media / "half.pth")
    found = []
    for number, flags in enumerate(({}, {"model_checkpoint": checkpoint})):
        out = media / str(number)
        run(media, network=None, output_dir=out, **flags)
        found.append(json.loads((out / "run.json").read_text())["settings"]["fgr"])
    run(media)
    found.append(json.loads((media / "out/run.json").read_text())["settings"]["fgr"])
    assert found == ["estimate", "network", "network"]


def test_a_run_is_not_resumed_with_the_other(media):
    run(media, fgr="estimate")
    with pytest.raises(UsageError, match=r"--fgr is network, and was estimate"):
        run(media, fgr="network", resume=True)
    assert run(media, fgr="estimate", resume=True).resumed == 5


def test_the_preview_shows_the_estimate():
    generator = torch.Generator().manual_seed(2)
    src = torch.randint(0, 255, (1, 3, *SIZE), dtype=torch.uint8, generator=generator)
    bgr = torch.rand(1, 3, *SIZE, generator=generator)
    out = Disc()(src.float() / 255, bgr)
    network = Prediction(out.pha, out.fgr, out.err, None, SIZE)
    sheets = []
    for matte in (network, EstimatedPrediction(network, src, bgr)):
        preview = Preview(1)
        preview.add([0], src, bgr, matte)
        sheets.append(preview.sheet())
    assert sheets[0].shape == sheets[1].shape and (sheets[0] != sheets[1]).any()
