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
