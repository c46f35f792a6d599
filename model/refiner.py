"""The refiner: full-resolution detail where the coarse result is likely to be wrong."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from media import UsageError

from .names import REFINE_MODES, RefineMode
from .patches import (
    PatchIndex,
    cut_windows,
    patch_index,
    put_patches,
    sample_patches,
    threshold_patches,
)


class Refiner(nn.Module):
    """Refines the 4x4 patches of a frame that have the highest predicted error.

    Two convolutions process a window around each patch at 1/2 size, two more at full size. The
    margins of the windows (3 pixels at 1/2 size, 2 at full size) are consumed by the unpadded 3x3
    convolutions; with a kernel of 1 there are no margins.

    Args:
        mode: ``sampling`` refines a fixed number of patches, ``thresholding`` those above an error,
            ``full`` the whole frame.
        sample_pixels: Full-size pixels to refine in each frame (``sampling``).
        threshold: Error in [0, 1] above which a patch is refined (``thresholding``).
        kernel_size: 1 or 3.
        prevent_oversampling: Never refine patches whose predicted error is 0 (``sampling``).

    Raises:
        UsageError: The mode or the kernel size is none of these.
    """

    def __init__(
        self,
        mode: RefineMode = "sampling",
        sample_pixels: int = 80_000,
        threshold: float = 0.1,
        kernel_size: int = 3,
        prevent_oversampling: bool = True,
    ):
        super().__init__()
        if mode not in REFINE_MODES:
            raise UsageError(f"refine mode {mode!r} is none of {', '.join(REFINE_MODES)}")
        if kernel_size not in (1, 3):
            raise UsageError(f"refine kernel size {kernel_size} is neither 1 nor 3")
        self.mode = mode
        self.sample_pixels = sample_pixels
        self.threshold = threshold
        self.kernel_size = kernel_size
        self.prevent_oversampling = prevent_oversampling

        hid, pair, result = 32, 6, 4
        self.conv1 = nn.Conv2d(hid + result + pair, 24, kernel_size, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 16, kernel_size, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16 + pair, 12, kernel_size, bias=False)
        self.bn3 = nn.BatchNorm2d(12)
        self.conv4 = nn.Conv2d(12, result, kernel_size, bias=True)
        self.relu = nn.ReLU(inplace=True)

    def forward(
        self, src: Tensor, bgr: Tensor, pha: Tensor, res: Tensor, err: Tensor, hid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Refine a coarse result.

        Args:
            src: (B, 3, H, W) in [0, 1], the frame; H and W are multiples of 4.
            bgr: (B, 3, H, W) in [0, 1], the plate.
            pha: (B, 1, h, w) in [0, 1], the coarse alpha.
            res: (B, 3, h, w), the coarse foreground minus the source.
            err: (B, 1, h, w) in [0, 1], the predicted error of ``pha``.
            hid: (B, 32, h, w), the hidden features of the base.

        Returns:
            ``pha`` (B, 1, H, W) and ``res`` (B, 3, H, W), unclamped, and ``ref``
            (B, 1, H/4, W/4), 1 where a patch was refined.
        """
        coarse = torch.cat([hid, pha, res], dim=1)
        ref = self.choose(err, *src.shape[2:])
        if self.mode == "full":
            refined = self._refine_frames(src, bgr, coarse)
            return refined[:, :1], refined[:, 1:], ref

        result = resize(coarse[:, -4:], *src.shape[2:])
        index = patch_index(ref)
        if len(index[0]):
            put_patches(result, self._refine_patches(src, bgr, coarse, index), index)
        return result[:, :1], result[:, 1:], ref

    def choose(self, err: Tensor, height: int, width: int) -> Tensor:
        """Choose the patches to refine in frames of (height, width).

        Args:
            err: (B, 1, h, w) in [0, 1], the predicted error of the coarse alpha.
            height: Of the frames, a multiple of 4.
            width: Likewise.

        Returns:
            (B, 1, height / 4, width / 4), 1 where a patch is chosen and 0 elsewhere.
        """
        err = resize(err, height // 4, width // 4)
        if self.mode == "full":
            return torch.ones_like(err)
        if self.mode == "thresholding":
            return threshold_patches(err, self.threshold)
        return sample_patches(
            err, self.sample_pixels // 16, prevent_oversampling=self.prevent_oversampling
        )

    def _refine_patches(
        self, src: Tensor, bgr: Tensor, coarse: Tensor, index: PatchIndex
    ) -> Tensor:
        wide, narrow = (3, 2) if self.kernel_size == 3 else (0, 0)
        pair = torch.cat([src, bgr], dim=1)
        x = cut_windows(_context(coarse, pair), index, stride=2, margin=wide)
        x = self._first_half(x)  # 4x4 at 1/2
        x = F.interpolate(x, size=(4 + 2 * narrow,) * 2, mode="nearest")
        y = cut_windows(pair, index, stride=4, margin=narrow)
        return self._second_half(torch.cat([x, y], dim=1))  # 4x4 at full size

    def _refine_frames(self, src: Tensor, bgr: Tensor, coarse: Tensor) -> Tensor:
        wide, narrow = (3, 2) if self.kernel_size == 3 else (0, 0)
        pair = torch.cat([src, bgr], dim=1)
        x = self._first_half(F.pad(_context(coarse, pair), (wide,) * 4))
        y = F.pad(pair, (narrow,) * 4)
        x = F.interpolate(x, size=y.shape[2:], mode="nearest")
        return self._second_half(torch.cat([x, y], dim=1))

    def _first_half(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))

    def _second_half(self, x: Tensor) -> Tensor:
        return self.conv4(self.relu(self.bn3(self.conv3(x))))


def _context(coarse: Tensor, pair: Tensor) -> Tensor:
    """Input of the first half: (B, 42, H/2, W/2), ``coarse`` and ``pair`` at 1/2 size."""
    height, width = pair.shape[2] // 2, pair.shape[3] // 2
    return torch.cat([resize(coarse, height, width), resize(pair, height, width)], dim=1)


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, C, H, W) bilinearly."""
    if tuple(x.shape[2:]) == (height, width):
        return x
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
