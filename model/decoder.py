"""The decoder: upsamples features from 1/16 to the size of the input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Decoder(nn.Module):
    """Four steps, each of upsampling, concatenation with a skip feature and a 3x3 convolution.

    Args:
        feature_channels: Channels of the ASPP's output at 1/16 and of the encoder's features at
            1/8, 1/4, 1/2 and 1.
        out_channels: Channels after each of the four steps.
    """

    def __init__(self, feature_channels: Sequence[int], out_channels: Sequence[int]):
        super().__init__()
        deep, *skips = feature_channels
        out1, out2, out3, out4 = out_channels

        def conv3x3(below: int, skip: int, out: int, bias: bool) -> nn.Conv2d:
            return nn.Conv2d(below + skip, out, kernel_size=3, padding=1, bias=bias)

        self.conv1 = conv3x3(deep, skips[0], out1, bias=False)
        self.bn1 = nn.BatchNorm2d(out1)
        self.conv2 = conv3x3(out1, skips[1], out2, bias=False)
        self.bn2 = nn.BatchNorm2d(out2)
        self.conv3 = conv3x3(out2, skips[2], out3, bias=False)
        self.bn3 = nn.BatchNorm2d(out3)
        self.conv4 = conv3x3(out3, skips[3], out4, bias=True)
        self.relu: nn.Module = nn.ReLU(inplace=True)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode features at 1/16, 1/8, 1/4, 1/2 and 1: (B, out_channels[-1], H, W), unclamped."""
        sixteenth, eighth, quarter, half, full = features
        x = self.relu(self.bn1(self.conv1(self._join(sixteenth, eighth))))
        x = self.relu(self.bn2(self.conv2(self._join(x, quarter))))
        x = self.relu(self.bn3(self.conv3(self._join(x, half))))
        return self.conv4(self._join(x, full))

    def _join(self, below: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([self.enlarge(below, *skip.shape[2:]), skip], dim=1)

    @staticmethod
    def enlarge(x: Tensor, height: int, width: int) -> Tensor:
        """Resize (B, C, h, w) bilinearly."""
        return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
