"""Transfers: batches from the host to the device, frames back."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from plate import warp_plates

from .loader import FrameBatch

#: A moment in time; on CUDA, which works asynchronously, an event on the device.
Moment = float | torch.cuda.Event


class DeviceBatch(NamedTuple):
    """A batch on the device: each (B, 3, H, W), or (1, 3, H, W) for a still.

    ``src`` and ``bgr`` are integers, but a warped or matched plate is float32 in [0, 1], and so is
    ``target``. ``extended`` is as in a :class:`FrameBatch`. ``pha``, the alpha of the clip, is
    (B, 1, H, W), float32 in [0, 1]. Where it is 0, ``src`` shows the plate. So are the mattes
    ``garbage`` and ``core``, or (1, 1, H, W).
    """

    src: Tensor
    bgr: Tensor
    target: Tensor | None
    extended: Tensor | None
    pha: Tensor | None
    garbage: Tensor | None
    core: Tensor | None


class DeviceFeed:
    """Sends batches to a device, and fits their plates there.

    A plate or target that stays the same is sent once. On CUDA, batches are copied on a stream of
    their own, while the device works on the batch before.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._sent: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, batch: FrameBatch) -> DeviceBatch:
        is_fitted = batch.homography is not None or batch.colour is not None
        bgr = self._send_once("bgr", batch.bgr, _to_float if is_fitted else lambda x: x)
        if batch.homography is not None:
            bgr = warp_plates(bgr, batch.homography)
        if batch.colour is not None:
            bgr = _recoloured(bgr, batch.colour.to(self.device, torch.float32, non_blocking=True))
        target = None
        if batch.target is not None:
            target = self._send_once("target", batch.target, _to_float)
        extended = self._send(batch.extended) if batch.extended is not None else None
        src, pha = self._send(batch.src), None
        if batch.pha is not None:
            pha = _to_float(self._send(batch.pha))
            src = _filled(src, bgr, pha)
        garbage, core = (
            None if levels is None else self._send_once(role, levels, _to_float)
            for role, levels in (("garbage", batch.garbage), ("core", batch.core))
        )
        return DeviceBatch(src, bgr, target, extended, pha, garbage, core)

    def _send_once(
        self, role: str, pixels: Tensor, convert: Callable[[Tensor], Tensor] = lambda x: x
    ) -> Tensor:
        host, sent = self._sent.get(role, (None, None))
        if sent is None or host is not pixels:
            sent = convert(self._send(pixels))
            self._sent[role] = pixels, sent
        return sent

    def _send(self, pixels: Tensor) -> Tensor:
        with torch.cuda.stream(self._stream):  # None changes nothing
            sent = pixels.to(self.device, non_blocking=True)
        if self._stream is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_stream(self._stream)
            sent.record_stream(here)  # its memory must not be reused before it was read
        return sent


def _recoloured(bgr: Tensor, colour: Tensor) -> Tensor:
    """Plates (1 or B, 3, H, W), float in [0, 1], with gain and offset (B, 2, 3): (B, 3, H, W)."""
    gain, offset = colour[..., None, None].unbind(1)
    return torch.addcmul(offset, bgr, gain).clamp_(0, 1)


def _filled(src: Tensor, bgr: Tensor, pha: Tensor) -> Tensor:
    """Frames with their plates where the clip hides everything, in the type of ``src``.

    Whatever is hidden there, black or another colour, would be foreground for the network, which
    then errs beside it, too.
    """
    plate = bgr if bgr.is_floating_point() else _to_float(bgr)
    levels = (plate * torch.iinfo(src.dtype).max).round_().int()
    filled = torch.where(pha > 0, src.int(), levels).to(src.dtype)  # there is no `where` of uint16
    return filled.contiguous(memory_format=torch.channels_last)


def _to_float(pixels: Tensor) -> Tensor:
    return pixels.float().div_(torch.iinfo(pixels.dtype).max)


class PendingTransfer:
    """Frames that are being copied to the host.

    On CUDA the copy is asynchronous: it waits for the kernels that make the frames, on a stream of
    its own and into page-locked memory, while the device goes on. Elsewhere it is done at once.

    Args:
        frames: Of any shape, on any device.
        stream: The stream to copy on; None where there are none.
    """

    def __init__(self, frames: Tensor, stream: torch.cuda.Stream | None):
        self._done: torch.cuda.Event | None = None
        if stream is None or frames.device.type != "cuda":
            self._frames = frames.cpu()
            return
        self._frames = torch.empty_like(frames, device="cpu", pin_memory=True)
        stream.wait_stream(torch.cuda.current_stream(frames.device))
        with torch.cuda.stream(stream):
            self._frames.copy_(frames, non_blocking=True)
        frames.record_stream(stream)  # their memory must not be reused before that
        self._done = stream.record_event()

    def wait(self) -> Tensor:
        """The frames, on the host."""
        if self._done is not None:
            self._done.synchronize()
        return self._frames


def now(device: torch.device) -> Moment:
    """This moment, after all work that the device was given so far."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def seconds_between(start: Moment, end: Moment) -> float:
    """Seconds from ``start`` to ``end``; waits for the latter."""
    if isinstance(start, float):
        assert isinstance(end, float)
        return end - start
    assert isinstance(end, torch.cuda.Event)
    end.synchronize()
    return start.elapsed_time(end) / 1000
