"""What each kind of output shows, as pure functions of a prediction."""

from torch import Tensor
from torch.nn import functional as F


def over(pha: Tensor, fgr: Tensor, target: Tensor) -> Tensor:
    """The subject before another background: ``fgr * pha + target * (1 - pha)``.

    Args:
        pha: (B, 1, H, W) in [0, 1].
        fgr: (B, 3, H, W) in [0, 1].
        target: (B or 1, 3, H, W) in [0, 1].

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    return target + pha * (fgr - target)


def error_map(err: Tensor, size: tuple[int, int]) -> Tensor:
    """The predicted error (B, 1, h, w), resized bilinearly to (height, width)."""
    return F.interpolate(err, size, mode="bilinear", align_corners=False)


def refined_map(ref: Tensor, size: tuple[int, int]) -> Tensor:
    """The refined patches (B, 1, h, w), resized to (height, width) without smoothing."""
    return F.interpolate(ref, size, mode="nearest")
