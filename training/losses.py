"""The losses of Lin et al. (2021), section 5: alpha, its gradients, foreground and error map."""

from kornia.filters import sobel
from torch import Tensor
from torch.nn import functional as F

from .network import Prediction


def matting_loss(predicted: Prediction, pha: Tensor, fgr: Tensor, *, with_err: bool) -> Tensor:
    """How far a prediction is from the truth: a scalar.

    L1 on alpha, L1 on the Sobel gradients of alpha (weighted 5, as they are small), L1 on the
    foreground where there is any (weighted 0.5), and the squared error of the error map.

    Args:
        predicted: The prediction.
        pha: (B, 1, H, W) in [0, 1], the true alpha.
        fgr: (B, 3, H, W) in [0, 1], the true foreground.
        with_err: Include the error map; the refined result has none of its own.
    """
    loss = F.l1_loss(predicted.pha, pha)
    loss = loss + 5 * F.l1_loss(sobel(predicted.pha), sobel(pha))
    seen = (pha > 0.01).float()
    loss = loss + 0.5 * (seen * (predicted.fgr - fgr)).abs().mean()
    if with_err:
        wrong = (predicted.pha.detach() - pha).abs()
        loss = loss + F.mse_loss(predicted.err, wrong)
    return loss
