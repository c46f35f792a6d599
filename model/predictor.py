"""Runs the network on batches of frames: padding, precision, and fallbacks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from media import Warn

from .device import DeviceError, exact_float32, fastest_precision, is_out_of_memory
from .fast import FastMattingBase, FastMattingRefine, FastOutput, to_float
from .matting import MattingBase, MattingRefine
from .names import Precision
from .packed import can_pack, pack
from .prediction import DetailPrediction, Prediction, concatenate

Result = TypeVar("Result")

_DTYPES = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


class Predictor:
    """Predicts batches of frames of any size.

    Frames are padded with copies of the edge to a size that the network supports, and results are
    cropped. A batch that does not fit into the device's memory is halved, and so are all later
    ones. On a CPU, several threads may call it at once.

    Args:
        network: A network of :func:`load_network`, or any other that maps ``src`` and ``bgr`` to a
            :class:`BaseOutput` or :class:`RefineOutput`.
        device: The device to run on.
        precision: Type of the convolutions.
        fast: Run the fast form of the network if it has one.
        warn: Called with one sentence for each fallback.

    Attributes:
        precision: The type in use.
        path: ``fast`` for the fast form of the network, ``plain`` for the network itself.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        precision: Precision = "auto",
        fast: bool = True,
        warn: Warn,
    ):
        self.device = device
        self.precision = fastest_precision(device) if precision == "auto" else precision
        self.plain = network.eval()
        self._warn = warn
        self._largest_batch: int | None = None
        # The last plate for a network, and the plate as the network's input.
        self._plate: tuple[nn.Module, Tensor, Tensor] | None = None
        self._fallback_lock = Lock()
        self._use(fast and device.type in ("cpu", "cuda"))

    def _use(self, fast: bool) -> None:
        """Choose the form of the network and move it to the device."""
        self.network = self.plain
        if fast and type(self.plain) is MattingRefine:
            on_cpu = self.device.type == "cpu"
            self.network = FastMattingRefine(self.plain, self._dtype, sparse=on_cpu)
        elif fast and type(self.plain) is MattingBase:
            self.network = FastMattingBase(self.plain, self._dtype)
        self.path = "plain" if self.network is self.plain else "fast"
        self.network.to(self.device)
        if self.path == "fast" and self.device.type == "cpu" and can_pack(self._dtype):
            pack(self.network)

    @property
    def _dtype(self) -> torch.dtype:
        return _DTYPES[self.precision]

    def __call__(
        self, src: Tensor, bgr: Tensor, scale: float | None = None
    ) -> Prediction | DetailPrediction:
        """Matte a batch.

        Args:
            src: (B, 3, H, W): uint8, uint16, or float in [0, 1].
            bgr: (B or 1, 3, H, W), of the same types. Calls with the same tensor are faster.
            scale: Used in place of the backbone scale of a :class:`MattingRefine`.

        Raises:
            DeviceError: One frame alone does not fit into memory.
        """
        parts: list[Prediction | DetailPrediction] = []
        done = 0
        while done < len(src):
            end = min(len(src), done + (self._largest_batch or len(src)))
            plates = bgr if len(bgr) == 1 else bgr[done:end]
            part = self._try(self._predict, src[done:end], plates, scale)
            if part is not None:
                parts.append(part)
                done = end
        return parts[0] if len(parts) == 1 else concatenate(parts)

    def look(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse alpha and its predicted error, of frames at the size of the base's input.

        Args:
            src: (B, 3, h, w): uint8, or float in [0, 1].
            bgr: (B, 3, h, w), likewise.

        Returns:
            Each (B, 1, h, w), float32 in [0, 1].
        """
        while (found := self._try(self._look, src, bgr)) is None:
            pass
        return found

    def _try(
        self, predict: Callable[..., Result], src: Tensor, bgr: Tensor, *more: Any
    ) -> Result | None:
        """Predict; None after a fallback, with which to try again."""
        network = self.network
        try:
            return predict(network, src.to(self.device), bgr, *more)
        except NotImplementedError as error:
            with self._fallback_lock:
                if self.network is network:  # no other thread has fallen back in the meantime
                    self._fall_back(error)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            failed = error.with_traceback(None)  # the traceback keeps the tensors in memory
            self._halve(len(src), failed)
        return None

    def _fall_back(self, error: NotImplementedError) -> None:
        """Switch from the fast form to the plain one, or from the device to the CPU."""
        if self.path == "plain" and self.device.type == "cpu":
            raise error
        reason = str(error).partition("\n")[0]
        if self.path == "fast":
            self._warn(f"continuing without the fast form of the network: {reason}")
        else:
            name = self.device.type
            self._warn(f"continuing on the CPU, as {name} lacks an operator: {reason}")
            self.device = torch.device("cpu")
        self._plate = None
        self._use(fast=False)

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
            f"continuing with {self._largest_batch} (--batch-size {self._largest_batch})"
        )

    @torch.inference_mode()
    def _look(self, network: nn.Module, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(network, MattingBase | FastMattingBase)
        with self._precision_set(network is self.plain):
            pha, err = network.look(to_float(src), to_float(bgr.to(self.device)))
        return pha.float(), err.float()

    @torch.inference_mode()
    def _predict(
        self, network: nn.Module, src: Tensor, bgr: Tensor, scale: float | None
    ) -> Prediction | DetailPrediction:
        plain = network is self.plain
        height, width = src.shape[2:]
        plate = self._plate
        if plate is None or plate[0] is not network or plate[1] is not bgr:
            plate = self._plate = network, bgr, self._to_input(bgr.to(self.device), plain)
        frames, plates = self._to_input(src, plain), plate[2]
        size = frames.shape[2], frames.shape[3]
        if plain:
            plates = plates.expand_as(frames)
        with self._precision_set(plain):
            output = network(frames, plates, *([] if scale is None else [scale]))
        if isinstance(output, FastOutput):
            frames, detail = frames[..., :height, :width], output.detail[:, :height, :width]
            return DetailPrediction(frames, detail, output.err_sm, output.ref_sm, size)
        refined = hasattr(output, "ref_sm")
        return Prediction(
            pha=output.pha[..., :height, :width].float(),
            fgr=output.fgr[..., :height, :width].float(),
            err=(output.err_sm if refined else output.err).float(),
            ref=output.ref_sm.float() if refined else None,
            padded_size=size,
        )

    @contextmanager
    def _precision_set(self, plain: bool) -> Iterator[None]:
        with ExitStack() as stack:
            if self.device.type == "cuda":  # a setting of the whole process, not of a thread
                stack.enter_context(exact_float32())
            if plain and self._dtype is not torch.float32:
                stack.enter_context(torch.autocast(self.device.type, self._dtype))
            yield

    def _to_input(self, frames: Tensor, plain: bool) -> Tensor:
        """Convert and pad frames to a type and a size that the network supports."""
        if plain or frames.dtype != torch.uint8:  # few operators support uint16
            frames = to_float(frames)
        if not isinstance(self.plain, MattingRefine):
            return frames
        min_side = 4 * -(-1 // (4 * self.plain.backbone_scale))  # one pixel for the backbone
        rows, columns = (
            torch.arange(max(int(min_side), -(-length // 4) * 4), device=frames.device)
            for length in frames.shape[2:]
        )
        height, width = frames.shape[2:]
        if len(rows) > height:
            frames = frames.index_select(2, rows.clamp_(max=height - 1))
        if len(columns) > width:
            frames = frames.index_select(3, columns.clamp_(max=width - 1))
        return frames
