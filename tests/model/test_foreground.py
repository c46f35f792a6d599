"""The estimate of the foreground where alpha is partial."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from media import to_linear
from model import EstimatedPrediction, Prediction
from model.cells import Cells, enlarged, halved, scaled
from writers import composer
from writers.compose import over
from writers.quantize import to_levels

HEIGHT, WIDTH = 118, 150
SUBJECT = torch.tensor([0.75, 0.3, 0.2])


def plate(height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """A background with detail, (3, H, W) in [0, 1], unlike the subject."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    wave = 0.5 + 0.25 * torch.sin(0.7 * x) * torch.sin(0.5 * y)
    return torch.stack([0.3 * wave, 0.6 * wave, wave])


def disc(height: int = HEIGHT, width: int = WIDTH, *, soft: float = 8) -> torch.Tensor:
    """Alpha (1, 1, H, W) of a disc with a soft edge."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    far = torch.hypot(y - height / 2, x - width / 2)
    return ((0.3 * width - far) / soft + 0.5).clamp(0, 1)[None, None]


def shot(pha: torch.Tensor, bgr: torch.Tensor) -> torch.Tensor:
    """Frames (B, 3, H, W), uint8 over channels-last memory, of the subject before ``bgr``."""
    src = pha * SUBJECT.view(3, 1, 1) + (1 - pha) * bgr
    levels = src.mul(255).round().byte()
    return levels.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def estimated(src, bgr, pha) -> EstimatedPrediction:
    """With a network whose foreground is the frame itself, and that expects no error."""
    seen = scaled(src).clamp(0, 1)
    padded = tuple(-(-side // 4) * 4 for side in pha.shape[2:])
    err = torch.zeros(len(pha), 1, padded[0] // 4, padded[1] // 4)
    return EstimatedPrediction(Prediction(pha, seen, err, err, padded), src, bgr)


def error(found: torch.Tensor, pha: torch.Tensor) -> float:
    """Mean error of the subject's colour in levels, where alpha is partial."""
    where = ((pha > 0.1) & (pha < 0.98))[0, 0]
    return float((found[0] - SUBJECT.view(3, 1, 1)).abs().mean(0)[where].mean() * 255)


def test_the_old_background_goes_where_the_plate_is_right():
    pha, bgr = disc(), plate()
    src = shot(pha, bgr)
    found = estimated(src, bgr[None], pha).fgr
    assert error(found, pha) < 10 < 35 < error(src / 255, pha)


@pytest.mark.parametrize("off", [0.1, -0.1])
def test_a_wrong_alpha_does_little_harm(off):
    true, bgr = disc(), plate()
    pha = torch.where((true > 0) & (true < 1), (true + off).clamp(0.02, 0.99), true)
    assert error(estimated(shot(true, bgr), bgr[None], pha).fgr, true) < 14


def test_a_plate_that_shows_something_else_is_not_trusted():
    pha, bgr = disc(), plate()
    src = shot(pha, bgr)
    wrong = plate().flip(0, 1, 2)
    exact = (src / 255 - (1 - pha) * wrong) / pha.clamp(min=0.01)
    found = estimated(src, wrong[None], pha).fgr
    right = estimated(src, plate()[None], pha).fgr
    assert error(right, pha) < error(found, pha) < 13 < 25 < error(exact.clamp(0, 1), pha)


def test_a_shadow_on_the_background_is_taken_into_account():
    pha, bgr = disc(), plate()
    light = torch.linspace(0.5, 1, WIDTH)
    assert error(estimated(shot(pha, bgr * light), bgr[None], pha).fgr, pha) < 10


def test_opaque_pixels_are_those_of_the_frame():
    pha, bgr = disc(), plate()
    src = shot(pha, bgr)
    found = estimated(src, bgr[None], pha)
    opaque = (pha == 1).expand_as(src)
    assert torch.equal(found.cut_out(8)[:, :3][opaque], src[opaque])
    assert torch.equal(found.fgr[opaque], src[opaque].float() * (1 / 255))


