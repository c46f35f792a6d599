"""MobileNetV2 (Sandler et al., 2018) as a feature pyramid for a source and plate pair."""

from torch import Tensor, nn

#: Expansion, channels, number of blocks, and stride of the first block, from the paper's table 2,
#: except that the last stride of 2 is 1 and the blocks after it are dilated instead.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 1),
    (6, 320, 1, 1),
)
#: Index of the first block with a dilated convolution.
_FIRST_DILATED_BLOCK = 15


class MobileNetV2Encoder(nn.Module):
    """MobileNetV2 without its last 1x1 convolution and classifier, dilated to stay at 1/16."""

    #: Channels at 1/16, 1/8, 1/4, 1/2 and 1.
    feature_channels = (320, 32, 24, 16, 6)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(_conv(6, 32, kernel_size=3, stride=2))
        below = 32
        for expansion, channels, blocks, first_stride in _STAGES:
            for block in range(blocks):
                stride = 1 if block else first_stride
                dilation = 2 if len(self.features) >= _FIRST_DILATED_BLOCK else 1
                self.features.append(_Block(below, channels, expansion, stride, dilation))
                below = channels

    def forward(self, pair: Tensor) -> list[Tensor]:
        """Encode ``pair`` (B, 6, H, W): features at 1/16, 1/8, 1/4, 1/2, and ``pair`` itself."""
        half = self.features[:2](pair)
        quarter = self.features[2:4](half)
        eighth = self.features[4:7](quarter)
        sixteenth = self.features[7:](eighth)
        return [sixteenth, eighth, quarter, half, pair]


class _Block(nn.Module):
    """An inverted residual: expansion, depthwise convolution, and projection."""

    def __init__(self, below: int, channels: int, expansion: int, stride: int, dilation: int):
        super().__init__()
        wide = below * expansion
        widen = [_conv(below, wide, kernel_size=1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            _conv(wide, wide, kernel_size=3, stride=stride, dilation=dilation, groups=wide),
            nn.Conv2d(wide, channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.is_residual = stride == 1 and below == channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.is_residual else self.conv(x)


def _conv(
    below: int,
    channels: int,
    *,
    kernel_size: int,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    padding = kernel_size // 2 * dilation
    conv = nn.Conv2d(below, channels, kernel_size, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))
