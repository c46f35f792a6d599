"""MattingRefine for prediction: the same results from fewer passes over memory.

Three things differ from the plain network. BatchNorms are folded and memory is channels-last. The
frame stays in integers, and only what the network looks at becomes float: the small copy for the
base, and windows for the refiner. And neighbouring patches are refined together, as one tile, since
their windows overlap: the unpadded convolutions give each patch of a tile what they give it alone.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .folding import fold_batch_norms, select, widen
from .matting import BaseOutput, MattingBase, MattingRefine
from .patches import sample_patches, threshold_patches

#: Sides of a tile, in patches, that are tried for each batch.
_TILE_SIDES = (1, 2, 4, 8)
#: Levels that are there before anything is added: an opaque frame without a residual.
_FULL_ALPHA = torch.tensor([0.0, 0.0, 0.0, 255.0])


class FastOutput(NamedTuple):
    """What the fast network predicts.

    Attributes:
        detail: (B, H, W, 4), what to add to the levels (R, G, B, 255) of a frame to get those of
            the foreground and alpha, before they are clamped to 0 to 255.
        err_sm: (B, 1, h, w) in [0, 1], the predicted error of the coarse alpha.
        ref_sm: (B, 1, H/4, W/4), 1 where a patch was refined.
    """

    detail: Tensor
    err_sm: Tensor
    ref_sm: Tensor


class FastMattingBase(nn.Module):
    """Predicts what a :class:`MattingBase` predicts.

    Args:
        network: The network; it is copied.
        dtype: Type of the convolutions.
    """

    def __init__(self, network: MattingBase, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.dtype = dtype
        folded = fold_batch_norms(network)
        self.backbone, self.aspp, self.decoder = folded.backbone, folded.aspp, folded.decoder
        self.decoder.conv4 = widen(self.decoder.conv4, outputs=48)
        self.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        """Matte ``src`` (B, 3, H, W) before ``bgr`` (B or 1, 3, H, W), integers or [0, 1]."""
        src, bgr = to_float(src), to_float(bgr)
        pha, res, err, hid = self._decode(src, bgr)
        return BaseOutput(pha, (res + src).clamp(0, 1), err, hid)

    def _decode(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        pair = torch.cat([src, bgr.expand_as(src)], dim=1).to(self.dtype)
        deep, *skips = self.backbone(pair.contiguous(memory_format=torch.channels_last))
        decoded = self.decoder([self.aspp(deep), *skips]).float()
        pha, res, err, hid = decoded[:, :37].split([1, 3, 1, 32], dim=1)
        return pha.clamp(0, 1), res, err.clamp(0, 1), hid.relu()


class FastMattingRefine(FastMattingBase):
    """Predicts what a :class:`MattingRefine` predicts.

    Args:
        network: The network; it is copied.
        dtype: Type of the convolutions.
    """

    def __init__(self, network: MattingRefine, dtype: torch.dtype = torch.float32):
        super().__init__(network, dtype)
        self.backbone_scale = network.backbone_scale
        plain = network.refiner
        self.mode, self.kernel_size = plain.mode, plain.kernel_size
        self.sample_pixels, self.threshold = plain.sample_pixels, plain.threshold
        self.prevent_oversampling = plain.prevent_oversampling
        # pixels that the windows of the two halves reach beyond a tile, at 1/2 and at full size
        self.wide, self.narrow = (3, 2) if self.kernel_size == 3 else (0, 0)

        folded = fold_batch_norms(plain)
        behind = [*range(32), 33, 34, 35, 32, *range(36, 42)]  # alpha behind the residual
        self.conv1 = widen(select(folded.conv1, inputs=behind), outputs=32)
        self.conv2 = widen(folded.conv2, inputs=32)
        self.conv3 = widen(folded.conv3, outputs=16)
        self.conv4 = widen(select(folded.conv4, outputs=[1, 2, 3, 0]), inputs=16)
        with torch.no_grad():
            for parameter in self.conv4.parameters():
                parameter.mul_(255)
            dict(self.conv4.named_parameters())["bias"].sub_(_FULL_ALPHA)
        self.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._plate: tuple[Tensor, Tensor, Tensor] | None = None

    @torch.inference_mode()
    def forward(self, src: Tensor, bgr: Tensor) -> FastOutput:  # type: ignore[override]
        """Matte frames.

        Args:
            src: (B, 3, H, W), the frames: uint8, uint16, or float in [0, 1]; H and W are multiples
                of 4. Channels-last memory is the fastest.
            bgr: (B or 1, 3, H, W), their plates, likewise. What is made of a plate is kept for the
                next call with the same tensor.
        """
        height, width = src.shape[2:]
        small = int(height * self.backbone_scale), int(width * self.backbone_scale)
        if self._plate is None or self._plate[0] is not bgr:
            self._plate = bgr, _shrink(bgr, *small), self._padded(bgr)
        _, bgr_sm, bgr_padded = self._plate
        pha, res, err, hid = self._decode(_shrink(src, *small), bgr_sm)
        chosen = self._choose(_resize(err, height // 4, width // 4))
        levels = torch.cat([res, pha], dim=1) * 255 - _FULL_ALPHA.to(res.device).view(1, 4, 1, 1)
        detail = _enlarge(levels, height, width)
        coarse = torch.cat([hid, res, pha], dim=1).permute(0, 2, 3, 1).to(self.dtype)
        self._refine(detail, self._padded(src), bgr_padded, coarse, chosen)
        return FastOutput(detail, err, chosen)

    def _choose(self, err: Tensor) -> Tensor:
        if self.mode == "full":
            return torch.ones_like(err)
        if self.mode == "thresholding":
            return threshold_patches(err, self.threshold)
        return sample_patches(
            err, self.sample_pixels // 16, prevent_oversampling=self.prevent_oversampling
        )

    def _padded(self, frames: Tensor) -> Tensor:
        """Frames in the order (B, H, W, 3), with zeros wherever a window may reach beyond them."""
        margin, grid = 2 * self.wide, 4 * _TILE_SIDES[-1]
        batch, channels, height, width = frames.shape
        below, right = -height % grid + margin, -width % grid + margin
        padded = frames.new_zeros(batch, margin + height + below, margin + width + right, channels)
        padded[:, margin : -below or None, margin : -right or None] = frames.permute(0, 2, 3, 1)
        return padded

    def _refine(
        self, detail: Tensor, src: Tensor, bgr: Tensor, coarse: Tensor, chosen: Tensor
    ) -> None:
        """Replace the chosen patches of ``detail``, in place.

        Args:
            detail: (B, H, W, 4).
            src: (B, H', W', 3), padded.
            bgr: (B or 1, H', W', 3), padded.
            coarse: (B, h, w, 36), what the base says.
            chosen: (B, 1, H/4, W/4), 1 where a patch is chosen.
        """
        side = self._cheapest_side(chosen)
        right, below = (-length % side for length in (chosen.shape[3], chosen.shape[2]))
        marks = _cells(F.pad(chosen[:, 0], (0, right, 0, below)), side) > 0  # (B, R, C, side, side)
        patches = _cells(detail, 4)
        half = detail.shape[1] // 2, detail.shape[2] // 2
        for tiles in _Tiles.marked(marks, side, self._tiles_at_once(side, detail.device)):
            windows = [tiles.windows(frames, 4, 2 * self.wide) for frames in (src, bgr)]
            pair = torch.cat([to_float(window, self.dtype) for window in windows], dim=3)
            context = tiles.upsampled(coarse, half, 2, self.wide)
            refined = self._refine_windows(context, pair)
            tile, down, across = marks[tiles.at].nonzero(as_tuple=True)
            image, row, column = (index[tile] for index in tiles.at)
            at = image, row * side + down, column * side + across
            patches[at] = _cells(refined.to(detail.dtype), 4)[tile, down, across]

    def _cheapest_side(self, chosen: Tensor) -> int:
        """The side of tiles, in patches, that takes the fewest multiplications."""

        def cost(side: int) -> int:
            tiles = int(F.max_pool2d(chosen, side, ceil_mode=True).sum())
            first, second = 2 * (side + self.wide) - 2, 4 * side + self.narrow
            return tiles * (first**2 * 42 * 32 + second**2 * 22 * 16)

        return min(_TILE_SIDES, key=cost)

    def _tiles_at_once(self, side: int, device: torch.device) -> int:
        """So many tiles that their windows stay in the processor's cache, or keep a GPU busy."""
        windows = 2**15 if device.type == "cpu" else 2**22
        return max(1, windows // (2 * (side + self.wide)) ** 2)

    def _refine_windows(self, context: Tensor, pair: Tensor) -> Tensor:
        """The refiner on windows.

        Args:
            context: (N, s + 2 * wide, s + 2 * wide, 36), what the base says, at 1/2 size.
            pair: (N, 2 * s + 4 * wide, 2 * s + 4 * wide, 6), source and plate at full size.

        Returns:
            (N, 2 * s, 2 * s, 4), residual and alpha.
        """
        pair = pair.permute(0, 3, 1, 2)
        x = torch.cat([context.permute(0, 3, 1, 2), F.avg_pool2d(pair, 2)], dim=1)
        x = self.conv2(self.conv1(x).relu_()).relu_()
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        pair = F.pad(pair, (self.narrow - 2 * self.wide,) * 4)  # a crop
        x = self.conv4(self.conv3(torch.cat([x, pair], dim=1)).relu_())
        return x.permute(0, 2, 3, 1)


class _Tiles(NamedTuple):
    """Square groups of neighbouring patches.

    Attributes:
        at: Image, row and column of each tile, each (N,).
        side: Patches along a side.
        grid: Rows and columns of tiles in an image.
    """

    at: tuple[Tensor, Tensor, Tensor]
    side: int
    grid: tuple[int, int]

    @classmethod
    def marked(cls, marks: Tensor, side: int, at_once: int) -> Iterator["_Tiles"]:
        """The tiles with any mark in ``marks`` (B, R, C, side, side), so many at once."""
        rows, columns = marks.shape[1:3]
        for part in marks.flatten(3).any(3).nonzero().split(at_once):
            image, row, column = part.unbind(1)
            yield cls((image, row, column), side, (rows, columns))

    def windows(self, frames: Tensor, patch: int, margin: int) -> Tensor:
        """Cut the window around each tile.

        Args:
            frames: (B or 1, H', W', C), padded by ``margin`` and for whole tiles.
            patch: Side of a patch in ``frames``.
            margin: Pixels that a window reaches beyond its tile.

        Returns:
            (N, n, n, C) with n = side * patch + 2 * margin.
        """
        step = self.side * patch
        size = step + 2 * margin
        image, row, column = self.at
        windows = frames.unfold(1, size, step).unfold(2, size, step).permute(0, 1, 2, 4, 5, 3)
        return windows[image if len(frames) > 1 else image * 0, row, column]

    def upsampled(self, x: Tensor, size: tuple[int, int], patch: int, margin: int) -> Tensor:
        """As :meth:`windows`, of ``x`` (B, h, w, C) resized bilinearly to ``size``."""
        image, row, column = self.at
        step = self.side * patch
        down, taps_y = _interpolation(self.grid[0], step, margin, x.shape[1], size[0])
        across, taps_x = _interpolation(self.grid[1], step, margin, x.shape[2], size[1])
        down, taps_y = down.to(x.device)[row], taps_y.to(x.device, x.dtype)[row]
        across, taps_x = across.to(x.device)[column], taps_x.to(x.device, x.dtype)[column]
        small = x[image[:, None, None], down[:, :, None], across[:, None, :]]  # (N, m, m, C)
        tall = (taps_y @ small.flatten(2)).unflatten(2, small.shape[2:])  # (N, n, m, C)
        return taps_x[:, None] @ tall


@lru_cache(maxsize=64)
def _interpolation(
    count: int, step: int, margin: int, length: int, target: int
) -> tuple[Tensor, Tensor]:
    """Bilinear resizing of one axis, from ``length`` to ``target`` pixels, as windows see it.

    Window k covers the pixels from ``k * step - margin`` to ``(k + 1) * step + margin``.

    Returns:
        Which pixels each window needs, (count, m), and their weights for each of its own, float32
        (count, n, m), which are 0 for those outside of the image.
    """
    pixels = torch.arange(step + 2 * margin) - margin + step * torch.arange(count)[:, None]
    inside = (pixels >= 0) & (pixels < target)
    low, high, weight = _bilinear(pixels.clamp(0, target - 1), length, target)
    first = low.amin(1, keepdim=True)
    needed = first + torch.arange(int((high - first).max()) + 1)
    lows, highs = ((index - first)[..., None] for index in (low, high))
    taps = torch.zeros(*pixels.shape, needed.shape[1])
    taps.scatter_add_(2, lows, (1 - weight)[..., None]).scatter_add_(2, highs, weight[..., None])
    return needed.clamp(max=length - 1), taps * inside[..., None]


def _bilinear(pixels: Tensor, length: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where ``pixels`` of a resized axis lie: the pixel below, the one above, and its share."""
    position = ((pixels + 0.5) * (length / target) - 0.5).clamp(min=0)
    low = position.long()
    return low, (low + 1).clamp(max=length - 1), position - low


def _shrink(frames: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, 3, H, W) bilinearly, as float in [0, 1], reading only the pixels that count."""
    device = frames.device
    top, bottom, down = _bilinear(torch.arange(height, device=device), frames.shape[2], height)
    left, right, across = _bilinear(torch.arange(width, device=device), frames.shape[3], width)
    across = across.repeat_interleave(frames.shape[1])
    pixels = frames.permute(0, 2, 3, 1)

    def row(index: Tensor) -> Tensor:
        line = pixels.index_select(1, index)
        start, end = (to_float(line.index_select(2, i).flatten(2)) for i in (left, right))
        return torch.lerp(start, end, across)

    small = torch.lerp(row(top), row(bottom), down[:, None])
    return small.unflatten(2, (width, -1)).permute(0, 3, 1, 2)


def _enlarge(x: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, C, h, w) bilinearly to (B, height, width, C)."""
    if x.device.type != "cpu":
        return _resize(x, height, width).permute(0, 2, 3, 1).contiguous()
    large = x.new_empty(len(x), height, width, x.shape[1])
    for small, out in zip(x.permute(0, 2, 3, 1), large, strict=True):  # OpenCV is 5 times faster
        cv2.resize(small.contiguous().numpy(), (width, height), dst=out.numpy())
    return large


def to_float(pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Integers become [0, 1]; floats stay."""
    if pixels.is_floating_point():
        return pixels.to(dtype)
    return torch.mul(pixels, 1 / torch.iinfo(pixels.dtype).max).to(dtype)


def _cells(x: Tensor, side: int) -> Tensor:
    """A view of (B, H, W, ...) as (B, H/side, W/side, side, side, ...)."""
    return x.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    if tuple(x.shape[2:]) == (height, width):
        return x
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
