"""The network against outputs of the published implementation."""

import json
from pathlib import Path

import golden_rule
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model import BACKBONES, MattingBase, MattingRefine, Predictor
from model.device import exact_float32

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "cases.json").read_text())


def build(case):
    if case["model"] == "mattingbase":
        network = MattingBase(case["backbone"])
    else:
        options = {k: v for k, v in case.items() if k.startswith(("refine_", "backbone_"))}
        network = MattingRefine(case["backbone"], **options)
    return golden_rule.fill(network, case["decoder_conv4_bias"])


def pair(case, device="cpu"):
    size = case["batch"], case["height"], case["width"]
    return [golden_rule.image(name, *size).to(device) for name in ("src", "bgr")]


def outputs(case, device="cpu"):
    network = build(case).to(device)
    with torch.inference_mode(), exact_float32():
        return {k: v.cpu().numpy() for k, v in network(*pair(case, device))._asdict().items()}


def fast_outputs(case, device="cpu"):
    """What a run uses: the fast form of the network, in float32."""
    matter = Predictor(build(case), torch.device(device), precision="fp32", warn=pytest.fail)
    assert matter.path == "fast"
    matte = matter(*pair(case, device))
    outputs = {"pha": matte.pha, "fgr": matte.fgr}
    if case["model"] == "mattingbase":
        outputs |= {"err": matte.err}
    else:
        outputs |= {"err_sm": matte.err, "ref_sm": matte.ref}
    return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}


def sample(name, tensor):
    if name == "ref_sm":
        return tensor
    rows, columns = (9, 15) if name == "hid" else (3, 5)
    return tensor[..., ::rows, ::columns]


@pytest.mark.parametrize("path", ["plain", "fast"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_outputs_match(case, path):
    golden = np.load(GOLDEN / f"{case['name']}.npz")
    got = outputs(case) if path == "plain" else fast_outputs(case)
    names = {key.removesuffix("_shape") for key in golden if key.endswith("_shape")}
    assert set(got) == names if path == "plain" else {"pha", "fgr"} < set(got) < names
    for name, tensor in got.items():
        assert tensor.shape == tuple(golden[f"{name}_shape"])
        if name == "ref_sm":
            np.testing.assert_array_equal(tensor, golden[f"{name}_sample"])
        np.testing.assert_allclose(
            sample(name, tensor), golden[f"{name}_sample"], rtol=0, atol=1e-4
        )
        assert abs(tensor.mean(dtype=np.float64) - golden[f"{name}_mean"]) < 1e-4
        assert abs(tensor.std(dtype=np.float64) - golden[f"{name}_std"]) < 1e-4


def near_the_cut(case, got):
    """Full-size mask of patches whose error lies within 1e-4 of the one that decides."""
    err = torch.from_numpy(got["err_sm"])
    size = (case["height"] // 4, case["width"] // 4)
    err = F.interpolate(err, size, mode="bilinear", align_corners=False)
    cut = torch.full((case["batch"], 1, 1, 1), case["refine_threshold"])
    if case["refine_mode"] == "sampling":
        count = min(case["refine_sample_pixels"] // 16, size[0] * size[1])
        cut = err.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    near = ((err - cut).abs() < 1e-4) & (err > 0)
    return near.numpy(), F.interpolate(near.float(), scale_factor=4).bool().numpy()


@pytest.mark.cuda
@pytest.mark.parametrize("path", ["plain", "fast"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_outputs_match_on_cuda(case, path):
    golden = np.load(GOLDEN / f"{case['name']}.npz")
    got = outputs(case, "cuda") if path == "plain" else fast_outputs(case, "cuda")
    excused = near_the_cut(case, got) if case["model"] == "mattingrefine" else None
    for name, tensor in got.items():
        wrong = np.abs(sample(name, tensor) - golden[f"{name}_sample"]) > 1e-3
        if excused is not None and name in ("pha", "fgr", "ref_sm"):
            wrong &= ~sample(name, excused[0 if name == "ref_sm" else 1])
        assert not wrong.any(), name


@pytest.mark.parametrize("backbone", BACKBONES)
def test_state_dict_is_the_published_one(backbone):
    listed = json.loads((GOLDEN / f"state_dict_{backbone}.json").read_text())
    with torch.device("meta"):
        state = MattingRefine(backbone).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == listed
