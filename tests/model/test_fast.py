"""The fast form of the network against the plain one, with the built-in weights on real frames."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from footage import deepened

from dataset import open_source, read_image
from model import DetailPrediction, MattingRefine, Predictor, load_network
from model.fast import FastMattingRefine
from model.folding import read_difference
from model.packed import PackedConv, can_pack
from writers.quantize import to_host_levels

SAMPLES = Path(__file__).parents[2] / "samples"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """Three frames of the sample, (3, 3, 720, 1280) uint8 over channels-last memory."""
    source = open_source(SAMPLES / "clip.mp4", pytest.fail)
    images = [frame.image for number, frame in zip(range(25), source, strict=False)]
    return torch.from_numpy(np.stack(images[::12])).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def plate() -> torch.Tensor:
    return torch.from_numpy(read_image(SAMPLES / "plate.png")).permute(2, 0, 1)[None]


def matter(*, fast: bool, precision="fp32", **options) -> Predictor:
    network = load_network(None, **options)
    return Predictor(network, CPU, precision=precision, fast=fast, warn=pytest.fail)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"refine_mode": "thresholding", "refine_threshold": 0.1},
        {"refine_mode": "full"},
        {"backbone_scale": 0.125, "refine_sample_pixels": 320_000},
        {"backbone_scale": 0.3},
        {"refine_sample_pixels": 0},
        {"model_type": "mattingbase"},
    ],
    ids=str,
)
def test_fast_and_plain_agree_on_real_frames(frames, plate, options):
    src, bgr = frames[:2, :, 200:460, 400:721], plate[:, :, 200:460, 400:721]  # odd sizes, too
    plain, fast = (matter(fast=fast, **options)(src, bgr) for fast in (False, True))
    torch.testing.assert_close(fast.err, plain.err, rtol=0, atol=1e-4)
    for name in ("pha", "fgr", "ref"):
        got, wanted = getattr(fast, name), getattr(plain, name)
        if wanted is not None:  # of patches with all but equal errors the other may be chosen
            assert ((got - wanted).abs() > 1e-4).float().mean() < 1e-3, name


def test_a_whole_frame_is_cut_out_to_the_level(frames, plate):
    fast = matter(fast=True)(frames, plate)
    assert isinstance(fast, DetailPrediction)
    got, exact = fast.cut_out(), fast.with_pha(fast.pha).cut_out() * 255
    assert got.dtype == torch.uint8 and got.shape == (3, 4, 720, 1280)
    # half a level may go either way
    assert (got - exact).abs().max() < 0.5 + 1e-3
    assert torch.equal(got[:, :3].sum(1) > 0, exact[:, :3].round().sum(1) > 0)
    assert 0.05 < (fast.pha > 0.9).float().mean() < 0.9, "there is a subject"


def test_bits_batches_and_plates_make_no_difference(frames, plate):
    src, bgr = frames[..., 200:327, 400:561], plate[..., 200:327, 400:561]
    one = matter(fast=True)
    wanted = torch.cat([one(frame[None], bgr).cut_out() for frame in src])
    deep = [torch.from_numpy(deepened(x.numpy())) for x in (src, bgr)]
    pairs = {
        "a batch": [src, bgr],
        "a plate a frame": [src, bgr.repeat(3, 1, 1, 1)],
        "floats": [src / 255, bgr / 255],
        "a warped plate": [src, bgr / 255],
    }
    for name, pair in pairs.items():
        got = to_host_levels(one(*pair).cut_out())
        off = (got.int() - wanted.int()).abs() > 1
        assert off.float().mean() < 1e-3, name
    as_floats = [x.float() / 65535 for x in deep]
    off = one(*deep).cut_out().int() - one(*as_floats).cut_out().int()
    assert (off.abs() > 1).float().mean() < 1e-3, "16 bits"
    other = one(src, 255 - bgr).cut_out()
    assert (other.int() - wanted.int()).abs().float().mean() > 5, "a new plate is seen"


def test_frames_that_refine_more_or_less_come_in_few_shapes(frames, plate):
    network = FastMattingRefine(load_network(None))
    shapes: dict[int, set[int]] = {}  # numbers of tiles by their size
    network.first_half.register_forward_pre_hook(
        lambda _, args: shapes.setdefault(args[0].shape[2], set()).add(len(args[0]))
    )
    rows = torch.arange(64 * 64).view(1, 1, 64, 64)
    anywhere = rows.flatten()[torch.randperm(64 * 64, generator=torch.Generator().manual_seed(0))]
    for order in (rows, anywhere.view_as(rows)):
        for patches in range(20, 900, 55):
            network.choose = lambda *_, order=order, patches=patches: (order < patches).float()
            chosen = network(frames[:1, :, :256, 400:656], plate[:, :, :256, 400:656]).ref_sm
            assert chosen.sum() == patches
    assert len(shapes) > 1 and all(len(numbers) <= 8 for numbers in shapes.values()), shapes


@pytest.mark.parametrize("scale", [0.125, 0.25, 0.375, 0.5])
def test_patches_are_the_same_without_tiles(frames, plate, scale):
    src, bgr = frames[:2, :, 200:328, 400:496], plate[:, :, 200:328, 400:496]
    tiled, sparse = FastMattingRefine(load_network(None)), matter(fast=True).network
    assert isinstance(sparse, FastMattingRefine)
    with patch.object(sparse, "_refine", side_effect=AssertionError("tiles")):
        _check_patches(tiled, sparse, src, bgr, scale)
        with patch("model.sparse._PATCHES", 100):  # a few rows at a time
            _check_patches(tiled, sparse, src, bgr, scale)


def _check_patches(tiled, sparse, src, bgr, scale):
    corners = torch.zeros(2, 1, 32, 24)
    corners[0, 0, ::31, ::23], corners[1, 0, 0], corners[1, 0, :, -1] = 1, 1, 1
    some = torch.rand(corners.shape, generator=torch.Generator().manual_seed(0)) > 0.7
    for name, chosen in {"corners": corners, "some": some.float(), "none": 0 * corners}.items():
        for network in (tiled, sparse):
            network.choose = lambda *_, chosen=chosen: chosen
        (got, *_), (wanted, *_) = (network(src, bgr, scale) for network in (sparse, tiled))
        torch.testing.assert_close(got, wanted, rtol=0, atol=2e-3, msg=name)  # levels of 255
    first = sparse(src, bgr, scale).detail
    sparse.choose = lambda *_: some.float()
    assert (sparse(src, bgr, scale).detail - first).abs().max() > 1, "patches are refined"


def test_a_convolution_reads_the_difference():
    conv = torch.nn.Conv2d(8, 4, 3, padding=1)
    other, src, bgr = torch.rand(2, 2, 9, 9), *torch.rand(2, 2, 3, 9, 9)
    expected = conv(torch.cat([other, src, bgr], dim=1))
    read_difference(conv)
    found = conv(torch.cat([other, src - bgr, bgr], dim=1))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_few_pixels_are_those_of_the_whole(frames, plate):
    for fast in (True, False):
        matte = matter(fast=fast)(frames[:, :, 200:328, 400:528], plate[:, :, 200:328, 400:528])
        for i in range(len(frames)):
            pha, fgr = matte.sparse(i, 3)
            assert torch.equal(pha, matte.pha[i, :, ::3, ::3])
            assert torch.equal(fgr, matte.fgr[i, :, ::3, ::3])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_within_what_the_eye_sees(frames, plate, precision):
    exact = matter(fast=True)(frames[:1], plate)
    near = matter(fast=True, precision=precision)(frames[:1], plate)
    difference = (exact.pha - near.pha).abs().flatten() * 255
    assert 0 < difference.mean() <= 0.5
    assert np.quantile(difference.numpy(), 0.999) <= 8


def test_what_the_fast_form_cannot_do_is_done_by_the_plain_one(frames, plate):
    class Lacking(MattingRefine):
        pass

    told: list[str] = []
    network = load_network(None)
    careful = Predictor(network, CPU, precision="fp32", warn=told.append)

    def lacking(src, bgr):
        raise NotImplementedError("'index_select' is not implemented for 'Byte'\nMore.")

    careful.network.forward = lacking
    src, bgr = frames[:1, :, 200:328, 400:528], plate[:, :, 200:328, 400:528]
    got = careful(src, bgr)
    assert careful.path == "plain" and len(told) == 1 and "'Byte'" in told[0]
    wanted = matter(fast=False)(src, bgr)
    assert torch.equal(got.pha, wanted.pha)
    network.__class__ = Lacking
    assert Predictor(network, CPU, warn=pytest.fail).path == "plain", (
        "a subclass may do as it likes"
    )


def test_a_packed_convolution_takes_any_shape_in_turn():
    if not can_pack(torch.float32):
        pytest.skip("convolutions are not packed here")
    conv = torch.nn.Conv2d(16, 32, 3, padding=1)
    packed = PackedConv(conv)
    with torch.inference_mode():
        for height, width in [(4, 5), (40, 60), (4, 5), (9, 16), (40, 61), (33, 7), (40, 60)]:
            x = torch.randn(1, 16, height, width).contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(packed(x), conv(x), rtol=1e-4, atol=1e-5)
    assert len(packed._packed) <= 3, "shapes share their weights"
