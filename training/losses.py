"""The losses of Lin et al. (2021), section 5: alpha, its gradients, foreground and error map."""

from kornia.filters import sobel
from torch import Tensor
from torch.nn import functional as F

from .network import Prediction


def matting_loss(
    predicted: Prediction,
    pha: Tensor,
    fgr: Tensor,
    *,
    with_err: bool,
    weight: Tensor | float = 1.0,
) -> Tensor:
    """The loss of a prediction: a scalar.

    The sum of: L1 on alpha; L1 on the Sobel gradients of alpha, weighted 5 because they are small;
    L1 on the foreground where alpha > 0.01, weighted 0.5; the squared error of the error map.

    Args:
        predicted: The prediction.
        pha: (B, 1, H, W) in [0, 1], the true alpha.
        fgr: (B, 3, H, W) in [0, 1], the true foreground.
        with_err: Include the error map; the refined result has none of its own.
        weight: (B, 1, H, W), the weight of each pixel of alpha and foreground.
    """
    loss = (weight * (predicted.pha - pha).abs()).mean()
    loss = loss + 5 * (weight * (sobel(predicted.pha) - sobel(pha)).abs()).mean()
    seen = (pha > 0.01).float()
    loss = loss + 0.5 * (weight * seen * (predicted.fgr - fgr).abs()).mean()
    if with_err:
        wrong = (predicted.pha.detach() - pha).abs()
        loss = loss + F.mse_loss(predicted.err, wrong)
    return loss


def excess_detail(pha: Tensor, true: Tensor) -> Tensor:
    """By how much alpha differs from the pixels around it more than the truth does: (B, 1, H, W).

    Detail is the second difference along rows plus that along columns, over 4: of a single pixel
    of 1 among zeros it is 1, of a straight edge 1/4. What the truth has of it, with the same sign,
    is free; there is no reward for it. Such pixels are dots in a matte, and seams between the
    refiner's patches.

    Args:
        pha: (B, 1, H, W) in [0, 1], the prediction.
        true: (B, 1, H, W) in [0, 1], the true alpha.
    """
    found, real = _detail(pha), _detail(true)
    return (found - real.clamp(min=0)).relu() + (real.clamp(max=0) - found).relu()


def _detail(x: Tensor) -> Tensor:
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    middle = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return middle - around / 4
