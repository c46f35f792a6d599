"""ResNet-50 and ResNet-101 as feature pyramids for a source and plate pair."""

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet


class ResNetEncoder(ResNet):
    """A torchvision ResNet without its classifier, dilated to stay at 1/16.

    Args:
        layers: Number of bottlenecks in each of the four stages.
    """

    #: Channels at 1/16, 1/8, 1/4, 1/2 and 1.
    feature_channels = (2048, 512, 256, 64, 6)

    def __init__(self, layers: tuple[int, int, int, int]):
        super().__init__(
            Bottleneck, list(layers), replace_stride_with_dilation=[False, False, True]
        )
        self.conv1 = nn.Conv2d(6, 64, kernel_size=7, stride=2, padding=3, bias=False)
        del self.avgpool, self.fc

    def forward(self, pair: Tensor) -> list[Tensor]:
        """Encode ``pair`` (B, 6, H, W): features at 1/16, 1/8, 1/4, 1/2, and ``pair`` itself."""
        half = self.relu(self.bn1(self.conv1(pair)))
        quarter = self.layer1(self.maxpool(half))
        eighth = self.layer2(quarter)
        sixteenth = self.layer4(self.layer3(eighth))
        return [sixteenth, eighth, quarter, half, pair]
