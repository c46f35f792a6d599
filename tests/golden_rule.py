"""Weights and pictures that follow from a rule, so that neither has to be stored.

Every number comes from ``u(name, shape)``: values in [0, 1) hashed from a name and a flat index.
"""

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn


def u(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Float64 in [0, 1) of the given shape: SplitMix64 over the flat index, salted by the name."""
    with np.errstate(over="ignore"):
        z = np.arange(int(np.prod(shape)), dtype=np.uint64)
        z += np.uint64(zlib.crc32(name.encode()) << 32)
        z += np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)) / 2.0**53).reshape(shape)


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of one state dict entry."""
    v = u(key, shape)
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape)
    if key.endswith("running_mean"):
        return 0.2 * v - 0.1
    if key.endswith("running_var"):
        return 0.8 + 0.4 * v
    if key in ("decoder.conv4.weight", "refiner.conv4.weight"):
        return 0.35 * (2 * v - 1) / np.sqrt(np.prod(shape[1:]))
    if key == "decoder.conv4.bias":
        return np.array([0.35, 0, 0, 0, 0.5] + [0.1] * 32)
    if key == "refiner.conv4.bias":
        return np.array([0.5, 0, 0, 0])
    if len(shape) == 4:
        return (2 * v - 1) * np.sqrt(3) * np.sqrt(2 / np.prod(shape[1:]))
    if key.startswith("backbone.layer") and key.endswith("bn3.weight"):
        return 0.18 + 0.04 * v
    if key.endswith("weight"):
        return 0.9 + 0.2 * v
    return 0.2 * v - 0.1


def fill(network: nn.Module, decoder_conv4_bias: Mapping[str, float] | None = None) -> nn.Module:
    """Give a network the rule's weights, with some channels of ``decoder.conv4.bias`` replaced."""
    state = {
        key: torch.from_numpy(np.asarray(weight(key, tuple(value.shape)))).to(value.dtype)
        for key, value in network.state_dict().items()
    }
    for channel, bias in (decoder_conv4_bias or {}).items():
        state["decoder.conv4.bias"][int(channel)] = bias
    network.load_state_dict(state)
    return network.eval()


def image(name: str, batch: int, height: int, width: int) -> Tensor:
    """The picture called ``src`` or ``bgr``: (B, 3, H, W), float32 in [0, 1]."""
    waves = np.moveaxis(u(f"{name}/waves", (batch, 3, 4, 4)), 3, 0)
    fy, fx, phase, amplitude = waves[..., None, None]
    y = np.arange(height)[:, None] / height
    x = np.arange(width)[None, :] / width
    waves = (0.3 + amplitude) * np.sin(2 * np.pi * ((1 + 6 * fy) * y + (1 + 6 * fx) * x + phase))
    grain = u(f"{name}/grain", (batch, 3, height, width)) - 0.5
    picture = 0.5 + 0.1 * waves.sum(axis=2) + 0.1 * grain
    return torch.from_numpy(picture.clip(0, 1).astype(np.float32))
