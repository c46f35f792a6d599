"""The Muon optimizer for convolutions: updates of equal length in all directions of a kernel."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from model import MattingBase


class ConvolutionMuon(torch.optim.Muon):
    """Muon (Jordan et al., 2024) on kernels as matrices, (outputs, height x width x inputs).

    Updates are scaled as in Liu et al. (2025), so that learning rates of AdamW apply.

    Args:
        groups: Parameter groups of an optimizer. Kernels are (outputs, inputs, height, width) in
            channels-last memory, which their matrices share.
        lr: The learning rate.

    Raises:
        ValueError: A kernel is not in channels-last memory.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float):
        self._kernels: list[tuple[nn.Parameter, Tensor]] = []
        groups = [{**group, "params": [*map(self._share, group["params"])]} for group in groups]
        super().__init__(groups, lr, weight_decay=1e-4, adjust_lr_fn="match_rms_adamw")
        self.register_step_pre_hook(self._read_gradients)

    def _share(self, kernel: nn.Parameter) -> Tensor:
        matrix = _matrix(kernel.detach())
        if matrix.data_ptr() != kernel.data_ptr():
            raise ValueError(f"kernel {tuple(kernel.shape)} is not in channels-last memory")
        self._kernels.append((kernel, matrix))
        return matrix

    def _read_gradients(self, *_: Any) -> None:
        for kernel, matrix in self._kernels:
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad)


def _matrix(kernel: Tensor) -> Tensor:
    return kernel.permute(0, 2, 3, 1).flatten(1)


def is_for_muon(network: MattingBase, weight: Tensor) -> bool:
    """Whether ``weight`` is a kernel that mixes channels, other than that of the base's last layer.

    AdamW is better at the rest: depthwise kernels, normalisation, and the output layer.
    """
    return weight.dim() == 4 and weight.shape[1] > 1 and weight is not network.decoder.conv4.weight
