"""MobileNetV2 as a feature pyramid for a source and plate pair."""

from torch import Tensor, nn
from torchvision.models import MobileNetV2


class MobileNetV2Encoder(MobileNetV2):
    """A torchvision MobileNetV2 without its classifier, dilated to stay at 1/16."""

    #: Channels at 1/16, 1/8, 1/4, 1/2 and 1.
    feature_channels = (320, 32, 24, 16, 6)

    def __init__(self) -> None:
        super().__init__()
        del self.classifier
        self.features: nn.Sequential
        self.features[0][0] = nn.Conv2d(6, 32, kernel_size=3, stride=2, padding=1, bias=False)
        self.features = self.features[:-1]  # without the 1x1 convolution to 1280 channels
        self._depthwise(14).stride = (1, 1)
        for block in (15, 16, 17):
            self._depthwise(block).dilation = (2, 2)
            self._depthwise(block).padding = (2, 2)

    def _depthwise(self, block: int) -> nn.Conv2d:
        layer = self.get_submodule(f"features.{block}.conv.1.0")
        assert isinstance(layer, nn.Conv2d)
        return layer

    def forward(self, pair: Tensor) -> list[Tensor]:
        """Encode ``pair`` (B, 6, H, W): features at 1/16, 1/8, 1/4, 1/2, and ``pair`` itself."""
        half = self.features[:2](pair)
        quarter = self.features[2:4](half)
        eighth = self.features[4:7](quarter)
        sixteenth = self.features[7:](eighth)
        return [sixteenth, eighth, quarter, half, pair]
