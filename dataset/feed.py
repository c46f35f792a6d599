"""From integer batches on the host to floats on the device."""

from typing import NamedTuple

import torch
from torch import Tensor

from .align import warp_plates
from .pairs import FrameBatch


class FloatBatch(NamedTuple):
    """A batch on the device, float32 in [0, 1]: each (B, 3, H, W), or (1, 3, H, W) for a still."""

    src: Tensor
    bgr: Tensor
    target: Tensor | None


class DeviceFeed:
    """Sends batches to a device; a plate or target that stays the same is sent once.

    Args:
        device: Where to.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._sent: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, batch: FrameBatch) -> FloatBatch:
        bgr = self._send_once("bgr", batch.bgr)
        if batch.homography is not None:
            bgr = warp_plates(bgr, batch.homography)
        if batch.colour is not None:
            gain, offset = batch.colour.to(self.device, torch.float32)[..., None, None].unbind(1)
            bgr = torch.addcmul(offset, bgr, gain).clamp_(0, 1)
        target = None if batch.target is None else self._send_once("target", batch.target)
        return FloatBatch(self._send(batch.src), bgr, target)

    def _send_once(self, role: str, pixels: Tensor) -> Tensor:
        host, sent = self._sent.get(role, (None, None))
        if sent is None or host is not pixels:
            sent = self._send(pixels)
            self._sent[role] = pixels, sent
        return sent

    def _send(self, pixels: Tensor) -> Tensor:
        """Move uint8 or uint16 pixels first, as they are smaller, and make them float there."""
        white = torch.iinfo(pixels.dtype).max
        return pixels.to(self.device, non_blocking=True).float().div_(white)
