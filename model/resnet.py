"""ResNet-50 and ResNet-101 (He et al., 2015) as feature pyramids for a source and plate pair."""

from torch import Tensor, nn


class ResNetEncoder(nn.Module):
    """A ResNet without its classifier, with dilations so that its last features are at 1/16.

    Args:
        layers: Number of bottlenecks in each of the four stages.
    """

    #: Channels at 1/16, 1/8, 1/4, 1/2 and 1.
    feature_channels = (2048, 512, 256, 64, 6)

    def __init__(self, layers: tuple[int, int, int, int]):
        super().__init__()
        self.conv1 = nn.Conv2d(6, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, layers[0])
        self.layer2 = _stage(256, 128, layers[1], stride=2)
        self.layer3 = _stage(512, 256, layers[2], stride=2)
        self.layer4 = _stage(1024, 512, layers[3], dilation=2)

    def forward(self, pair: Tensor) -> list[Tensor]:
        """Encode ``pair`` (B, 6, H, W): features at 1/16, 1/8, 1/4, 1/2, and ``pair`` itself."""
        half = self.relu(self.bn1(self.conv1(pair)))
        quarter = self.layer1(self.maxpool(half))
        eighth = self.layer2(quarter)
        sixteenth = self.layer4(self.layer3(eighth))
        return [sixteenth, eighth, quarter, half, pair]


class _Bottleneck(nn.Module):
    """Three convolutions, 1x1, 3x3 and 1x1 with four times the channels, and a shortcut."""

    def __init__(self, below: int, narrow: int, *, stride: int = 1, dilation: int = 1):
        super().__init__()
        wide = 4 * narrow
        self.conv1 = nn.Conv2d(below, narrow, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(
            narrow, narrow, 3, stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, wide, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if below != wide:
            shortcut = nn.Conv2d(below, wide, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(wide))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


def _stage(
    below: int, narrow: int, blocks: int, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Bottlenecks; the stride applies to the first one, the dilation to all others."""
    first = _Bottleneck(below, narrow, stride=stride)
    rest = [_Bottleneck(4 * narrow, narrow, dilation=dilation) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)
