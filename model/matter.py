"""Running the network: device, precision, padding, and what to do when memory runs out."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .matting import MattingRefine

Precision = Literal["auto", "fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_DTYPES = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


#: How PyTorch says it on MPS and on the CPU, where it has no exception of its own for it.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory")


class DeviceError(RuntimeError):
    """A device that is not there or too small; the message says what to set instead."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the host, has too little memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(w in str(error) for w in _OUT_OF_MEMORY)


@dataclass(frozen=True)
class Prediction:
    """What the network says of a batch, float32 in [0, 1].

    Attributes:
        pha: (B, 1, H, W), alpha.
        fgr: (B, 3, H, W), the subject's colours, not multiplied by alpha.
        err: (B, 1, h, w), the predicted error of the coarse alpha.
        ref: (B, 1, h, w), 1 where the result was refined; None from a network without refiner.
        padded_size: (height, width) that ``err`` and ``ref`` stand for; the frame is its top left.
    """

    pha: Tensor
    fgr: Tensor
    err: Tensor
    ref: Tensor | None
    padded_size: tuple[int, int]

    def with_pha(self, pha: Tensor) -> "Prediction":
        """The same with another alpha."""
        return replace(self, pha=pha)


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; for ``auto`` the first there is of cuda, mps and cpu.

    Raises:
        ValueError: There is no such name.
        DeviceError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
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
        if (device.index or 0) < count:
            return device
        raise DeviceError(
            f"--device {name}: there are {count} CUDA devices here; try --device auto"
        )
    if device.type == "mps":
        if torch.backends.mps.is_available():
            return device
        raise DeviceError(f"--device {name}: there is no MPS device here; try --device auto")
    raise ValueError(f"--device {name}: expected auto, cpu, mps, cuda or cuda:N")


def exact_float32() -> AbstractContextManager:
    """On CUDA, convolutions of float32 in full precision; TF32 moves results by as much as 1e-2."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False, fp32_precision="ieee")


class Matter:
    """Predicts batches of frames of any size.

    Sizes that the network cannot take are padded with copies of the edge, and cropped afterwards. A
    batch that does not fit into the device's memory is halved, and so are those after it.

    Args:
        network: A network as :func:`load_network` gives.
        device: Where to run it.
        precision: Type of the convolutions.
        warn: Called with one sentence for each thing changed on the way.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        precision: Precision = "auto",
        warn: Callable[[str], None],
    ):
        self.device = device
        self.network = network.to(device)
        self.precision: Precision = "fp32" if precision == "auto" else precision
        self._dtype = _DTYPES[self.precision]
        self._warn = warn
        self._largest_batch: int | None = None

    def __call__(self, src: Tensor, bgr: Tensor) -> Prediction:
        """Matte a batch.

        Args:
            src: (B, 3, H, W), float32 in [0, 1].
            bgr: (B or 1, 3, H, W), likewise.

        Raises:
            DeviceError: Not even one frame fits into memory.
        """
        bgr = bgr.expand(len(src), -1, -1, -1)
        parts: list[Prediction] = []
        while (done := sum(len(part.pha) for part in parts)) < len(src):
            end = min(len(src), done + (self._largest_batch or len(src)))
            part = self._try(src[done:end], bgr[done:end])
            if part is not None:
                parts.append(part)
        return parts[0] if len(parts) == 1 else _concatenate(parts)

    def _try(self, src: Tensor, bgr: Tensor) -> Prediction | None:
        """Predict; None if something was changed so that another try is worth it."""
        try:
            return self._predict(src.to(self.device), bgr.to(self.device))
        except NotImplementedError as error:
            if self.device.type == "cpu":
                raise
            reason = str(error).partition("\n")[0]
            self._warn(f"going on with the CPU, as {self.device.type} lacks an operator: {reason}")
            self.device = torch.device("cpu")
            self.network = self.network.cpu()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._halve(len(src), error)
        return None

    def _halve(self, batch: int, error: RuntimeError) -> None:
        if batch == 1:
            raise DeviceError(
                f"out of memory on {self.device} with one frame at a time; try --precision fp16, "
                "a smaller --video-resize or another --device"
            ) from error
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._largest_batch = batch // 2
        self._warn(
            f"out of memory on {self.device} with {batch} frames at a time; "
            f"going on with {self._largest_batch} (--batch-size {self._largest_batch})"
        )

    def _predict(self, src: Tensor, bgr: Tensor) -> Prediction:
        height, width = src.shape[2:]
        src, bgr = self._pad(src), self._pad(bgr)
        with (
            torch.inference_mode(),
            exact_float32(),
            self._autocast(),
        ):
            output = self.network(src, bgr)
        refined = hasattr(output, "ref_sm")
        return Prediction(
            pha=output.pha[..., :height, :width].float(),
            fgr=output.fgr[..., :height, :width].float(),
            err=(output.err_sm if refined else output.err).float(),
            ref=output.ref_sm.float() if refined else None,
            padded_size=(src.shape[2], src.shape[3]),
        )

    def _autocast(self) -> AbstractContextManager:
        if self._dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self._dtype)

    def _pad(self, frames: Tensor) -> Tensor:
        if not isinstance(self.network, MattingRefine):
            return frames
        smallest = 4 * -(-1 // (4 * self.network.backbone_scale))  # one pixel for the backbone
        bottom, right = (
            max(int(smallest), -(-length // 4) * 4) - length for length in frames.shape[2:]
        )
        return F.pad(frames, (0, right, 0, bottom), "replicate") if bottom or right else frames


def _concatenate(parts: list[Prediction]) -> Prediction:
    refs = [part.ref for part in parts if part.ref is not None]
    return Prediction(
        pha=torch.cat([part.pha for part in parts]),
        fgr=torch.cat([part.fgr for part in parts]),
        err=torch.cat([part.err for part in parts]),
        ref=torch.cat(refs) if refs else None,
        padded_size=parts[0].padded_size,
    )
