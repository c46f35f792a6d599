"""What is asked of a device, and what becomes of its settings and its memory."""

import weakref

import pytest
import torch
from torch import Tensor, nn

from model import BaseOutput, Predictor
from model.device import _computes, exact_float32, is_out_of_memory


@pytest.mark.parametrize("part", [torch.backends, torch.backends.cudnn, torch.backends.cudnn.conv])
def test_a_programs_own_precision_comes_back(part):
    convolutions, before = torch.backends.cudnn.conv, part.fp32_precision
    part.fp32_precision = "tf32"
    try:
        chosen = convolutions.fp32_precision
        with exact_float32():
            assert convolutions.fp32_precision == "ieee"
        assert convolutions.fp32_precision == chosen == "tf32"
    finally:
        part.fp32_precision = before


def test_the_older_settings_are_left_as_they_were():
    before = torch.backends.cudnn.allow_tf32
    with exact_float32():
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cudnn.allow_tf32 == before


def test_a_device_that_gives_no_results_is_told_from_one_that_does():
    assert _computes(torch.device("cpu")) and not _computes(torch.device("meta"))


@pytest.mark.parametrize(
    "text",
    [
        "GET was unable to find an engine to execute this computation",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_what_cuda_libraries_say_without_room_counts_as_out_of_memory(text):
    assert is_out_of_memory(RuntimeError(text))


class Greedy(nn.Module):
    """Finds room for one frame at a time."""

    def __init__(self):
        super().__init__()
        self.taken: weakref.ref[Tensor] | None = None

    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        if len(src) > 1:
            taken = torch.zeros(8)
            self.taken = weakref.ref(taken)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return BaseOutput(src[:, :1], src, src[:, :1], src[:, :1])


def test_what_a_batch_that_was_too_large_took_is_let_go_before_the_next_try():
    network, told = Greedy(), []

    def warn(message: str) -> None:
        assert network.taken is not None and network.taken() is None
        told.append(message)

    frames = torch.rand(2, 3, 8, 8)
    matte = Predictor(network, torch.device("cpu"), warn=warn)(frames, frames[:1])
    assert len(told) == 1 and torch.equal(matte.pha, frames[:, :1])
