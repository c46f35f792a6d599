"""Devices: choice of a device, its fastest precision, and detection of out-of-memory errors."""

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
#: The whole message of oneDNN when there is no memory for the generated code of a convolution.
_NO_CODE_MEMORY = "could not create a primitive"


class DeviceError(MattingError, RuntimeError):
    """A device that is missing or has too little memory; the message says what to set instead."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or the host, has too little memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    matches = text == _NO_CODE_MEMORY or any(part in text for part in _OUT_OF_MEMORY)
    return isinstance(error, RuntimeError) and matches


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; for ``auto``, the first of cuda, mps and cpu that works.

    Raises:
        UsageError: ``name`` is not the name of a supported device.
        DeviceError: This machine does not have the device, or PyTorch does not support it.
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
                f"--device {name}: this version of PyTorch does not compute on it, perhaps because "
                "the card is too old; try --device auto, or another version of PyTorch"
            )
        return device
    if device.type == "mps":
        if torch.backends.mps.is_available():
            return device
        raise DeviceError(f"--device {name}: there is no MPS device here; try --device auto")
    raise UsageError(f"--device {name}: expected auto, cpu, mps, cuda or cuda:N")


def _computes(device: torch.device) -> bool:
    """Whether PyTorch can compute on a device; it also lists cards that it was not built for."""
    try:
        return bool((torch.zeros(1, device=device) + 1).item() == 1)
    except RuntimeError:
        return False


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 convolutions on CUDA in full precision; TF32 changes results by up to 1e-2.

    At the end, the setting of the program is restored, whichever of PyTorch's interfaces set it.
    """
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before, convolutions.fp32_precision = convolutions.fp32_precision, "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def fastest_precision(device: torch.device) -> Precision:
    """The type with which a device computes convolutions fastest, without visible loss."""
    if device.type == "cuda":  # GTX 16 cards give NaN for float16 convolutions in some networks
        return "fp32" if "GTX 16" in torch.cuda.get_device_name(device) else "fp16"
    # PyTorch has no public functions for these.
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    if device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in tests):
        return "bf16"
    return "fp32"
