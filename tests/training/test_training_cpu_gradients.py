"""Layers with faster gradients give the same results and the same gradients."""

import copy

import pytest
import torch

from model import MattingBase
from training.cpu_gradients import _Upsample2x, speed_up_gradients


@pytest.mark.parametrize("size", [(48, 64), (36, 50)])
def test_replaced_layers_give_the_same_results_and_gradients(size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    plain = MattingBase("mobilenetv2").eval().double()
    quick = copy.deepcopy(plain)
    speed_up_gradients(quick)
    changed = [
        a for a, b in zip(plain.modules(), quick.modules(), strict=True) if type(a) is not type(b)
    ]
    assert len(changed) == 1 + 3 + 3, "the decoder, three strided and three dilated convolutions"
    src, bgr = torch.rand(2, 1, 3, *size, dtype=torch.float64)
    results, gradients = [], []
    for network in (plain, quick):
        output = torch.cat(network(src, bgr), dim=1)
        weight = torch.linspace(0, 1, output.numel(), dtype=torch.float64).view_as(output)
        (output * weight).sum().backward()
        results.append(output.detach())
        gradients.append([x.grad for x in network.parameters()])
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_gradient_of_doubling_is_right() -> None:
    for size in ((5, 7), (1, 2)):
        x = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(_Upsample2x.apply, (x,))
