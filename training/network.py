"""The network as the trainer runs it: in bfloat16, with clamps that pass gradients through."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from model import MattingBase, MattingRefine

Precision = Literal["bf16", "fp32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Prediction(NamedTuple):
    """The prediction of one training step.

    ``pha`` (B, 1, H, W), ``fgr`` (B, 3, H, W) and ``err`` (B, 1, H, W) are in [0, 1], float32.
    """

    pha: Tensor
    fgr: Tensor
    err: Tensor


def clamp(x: Tensor) -> Tensor:
    """Clamp to [0, 1], with the gradient of the identity.

    The plain clamp has no gradient outside its range, so that a pixel out of range stays wrong.
    """
    return x + (x.clamp(0, 1) - x).detach()


class Trainee(nn.Module):
    """Runs a network for training.

    Args:
        network: MattingBase, or MattingRefine, whose refiner is trained in its ``full`` mode.
    """

    def __init__(self, network: MattingBase):
        super().__init__()
        self.network = network

    def forward(self, src: Tensor, bgr: Tensor, refined: bool = True) -> list[Prediction]:
        """Predict the coarse result and, from a network with a refiner, the refined one.

        Args:
            src: (B, 3, H, W) in [0, 1], the frame.
            bgr: (B, 3, H, W) in [0, 1], the plate.
            refined: Whether to run the refiner.
        """
        network = self.network
        if not isinstance(network, MattingRefine):
            return [_coarse(network, src, bgr)[0]]
        src_sm = network._shrink(src)
        coarse, res, hid = _coarse(network, src_sm, network._shrink(bgr))
        if not refined:
            return [coarse]
        pha, err = (x.to(src.dtype) for x in (coarse.pha, coarse.err))
        pha, res, _ = network.refiner(src, bgr, pha, res, err, hid)
        return [
            coarse,
            Prediction(clamp(pha.float()), clamp(res.float() + src.float()), coarse.err),
        ]


def _coarse(network: MattingBase, src: Tensor, bgr: Tensor) -> tuple[Prediction, Tensor, Tensor]:
    deep, *skips = network.backbone(torch.cat([src, bgr], dim=1))
    decoded = network.decoder([network.aspp(deep), *skips])
    pha, res, err, hid = decoded.tensor_split([1, 4, 5], dim=1)
    pha, err, fgr = (clamp(x.float()) for x in (pha, err, res.float() + src.float()))
    return Prediction(pha, fgr, err), res, hid.relu()


def run(
    trainee: Trainee,
    src: Tensor,
    bgr: Tensor,
    *,
    precision: Precision = "bf16",
    refined: bool = True,
) -> list[Prediction]:
    """Run ``trainee`` on ``src`` and ``bgr`` (B, 3, H, W) in [0, 1]; see :meth:`Trainee.forward`.

    In bfloat16 the stored weights stay float32 and are cast here; normalisation keeps float32.
    Unlike autocast this does not convert to float32 at every resize, which costs a fifth of a CPU
    step. A CPU without bfloat16 instructions emulates them and is faster in float32.
    """
    weights: dict[str, Tensor] = dict(trainee.named_parameters())
    if not isinstance(trainee.network, MattingRefine):  # the hidden channels are unused
        last = "network.decoder.conv4."
        weights |= {name: x[:5] for name, x in weights.items() if name.startswith(last)}
    if precision == "bf16":
        src, bgr = src.bfloat16(), bgr.bfloat16()
        weights = {
            name: x.bfloat16() if x.dim() == 4 or "conv4" in name else x
            for name, x in weights.items()
        }
    return list(torch.func.functional_call(trainee, weights, (src, bgr, refined)))