def test_values_above_white_stay():
    pha, bgr = disc(), plate()
    src = shot(pha, bgr).float() / 255
    src[..., 50:60, 70:80] = 4.0
    found = estimated(src, bgr[None], pha).fgr
    opaque = (pha == 1).expand_as(src)
    assert torch.equal(found[opaque], src[opaque])
    assert found.max() == 4.0 and torch.isfinite(found).all()


def test_the_colours_go_on_where_alpha_is_0():
    pha, bgr = disc(), plate()
    found = estimated(shot(pha, bgr), bgr[None], pha)
    rim = (pha == 0) & (disc(soft=16) > 0)
    assert (found.fgr - SUBJECT.view(3, 1, 1)).abs().mean(1, keepdim=True)[rim].mean() < 0.2
    cut = found.cut_out(8)
    assert not cut[:, :3][(pha == 0).expand(-1, 3, -1, -1)].any()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (17, 129), (66, 63), (130, 128)])
def test_any_size(size):
    generator = torch.Generator().manual_seed(size[0])
    pha = torch.rand(1, 1, *size, generator=generator).mul(1.4).sub(0.2).clamp(0, 1)
    bgr = plate(*size)
    found = estimated(shot(pha, bgr), bgr[None], pha)
    assert found.fgr.shape == (1, 3, *size) and found.cut_out(8).shape == (1, 4, *size)
    assert found.fgr.min() >= 0 and found.fgr.max() <= 1


@pytest.mark.parametrize("value", [0.0, 0.005, 0.5, 1.0])
def test_any_alpha(value):
    pha, bgr = torch.full((1, 1, 40, 50), value), plate(40, 50)
    src = shot(pha, bgr)
    found = estimated(src, bgr[None], pha)
    assert torch.isfinite(found.fgr).all()
    if value == 1:
        assert torch.equal(found.cut_out(8)[:, :3], src)
    if value == 0:
        assert not found.cut_out(8).any()


def test_frames_of_a_batch_are_as_alone():
    pha = torch.cat([disc(soft=soft) for soft in (3, 8, 20)])
    bgr = plate()[None]
    src = shot(pha, bgr)
    together = estimated(src, bgr, pha)
    for i in range(3):
        alone = estimated(src[i : i + 1], bgr, pha[i : i + 1])
        assert torch.equal(together.fgr[i : i + 1], alone.fgr)
        assert torch.equal(together.cut_out(8)[i : i + 1], alone.cut_out(8))


def test_8_bits_are_those_of_the_floats():
    pha, bgr = disc(), plate()
    found = estimated(shot(pha, bgr), bgr[None], pha)
    levels, wanted = found.cut_out(8).int(), to_levels(found.cut_out(16), 8).int()
    assert (levels - wanted).abs().max() <= 1
    assert torch.equal(levels[:, 3], wanted[:, 3])


def test_deep_frames_are_not_rounded_to_8_bits():
    pha, bgr = disc(), plate()
    deep = (shot(pha, bgr).int() * 257 + 100).clamp(max=65535).to(torch.uint16)
    found = to_levels(estimated(deep, bgr[None], pha).cut_out(16), 16)
    opaque = (pha == 1).expand(-1, 3, -1, -1)
    assert torch.equal(found[:, :3].int()[opaque], deep.int()[opaque])


def test_a_preview_shows_the_same():
    pha, bgr = disc(), plate()
    found = estimated(shot(pha, bgr), bgr[None], pha)
    alpha, fgr = found.sparse(0, 3)
    assert torch.equal(alpha, pha[0, :, ::3, ::3])
    assert torch.equal(fgr, found.fgr[0, :, ::3, ::3])


