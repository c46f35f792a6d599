"""Chooses 4x4 patches of frames, cuts windows around them, and replaces the patches."""

import torch
from torch import Tensor
from torch.nn import functional as F

#: Indices of the chosen patches: frame, row and column on the 1/4-size grid, each (N,).
PatchIndex = tuple[Tensor, Tensor, Tensor]


def sample_patches(err: Tensor, count: int, *, prevent_oversampling: bool = True) -> Tensor:
    """Choose the patches with the highest predicted error.

    Args:
        err: (B, 1, H/4, W/4), the predicted error of each patch.
        count: Number of patches to choose in each frame; all of them if there are fewer.
        prevent_oversampling: Never choose patches whose error is 0.

    Returns:
        (B, 1, H/4, W/4), 1 where a patch is chosen and 0 elsewhere.
    """
    flat = err.flatten(1)
    highest, index = flat.topk(min(max(count, 0), flat.shape[1]), dim=1, sorted=False)
    chosen = (highest > 0).to(err.dtype) if prevent_oversampling else torch.ones_like(highest)
    return torch.zeros_like(flat).scatter_(1, index, chosen).view_as(err)


def threshold_patches(err: Tensor, threshold: float) -> Tensor:
    """Choose the patches whose error in ``err`` (B, 1, H/4, W/4) exceeds ``threshold``."""
    return (err > threshold).to(err.dtype)


def patch_index(chosen: Tensor) -> PatchIndex:
    """The indices of the patches marked in ``chosen`` (B, 1, H/4, W/4)."""
    frame, row, column = chosen.squeeze(1).nonzero(as_tuple=True)
    return frame, row, column


def cut_windows(x: Tensor, index: PatchIndex, *, stride: int, margin: int) -> Tensor:
    """Cut the window around each chosen patch.

    Args:
        x: (B, C, H/s, W/s) with s = 4 / ``stride``.
        index: The N chosen patches.
        stride: Side of a patch in ``x`` in pixels: 4 at full size, 2 at half size.
        margin: Pixels of the window on each side of the patch; zeros outside the frame.

    Returns:
        (N, C, stride + 2 * margin, stride + 2 * margin).
    """
    size = stride + 2 * margin
    windows = F.pad(x, (margin,) * 4).unfold(2, size, stride).unfold(3, size, stride)
    frame, row, column = index
    return windows.permute(0, 2, 3, 1, 4, 5)[frame, row, column]


def put_patches(x: Tensor, patches: Tensor, index: PatchIndex) -> Tensor:
    """Replace the chosen patches of ``x`` (B, C, H, W), in place, by ``patches`` (N, C, 4, 4)."""
    frame, row, column = index
    grid = x.unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).permute(0, 2, 4, 1, 3, 5)
    grid[frame, row, column] = patches.to(x.dtype)
    return x
