"""The optimizers of a training run, and which weights each of them trains."""

from typing import Any

from torch import Tensor
from torch.optim import AdamW, Optimizer

from model import MattingBase, MattingRefine

from .muon import ConvolutionMuon, is_for_muon
from .recipe import Recipe


def build_optimizers(network: MattingBase, recipe: Recipe) -> dict[str, Optimizer]:
    """AdamW for all trained weights; or Muon for kernels that mix channels and AdamW for the rest.

    Each parameter group has a ``rate``, relative to the recipe's learning rate. Weights of the base
    that do not train are frozen here.

    Returns:
        ``optimizer`` (AdamW) and, if the recipe asks for it, ``muon``: the keys of the checkpoint.
    """
    adam, muon = [], []
    for group in _groups(network, recipe):
        for_muon = [x for x in group["params"] if recipe.muon and is_for_muon(network, x)]
        known = {id(x) for x in for_muon}
        adam.append({**group, "params": [x for x in group["params"] if id(x) not in known]})
        muon.append({**group, "params": for_muon})
    optimizers: dict[str, Optimizer] = {
        "optimizer": AdamW(adam, recipe.lr, weight_decay=1e-4, fused=True)
    }
    if recipe.muon:
        optimizers["muon"] = ConvolutionMuon(muon, recipe.lr)
    return optimizers


def _groups(network: MattingBase, recipe: Recipe) -> list[dict[str, Any]]:
    if not isinstance(network, MattingRefine):
        return [{"params": list(network.parameters()), "rate": 1.0}]
    fast = [*network.refiner.parameters(), *network.decoder.conv4.parameters()]
    known = {id(x) for x in fast}
    slow = [x for x in network.parameters() if id(x) not in known]
    if recipe.base_rate:
        return [{"params": fast, "rate": 1.0}, {"params": slow, "rate": recipe.base_rate}]
    for weight in slow:
        weight.requires_grad_(False)
    for weight in network.decoder.conv4.parameters():
        weight.register_hook(_mask_output_channels)
    return [{"params": fast, "rate": 1.0}]


def _mask_output_channels(gradient: Tensor) -> Tensor:
    """The gradient of the base's last layer, zero for its output channels."""
    gradient = gradient.clone()
    gradient[:5] = 0
    return gradient