def test_pixels_of_cells_are_those_of_the_image():
    image = torch.arange(3 * 10 * 14).view(3, 10, 14).float()
    partial = torch.zeros(10, 14)
    partial[9, 13] = partial[1, 6] = 0.5
    cells = Cells.between(0, partial, 1)
    assert (cells.rows.tolist(), cells.columns.tolist()) == ([0, 2], [1, 3])
    pixels = cells.pixels(image).view(3, 2, 4, 4)
    assert torch.equal(pixels[:, 0], image[:, :4, 4:8])
    assert torch.equal(pixels[:, 1, :2, :2], image[:, 8:10, 12:14])
    assert torch.equal(pixels[:, 1, 3, 3], image[:, 9, 13])  # beyond the frame


def test_bilinear_steps_of_a_slope_are_the_slope():
    cells = Cells(128, 128, torch.tensor([7 * 32 + 9, 20 * 32 + 5]))
    slope = torch.arange(32.0).expand(1, 32, 32)
    for parts in (2, 4):
        steps = (np.arange(parts) + 0.5) / parts - 0.5
        found = cells.smooth(slope, parts).view(2, parts, parts)
        np.testing.assert_allclose(found[0], np.tile(9 + steps, (parts, 1)), atol=1e-5)
    halves = (torch.arange(64.0) / 2 - 0.25).expand(1, 64, 64)
    found = cells.smooth_quarters(halves).view(2, 4, 4)
    np.testing.assert_allclose(found[1], np.tile(5 + (np.arange(4) - 1.5) / 4, (4, 1)), atol=1e-5)


@pytest.mark.cuda
def test_cuda_finds_the_same():
    pha, bgr = disc(), plate()
    src = shot(pha, bgr)
    here = estimated(src, bgr[None], pha).fgr
    there = estimated(src, bgr[None], pha)
    matte = there.matte
    moved = Prediction(
        matte.pha.cuda(), matte.fgr.cuda(), matte.err.cuda(), None, matte.padded_size
    )
    found = EstimatedPrediction(moved, src.cuda(), bgr[None].cuda()).fgr.cpu()
    torch.testing.assert_close(found, here, rtol=0, atol=2e-3)


def test_opencv_and_pytorch_resize_alike():
    planes = torch.rand(2, 12, 20, generator=torch.Generator().manual_seed(1))
    functional = torch.nn.functional
    small = functional.avg_pool2d(planes[None], 2)[0]
    torch.testing.assert_close(halved(planes), small, rtol=0, atol=1e-6)
    large = functional.interpolate(planes[None], scale_factor=4.0, mode="bilinear")[0]
    torch.testing.assert_close(enlarged(planes, 4), large, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("depth", "linear", "premultiplied", "margin", "alpha"),
    [
        (16, False, False, 0, True),
        ("half", True, True, 0, True),
        ("float", True, False, 0, True),
        (8, False, False, 9, True),
        (8, False, True, 0, True),
        (16, False, False, 0, False),
    ],
)
def test_frames_composed_in_parts_are_those_composed_at_once(
    depth, linear, premultiplied, margin, alpha
):
    pha, bgr = torch.cat([disc(soft=soft) for soft in (3, 30)]), plate()
    pha[..., 40:80, :20] = 0  # the subject does not begin in the same column everywhere
    found = estimated(shot(pha, bgr), bgr[None], pha)
    compose = composer(
        "com",
        alpha=alpha,
        depth=depth,
        linear=linear,
        premultiplied=premultiplied,
        margin=margin,
    )
    target = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    got = compose(found, target)
    colours = found.fgr if alpha else over(pha, found.fgr, target)
    colours = to_linear(colours) if linear else colours
    if alpha:
        shown = F.max_pool2d((pha > 0).float(), 2 * margin + 1, 1, margin)
        colours = torch.cat([colours * (pha if premultiplied else shown), pha], dim=1)
    wanted = to_levels(colours, depth).double()
    # a margin may be wider than asked for
    counts = shown > 0 if alpha and margin else torch.ones_like(pha, dtype=torch.bool)
    most = 1 if depth in (8, 16) else 1e-3
    assert (got.double() - wanted)[counts.expand_as(wanted)].abs().max() <= most
    assert got.is_contiguous(memory_format=torch.channels_last)
