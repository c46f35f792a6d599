"""The region of interest: the network runs only where a frame shows more than its plate."""

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from media import UsageError
from model import (
    Box,
    DetailPrediction,
    MattingRefine,
    Prediction,
    Predictor,
    boxes_around,
    concatenate,
    place,
    to_float,
)
from plate import find_changes

from .settings import Settings

#: Longer side in pixels of the first look, and of that in large frames and of the difference; and
#: of the base's input, from which frames are large. Other sides find less: 32 divides these.
_SMALL_LOOK, _LARGE_LOOK, _LARGE_FROM = 96, 128, 320
#: Coarse alpha and predicted error from which something may be there.
_LOOK_ALPHA, _LOOK_ERROR = 0.02, 0.1
#: Share of a frame that may differ from the plate, in one piece, where the look sees nothing.
_DOUBTFUL_SHARE = 0.05
#: Share of a frame that may differ outside of the boxes for the plate to lie where it should.
_FITTING_SHARE = 0.02
#: Edges of boxes lie on a grid of so many pixels for each so many of the longer side: a coarse one
#: has boxes that stay the same for many frames, and few shapes.
_CELL, _CELL_SIDE = 32, 640
#: Pixels of the look around what was found: for hair, and for what the network sees around it.
_MARGIN = 1
#: Scales to choose from, relative to that of a whole frame.
_STEPS = (2.0, 1.75, 1.5, 1.25)
#: How many times the pixels of a whole frame the base may see, at the scale that is chosen.
_MAX_PRICE = 1.6


@dataclass(frozen=True)
class RegionCounts:
    """What was looked at.

    Attributes:
        frames: How many frames.
        share: Sum of the shares of them, each in [0, 1], that were looked at closely.
        scales: How many of those with a share had which backbone scale.
    """

    frames: int = 0
    share: float = 0.0
    scales: Counter[float] = field(default_factory=Counter)

    def __add__(self, other: "RegionCounts") -> "RegionCounts":
        scales = self.scales + other.scales
        return RegionCounts(self.frames + other.frames, self.share + other.share, scales)

    def report(self) -> dict[str, Any]:
        """The mean share, and the frames by their scale."""
        scales = {f"{scale:g}": count for scale, count in sorted(self.scales.items())}
        return {"share": round(self.share / max(1, self.frames), 4), "scales": scales}


def region_of(settings: Settings, predictor: Predictor) -> "RegionPredictor | None":
    """What mattes a region of each frame, if the settings ask for it.

    Raises:
        UsageError: The network cannot do it.
    """
    if settings.region == "full":
        return None
    network = predictor.plain
    if type(network) is not MattingRefine:
        raise UsageError("--region auto needs a network with a refiner (mattingrefine)")
    is_fixed = settings.model_backbone_scale not in (None, "auto")
    return RegionPredictor(predictor, scale=network.backbone_scale, fixed=is_fixed)


