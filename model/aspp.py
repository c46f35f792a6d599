"""Atrous spatial pyramid pooling (Chen et al., "Rethinking Atrous Convolution", 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: Channels of each branch, and of the result.
CHANNELS = 256


class ASPP(nn.Module):
    """Convolutions of several dilations and the global mean, concatenated and projected.

    Args:
        in_channels: Channels of the features.
        rates: Dilations of the 3x3 convolutions.
    """

    def __init__(self, in_channels: int, rates: Sequence[int]):
        super().__init__()
        pointwise = _branch(in_channels, kernel_size=1)
        dilated = [_branch(in_channels, kernel_size=3, dilation=r) for r in rates]
        self.convs = nn.ModuleList([pointwise, *dilated, _GlobalMean(in_channels)])
        projection = _branch(CHANNELS * len(self.convs), kernel_size=1)
        self.project = nn.Sequential(*projection, nn.Dropout(0.5))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``features`` (B, in_channels, H, W) to (B, 256, H, W)."""
        return self.project(torch.cat([conv(features) for conv in self.convs], dim=1))


class _GlobalMean(nn.Sequential):
    """The mean over all positions, repeated at every position."""

    def __init__(self, in_channels: int):
        super().__init__(nn.AdaptiveAvgPool2d(1), *_branch(in_channels, kernel_size=1))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features).expand(-1, -1, *features.shape[2:])


def _branch(in_channels: int, *, kernel_size: int, dilation: int = 1) -> nn.Sequential:
    padding = kernel_size // 2 * dilation
    conv = nn.Conv2d(
        in_channels, CHANNELS, kernel_size, padding=padding, dilation=dilation, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True))
