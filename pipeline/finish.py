"""What is done to alpha after the network: a garbage matte, no specks, edges that don't flicker."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dataset import check_plate, is_opaque, read_image, resize
from model import to_float

from .settings import Settings

#: Change of the picture between two frames, in [0, 1], up to which a place stands still and from
#: which it moves; noise alone may raise the first, but no further than to the second value.
_STILL, _STILL_IN_NOISE = 2 / 255, 5 / 255
_MOVES = 2.5
#: Weight of the alpha before where nothing moves.
_HOLD = 0.75
#: Alpha above which pixels hang together, and how far a speck's fainter rim reaches, in pixels.
_JOINED, _RIM = 0.02, 4


def read_garbage_matte(
    path: str | Path, size: tuple[int, int], *, stretch: bool, warn: Callable[[str], None]
) -> Tensor:
    """Read a garbage matte: what alpha is multiplied by, (1, 1, H, W) in [0, 1].

    Args:
        path: An image; black is background for certain.
        size: (height, width) of the frames.
        stretch: Whether the user chose that size, so that an image of any shape is stretched to it.
        warn: Told that the image is resized.

    Raises:
        MediaError: The image cannot be read.
        ValueError: It has another shape than the frames, or transparent parts.
    """
    image = read_image(Path(path))
    if not is_opaque(Path(path)):
        raise ValueError(
            f"{path}: the garbage matte has transparent parts, which are neither black nor white; "
            "save it without alpha"
        )
    if not image.any():
        warn(f"{path}: the garbage matte is black everywhere, so that nothing is left of any frame")
    what = "the garbage matte"
    check_plate(str(path), image.shape[:2], size, stretch=stretch, warn=warn, what=what)
    levels = torch.from_numpy(resize(image, size))
    return levels.float().mean(dim=2)[None, None] / torch.iinfo(levels.dtype).max


def alpha_steps(
    settings: Settings, size: tuple[int, int], warn: Callable[[str], None]
) -> list[Callable[[Tensor, Tensor], Tensor]]:
    """What is done to alpha, in this order: each maps frames and their alpha to alpha.

    Raises:
        MediaError: The garbage matte cannot be read.
        ValueError: It has another shape than the frames.
    """
    steps: list[Callable[[Tensor, Tensor], Tensor]] = []
    if settings.garbage_matte is not None:
        stretch = settings.video_resize is not None
        matte = read_garbage_matte(settings.garbage_matte, size, stretch=stretch, warn=warn)
        steps.append(GarbageMatte(matte))
    if settings.speck:
        steps.append(Despeckler(settings.speck / 100 * size[0] * size[1]))
    if settings.smooth_alpha and not settings.preview_only:  # whose frames lie far apart
        steps.append(AlphaSmoother())
    return steps


class GarbageMatte:
    """Multiplies alpha by a picture (1, 1, H, W) in [0, 1], which goes to the device once."""

    def __init__(self, matte: Tensor):
        self._matte = matte

    def __call__(self, src: Tensor, pha: Tensor) -> Tensor:
        self._matte = self._matte.to(pha.device)
        return pha * self._matte


class Despeckler:
    """Removes bits of alpha that hang together with nothing larger.

    A bit is what is joined by pixels with an alpha above 0.02, across corners too. It counts as
    many pixels as its alphas sum up to. Between the limit and twice the limit it fades in, so that
    one whose size wavers does not blink.

    Args:
        limit: Pixels up to which a bit goes.
    """

    def __init__(self, limit: float):
        self._limit = limit

    def __call__(self, src: Tensor, pha: Tensor) -> Tensor:
        """Clean the alphas (B, 1, H, W), in [0, 1]; the frames play no part."""
        clean = np.stack([self._clean(frame[0]) for frame in pha.cpu().numpy()])
        return torch.from_numpy(clean)[:, None].to(pha.device)

    def _clean(self, pha: NDArray[np.float32]) -> NDArray[np.float32]:
        _, bits = cv2.connectedComponents((pha > _JOINED).astype(np.uint8))
        within = np.flatnonzero(bits)  # what is fainter stays, but for the rims of specks
        bits, levels = bits.ravel()[within], pha.ravel()[within]
        share = (np.bincount(bits, levels) / self._limit - 1).clip(0, 1)[bits]
        inner = np.ones(pha.shape, np.float32)
        np.put(inner, within, share)
        kept = cv2.erode(inner, np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8))
        np.put(kept, within, share)
        return pha * kept


class AlphaSmoother:
    """Averages alpha over time where the picture stands still, and lets it go where it moves.

    What moves is told by the frames themselves: their change since the frame before, averaged over
    5x5 pixels and spread to the neighbours. One frame of memory, on the device.
    """

    def __init__(self) -> None:
        self._src: Tensor | None = None
        self._pha: Tensor | None = None

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
        if self._src is not None and self._pha is not None:
            hold = _HOLD * stillness(src, self._src)
            pha = pha + hold * (self._pha - pha)
        self._src, self._pha = src.clone(), pha
        return pha


def stillness(src: Tensor, before: Tensor) -> Tensor:
    """How much each place stands still between two frames.

    Args:
        src: (1, 3, H, W) in [0, 1].
        before: Likewise, the frame before.

    Returns:
        (1, 1, H, W), 1 where nothing moves, 0 where something does.
    """
    change = (src - before).abs().amax(dim=1, keepdim=True)
    change = F.avg_pool2d(change, 5, 1, 2, count_include_pad=False)
    noise = change[..., ::8, ::8].median()  # of the scenery, which mostly stands still
    still = (1.5 * noise).clamp(_STILL, _STILL_IN_NOISE)
    moving = F.max_pool2d(change, 7, 1, 3)
    return ((_MOVES * still - moving) / ((_MOVES - 1) * still)).clamp(0, 1)