class RegionPredictor:
    """Mattes the parts of frames that show more than their plates.

    A first look finds them: the base network on a frame of a hundred or two pixels, and the
    difference of frame and plate, for what is small or for what the network does not see. Boxes
    around them are matted like frames; elsewhere alpha is 0. Where a box would cover most of the
    frame, or where the look and the difference contradict each other, the whole frame is matted.

    Each frame is looked at alone, so that it comes out the same in every run. Several threads may
    call it at once.

    Args:
        predictor: Mattes the boxes; its network is ours.
        scale: Backbone scale of a whole frame.
        fixed: Whether boxes have the same; else they have the largest at which the base sees about
            as many pixels as in a whole frame.

    Attributes:
        counts: What was looked at.
    """

    def __init__(self, predictor: Predictor, *, scale: float, fixed: bool):
        self._predictor, self._scale, self._fixed = predictor, scale, fixed
        self._lock = Lock()
        # The last plate, and its small copy, by the longer side of that.
        self._plates: dict[int, tuple[Tensor, np.ndarray]] = {}
        self.counts = RegionCounts()

    def __call__(self, src: Tensor, bgr: Tensor) -> Prediction | DetailPrediction:
        """Matte a batch, as :meth:`model.Predictor.__call__`."""
        parts = [
            self._matte(src[i : i + 1], bgr if len(bgr) == 1 else bgr[i : i + 1])
            for i in range(len(src))
        ]
        return parts[0] if len(parts) == 1 else concatenate(parts)

    def _matte(self, src: Tensor, bgr: Tensor) -> Prediction | DetailPrediction:
        boxes = self.boxes(src, bgr)
        share = sum(box.area for box in boxes) / (src.shape[2] * src.shape[3])
        scale = self._scale_for(share)
        with self._lock:
            self.counts += RegionCounts(1, share, Counter([scale] if share else []))
        if share == 1:
            return self._predictor(src, bgr, scale)
        cut = [(box, self._predictor(box.cut(src), box.cut(bgr), scale)) for box in boxes]
        return place(cut, src)

    def _scale_for(self, share: float) -> float:
        """The scale for boxes that cover a share of the frame."""
        if self._fixed:
            return self._scale
        step = next(step for step in _STEPS if share * step**2 <= _MAX_PRICE)
        return max(self._scale, min(0.5, step * self._scale))

    def boxes(self, src: Tensor, bgr: Tensor) -> list[Box]:
        """Boxes around all that a frame (1, 3, H, W) shows before its plate (1, 3, H, W)."""
        size = src.shape[2], src.shape[3]
        side = _SMALL_LOOK if max(size) * self._scale < _LARGE_FROM else _LARGE_LOOK
        pair = self._small(src, bgr, side)
        inputs = (torch.from_numpy(x / 255).permute(2, 0, 1)[None] for x in pair)
        pha, err = (x[0, 0].cpu().numpy() for x in self._predictor.look(*inputs))
        seen = (pha > _LOOK_ALPHA) | (err > _LOOK_ERROR)
        cell = _CELL * max(1, round(max(size) / _CELL_SIDE))
        boxes = boxes_around(seen, size, cell=cell, margin=_MARGIN)
        if side != _LARGE_LOOK:
            pair = self._small(src, bgr, _LARGE_LOOK)
        missed = _missed(*pair, boxes, size)
        if missed is None:
            return [Box(0, size[0], 0, size[1])]
        if missed.any():
            seen = cv2.resize(seen.astype(np.uint8), missed.shape[::-1]) > 0
            boxes = boxes_around(seen | missed, size, cell=cell, margin=_MARGIN)
        return boxes

    def _small(self, src: Tensor, bgr: Tensor, side: int) -> tuple[np.ndarray, np.ndarray]:
        """A frame and its plate at a longer side; a plate that stays the same is kept."""
        share = min(1.0, side / max(src.shape[2:]))
        size = max(1, round(src.shape[2] * share)), max(1, round(src.shape[3] * share))
        kept = self._plates.get(side)
        if kept is None or kept[0] is not bgr:
            kept = self._plates[side] = bgr, _shrunk(bgr, size)
        return _shrunk(src, size), kept[1]


def _missed(
    frame: np.ndarray, plate: np.ndarray, boxes: list[Box], size: tuple[int, int]
) -> np.ndarray | None:
    """What differs clearly outside of the boxes, (h, w); None where so much does that the
    look cannot be right.
    """
    changes = find_changes(frame, plate)
    outside = changes.some.astype(np.uint8)
    for box in boxes:
        rows = _within(box.top, box.bottom, size[0], outside.shape[0])
        outside[rows, _within(box.left, box.right, size[1], outside.shape[1])] = 0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(outside)
    if stats[1:, cv2.CC_STAT_AREA].max(initial=0) >= _DOUBTFUL_SHARE * outside.size:
        return None
    fits = outside.mean() <= _FITTING_SHARE
    counts = np.zeros(count, bool)
    counts[labels[changes.clear if fits else changes.strong]] = True
    counts[0] = False  # what is inside, or hardly differs
    return counts[labels]


def _within(start: int, end: int, given: int, length: int) -> slice:
    """Pixels ``start`` to ``end`` of ``given`` in an image of ``length``."""
    return slice(start * length // given, -(-end * length // given))


def _shrunk(frames: Tensor, size: tuple[int, int]) -> np.ndarray:
    """The first of frames (B, 3, H, W) at (height, width), as levels (h, w, 3), float32."""
    if frames.device.type == "cpu":
        image = frames[0].permute(1, 2, 0).numpy()
        levels = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        white = 1 if frames.is_floating_point() else torch.iinfo(frames.dtype).max
        return np.asarray(levels * np.float32(255 / white))
    small = F.interpolate(to_float(frames[:1]), size, mode="area")[0]
    return (255 * small).permute(1, 2, 0).cpu().numpy()
