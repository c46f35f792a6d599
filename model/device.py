"""Devices: which one to run on, what it computes fastest, and what it says when memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from media import MattingError, UsageError

from .names import Precision

#: Messages that mean out of memory where PyTorch raises a plain RuntimeError: on MPS, on the CPU,
#: and from cuDNN and cuBLAS.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "unable to find an engine",
)
#: The whole message of oneDNN when it finds no memory for the code of a convolution.
_NO_ROOM_FOR_CODE = "could not create a primitive"


class DeviceError(MattingError, RuntimeError):
    """A device that is missing or too small; the message says what to set instead."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the host, has too little memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    told = text == _NO_ROOM_FOR_CODE or any(words in text for words in _OUT_OF_MEMORY)
    return isinstance(error, RuntimeError) and told


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; for ``auto`` the first that works of cuda, mps and cpu.

    Raises:
        UsageError: There is no such name.
        DeviceError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available() and _computes(torch.device("cuda")):
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu":
        return device
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"--device {name}: there are {count} CUDA devices here; try --device auto"
            )
        if not _computes(device):
            raise DeviceError(
                f"--device {name}: this PyTorch does not compute on it, which may be too old a "
                "card; try --device auto, or another PyTorch"
            )
        return device
    if device.type == "mps":
        if torch.backends.mps.is_available():
            return device
        raise DeviceError(f"--device {name}: there is no MPS device here; try --device auto")
    raise UsageError(f"--device {name}: expected auto, cpu, mps, cuda or cuda:N")


def _computes(device: torch.device) -> bool:
    """Whether PyTorch was built for a device: it lists cards that it has no code for."""
    try:
        return bool((torch.zeros(1, device=device) + 1).item() == 1)
    except RuntimeError:
        return False


@contextmanager
def exact_float32() -> Iterator[None]:
    """On CUDA, convolutions of float32 in full precision; TF32 moves results by as much as 1e-2.

    Whatever a program chose for itself, by PyTorch's older settings or its newer ones, comes back.
    """
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before, convolutions.fp32_precision = convolutions.fp32_precision, "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def fastest_precision(device: torch.device) -> Precision:
    """The type of convolutions that a device computes fastest without visible loss."""
    if device.type == "cuda":  # those cards' float16 convolutions give NaN in some networks
        return "fp32" if "GTX 16" in torch.cuda.get_device_name(device) else "fp16"
    # PyTorch has no public question for these
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    if device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in asked):
        return "bf16"
    return "fp32"
