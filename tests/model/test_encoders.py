"""The encoders and the ASPP are those of torchvision, weight for weight."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.segmentation import deeplabv3

from model.aspp import ASPP
from model.mobilenet import MobileNetV2Encoder
from model.resnet import ResNetEncoder


def mobilenet() -> tuple[nn.Module, nn.Module]:
    theirs = torchvision.models.MobileNetV2()
    theirs.features[0][0] = nn.Conv2d(6, 32, 3, 2, 1, bias=False)
    theirs.features[14].conv[1][0].stride = (1, 1)
    for block in (15, 16, 17):
        conv = theirs.features[block].conv[1][0]
        conv.dilation = conv.padding = (2, 2)
    theirs.features = theirs.features[:-1]
    return MobileNetV2Encoder(), theirs.features


def resnet(layers: tuple[int, int, int, int]) -> tuple[nn.Module, nn.Module]:
    bottleneck = torchvision.models.resnet.Bottleneck
    dilation = [False, False, True]
    theirs = torchvision.models.ResNet(
        bottleneck, list(layers), replace_stride_with_dilation=dilation
    )
    theirs.conv1 = nn.Conv2d(6, 64, 7, 2, 3, bias=False)
    theirs.avgpool = theirs.fc = nn.Identity()
    return ResNetEncoder(layers), theirs


@pytest.mark.parametrize("make", [mobilenet, lambda: resnet((3, 4, 6, 3))], ids=["mobile", "res"])
@torch.inference_mode()
def test_encoders_see_what_those_of_torchvision_see(make):
    ours, theirs = (x.eval() for x in make())
    inner = ours.features if hasattr(ours, "features") else ours
    inner.load_state_dict(theirs.state_dict())
    pair = torch.rand(2, 6, 70, 52)
    deepest = ours(pair)[0]
    assert torch.allclose(theirs(pair).view_as(deepest), deepest, atol=1e-4)


@torch.inference_mode()
def test_the_pyramid_pooling_is_that_of_torchvision():
    ours, theirs = ASPP(8, [3, 6, 9]).eval(), deeplabv3.ASPP(8, [3, 6, 9]).eval()
    ours.load_state_dict(theirs.state_dict())
    features = torch.rand(2, 8, 9, 14)
    assert torch.allclose(ours(features), theirs(features), atol=1e-6)
