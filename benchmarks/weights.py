"""Networks to time: the built-in weights, and for other backbones random ones."""

from pathlib import Path
from typing import cast

import torch
from torch import nn

from model import Backbone, MattingRefine, default_sample_pixels, default_scale, load_network

_SEED = 7


def checkpoint(folder: Path, backbone: Backbone) -> Path | None:
    """The weights of a backbone: None (built-in) for mobilenetv2, random ones for others."""
    return None if backbone == "mobilenetv2" else random_checkpoint(folder, backbone)


def random_checkpoint(folder: Path, backbone: Backbone) -> Path:
    """A file of random weights from a fixed seed.

    The last layers are set so that the output looks like a matte: alpha is high where the frame is
    brighter than the plate, and so is the predicted error. The error is nowhere 0, so that as many
    patches are refined as are requested.
    """
    path = folder / f"{backbone}.pth"
    if not path.exists():
        torch.save(random_network(backbone).state_dict(), path)
    return path


def random_network(backbone: Backbone) -> MattingRefine:
    """The network of :func:`random_checkpoint`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = MattingRefine(backbone)
        _settle(network)
    with torch.no_grad():
        last = network.decoder.conv4  # its last six input channels are frame and plate
        last.weight[:5] = 0
        last.weight[0, -6:-3, 1, 1], last.weight[0, -3:, 1, 1] = 3.0, -3.0
        last.weight[4, -6:-3, 1, 1], last.weight[4, -3:, 1, 1] = 0.3, -0.3
        assert last.bias is not None
        last.bias[:5] = torch.tensor([-0.3, 0, 0, 0, 0.1])
        refined = network.refiner.conv4
        assert refined.bias is not None
        refined.weight.mul_(0.01)
        refined.bias.copy_(torch.tensor([0.5, 0, 0, 0]))
    return network


def _settle(network: MattingRefine) -> None:
    """Set the statistics of every normalisation from random frames."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    frames = torch.rand(2, 3, 256, 256)
    network.train()
    with torch.no_grad():
        network(frames, torch.rand(2, 3, 256, 256))
    network.eval()


def load(path: Path | None, backbone: Backbone, size: tuple[int, int]) -> MattingRefine:
    """The network with the default settings for frames of ``size`` (height, width)."""
    network = load_network(
        path,
        backbone=backbone,
        backbone_scale=default_scale(max(size)),
        refine_sample_pixels=default_sample_pixels(max(size)),
    )
    return cast(MattingRefine, network)
