"""Frames of 16 bits: nothing on the way from the source to a sink that holds them has fewer."""

import cv2
import footage
import numpy as np
import pytest
import torch
from runs import matte

from writers import ImageSequenceWriter, MemoryWriter, to_levels
from writers.quantize import to_host_levels


def test_levels_are_rounded_and_clamped_at_both_depths():
    frames = torch.tensor([-1, 0, 0.3, 0.5, 1, 2]).view(1, 1, 1, 6)
    assert to_levels(frames).flatten().tolist() == [0, 0, 76, 128, 255, 255]
    deep = to_levels(frames, 16)
    assert deep.dtype == torch.uint16
    assert deep.flatten().tolist() == [0, 0, 19660, 32768, 65535, 65535]


def test_8_bits_fill_the_range_of_16_and_16_are_not_cut_to_8():
    frames = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_levels(frames, 16).int(), frames.int() * 257)
    with pytest.raises(ValueError, match="uint16"):
        to_levels(frames.to(torch.uint16), 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_as_float32_does(dtype):
    frames = torch.rand(2, 3, 40, 50, generator=torch.Generator().manual_seed(0)).to(dtype)
    for depth in (8, 16):
        assert torch.equal(to_levels(frames, depth), to_levels(frames.float(), depth))


@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_kept_is_a_copy(depth):
    frames = torch.zeros(1, 1, 2, 2, dtype=torch.uint8 if depth == 8 else torch.uint16)
    kept = to_host_levels(frames, depth)
    frames.copy_(torch.ones(1, 1, 2, 2, dtype=torch.int32))
    assert not kept.int().any()


def test_a_png_keeps_every_level(tmp_path):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    frame = np.stack([levels, levels[::-1], levels.T, levels[:, ::-1]])
    with ImageSequenceWriter(tmp_path, "png", bit_depth=16) as writer:
        writer.add_batch(torch.from_numpy(frame)[None])
        writer.add_batch(torch.from_numpy(frame / 65535.0)[None])
    for number in range(2):
        read = cv2.imread(str(tmp_path / f"0000{number}.png"), cv2.IMREAD_UNCHANGED)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read[..., [2, 1, 0, 3]], frame.transpose(1, 2, 0))


def test_a_format_of_8_bits_takes_no_16(tmp_path):
    with pytest.raises(ValueError, match="jpg does not hold 16 bits"):
        ImageSequenceWriter(tmp_path, "jpg", bit_depth=16)


def ramp(folder, low: int, high: int):
    """Two frames of 16 bits whose levels rise from ``low`` to ``high``, with odd low bytes."""
    folder.mkdir()
    levels = np.linspace(low, high, 64 * 128).round().astype(np.uint16).reshape(64, 128)
    frame = np.stack([levels, levels // 2, levels // 3], axis=2)
    for number in range(2):
        cv2.imwrite(str(folder / f"{number}.png"), frame[..., ::-1])
    return frame


def test_a_source_of_16_bits_reaches_the_png_with_all_of_them(tmp_path):
    frame = ramp(tmp_path / "frames", 100, 65000)
    footage.make_plate(tmp_path / "plate.png", (64, 128))
    kinds = ("com", "pha", "fgr")
    matte(tmp_path, tmp_path / "frames", bit_depth=16, output_types=kinds)
    com, pha, fgr = (
        cv2.imread(str(tmp_path / f"out/{kind}/00001.png"), cv2.IMREAD_UNCHANGED) for kind in kinds
    )
    assert com.dtype == pha.dtype == fgr.dtype == np.uint16
    expected = 65535 - frame.astype(int)  # the network's foreground is the negative
    assert np.abs(fgr[..., ::-1] - expected).max() <= 1
    assert np.abs(com[..., 2::-1] - expected).max() <= 1
    assert np.abs(pha - frame[..., 0].astype(int)).max() <= 1
    np.testing.assert_array_equal(com[..., 3], pha)
    assert len(np.unique(pha)) > 8000


def test_sinks_of_a_program_get_the_depth_that_they_name(tmp_path):
    frame = ramp(tmp_path / "frames", 3, 40000)
    footage.make_plate(tmp_path / "plate.png", (64, 128))
    sinks = {"com": MemoryWriter(16), "pha": MemoryWriter()}
    matte(tmp_path, tmp_path / "frames", writers=sinks, output_dir=None)
    assert sinks["com"].frames.dtype == torch.uint16
    assert sinks["pha"].frames.dtype == torch.uint8
    alpha = sinks["com"].frames[0, 3].numpy().astype(int)
    assert np.abs(alpha - frame[..., 0]).max() <= 1


def test_8_bits_in_and_16_out_keep_what_the_network_says(folder):
    """The one pass over memory that rounds to 8 bits is not for deeper sinks."""
    sinks = {"com": MemoryWriter(16)}
    given = dict(model_checkpoint=folder / "half.pth", network=None, output_dir=None)
    matte(folder, folder / "clip.mp4", writers=sinks, precision="fp32", **given)
    alpha = sinks["com"].frames[:, 3].int()
    assert ((alpha - 32768).abs() <= 8).all(), "an alpha of 0.5, and not 128 of 255"
