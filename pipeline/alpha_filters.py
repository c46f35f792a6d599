"""Filters of alpha after the network: small components, smoothing over time."""

from collections.abc import Callable, Iterator
from itertools import count

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model import to_float
from plate import Averages

from .settings import Settings

#: Maps frames (B, 3, H, W), integers or float in [0, 1], and their alpha (B, 1, H, W) to alpha.
AlphaFilter = Callable[[Tensor, Tensor], Tensor]

#: Change of a pixel between two frames, in [0, 1], up to which it counts as still; noise may raise
#: the limit, up to the second value.
_STILL, _STILL_IN_NOISE = 2 / 255, 5 / 255
#: Multiple of that limit from which a pixel moves.
_MOVES = 2.5
#: Weight of the previous alpha where nothing moves.
_HOLD = 0.75
#: Alpha above which pixels belong to a component.
_COMPONENT_ALPHA = 0.02
#: Width of a component's faint rim, in pixels.
_RIM = 4


def alpha_filters(
    settings: Settings,
    size: tuple[int, int],
    places: Callable[[], Iterator[int]] = count,
) -> list[AlphaFilter]:
    """The filters that the settings ask for, in their order.

    Args:
        settings: Name them.
        size: (height, width) of the frames.
        places: Asked for the places of the frames in the clip when the first one comes.

    """
    filters: list[AlphaFilter] = []
    if settings.despeckle:
        filters.append(Despeckler(settings.despeckle / 100 * size[0] * size[1]))
    if settings.smooth_alpha and not settings.preview_only:  # whose frames lie far apart
        filters.append(AlphaSmoother(places))
    return filters


class Despeckler:
    """Removes small connected components of alpha.

    Pixels with an alpha above 0.02 are connected, diagonally too. The size of a component is the
    sum of its alpha. Components between the limit and twice the limit fade in, so that one whose
    size varies over time does not blink.

    Args:
        limit: Size in pixels up to which a component is removed.
    """

    def __init__(self, limit: float):
        self._limit = limit

    def __call__(self, src: Tensor, pha: Tensor) -> Tensor:
        """Clean the alphas (B, 1, H, W), in [0, 1]; the frames play no part."""
        clean = np.stack([self._clean(frame[0]) for frame in pha.cpu().numpy()])
        return torch.from_numpy(clean)[:, None].to(pha.device)

    def _clean(self, pha: NDArray[np.float32]) -> NDArray[np.float32]:
        _, labels = cv2.connectedComponents((pha > _COMPONENT_ALPHA).astype(np.uint8))
        within = np.flatnonzero(labels)  # fainter pixels stay, except in the rims of components
        labels, levels = labels.ravel()[within], pha.ravel()[within]
        share = (np.bincount(labels, levels) / self._limit - 1).clip(0, 1)[labels]
        inner = np.ones(pha.shape, np.float32)
        np.put(inner, within, share)
        kept = cv2.erode(inner, np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8))
        np.put(kept, within, share)
        return pha * kept


class AlphaSmoother:
    """Averages alpha over time where the frame is still.

    Motion is measured on the frames: the change since the previous frame, averaged over 5x5 pixels
    and spread to the neighbours. It keeps one frame and three alphas, on the device.

    Args:
        places: Asked for the places of the frames in the clip when the first one comes.
    """

    def __init__(self, places: Callable[[], Iterator[int]] = count) -> None:
        self._begin = places
        self._places: Iterator[int] | None = None
        self._src: Tensor | None = None
        self._alphas: Averages[Tensor] = Averages()

    def __call__(self, src: Tensor, pha: Tensor) -> Tensor:
        """Smooth the alphas of consecutive frames.

        Args:
            src: (B, 3, H, W), integers, or float in [0, 1].
            pha: (B, 1, H, W) in [0, 1].

        Returns:
            (B, 1, H, W) in [0, 1].
        """
        smooth = [self._next(to_float(src[i : i + 1]), pha[i : i + 1]) for i in range(len(src))]
        return torch.cat(smooth)

    def _next(self, src: Tensor, pha: Tensor) -> Tensor:
        if self._places is None:
            self._places = self._begin()
        self._alphas.step(next(self._places))
        running, hold = self._alphas.running, None
        if self._alphas.follows and self._src is not None:
            hold = _HOLD * stillness(src, self._src)
        for begun, previous in running.items():
            if hold is None or previous is None:
                running[begun] = pha
            else:
                running[begun] = pha + hold * (previous - pha)
        self._src = src.clone()
        smooth = self._alphas.current
        assert smooth is not None
        return smooth


def stillness(src: Tensor, before: Tensor) -> Tensor:
    """How still each pixel is between two frames.

    Args:
        src: (1, 3, H, W) in [0, 1].
        before: Likewise, the previous frame.

    Returns:
        (1, 1, H, W), 1 where nothing moves, 0 where something does.
    """
    change = (src - before).abs().amax(dim=1, keepdim=True)
    change = F.avg_pool2d(change, 5, 1, 2, count_include_pad=False)
    noise = change[..., ::8, ::8].median()  # of the background, which is mostly still
    still = (1.5 * noise).clamp(_STILL, _STILL_IN_NOISE)
    moving = F.max_pool2d(change, 7, 1, 3)
    return ((_MOVES * still - moving) / ((_MOVES - 1) * still)).clamp(0, 1)
