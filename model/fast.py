"""The fast form of the networks: the same results from fewer passes over memory.

It differs from the plain network in three ways:

* BatchNorms are folded, and memory is channels-last.
* Frames stay integers. Only the input of the network is converted to float: the small copy for the
  base, and the windows for the refiner.
* Adjacent patches are refined together as one tile, because their windows overlap. The convolutions
  are unpadded, so each patch gets the same result as alone. A CPU does without tiles: it computes
  each layer only where a patch needs it (``sparse.py``).
"""

from typing import NamedTuple

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .folding import fold_batch_norms, read_difference, select, widen
from .matting import BaseOutput, MattingBase, MattingRefine
from .refiner import resize
from .sparse import SparseRefiner, packed
from .tiles import Tiles, bilinear, cells

#: Sides of a tile, in patches; the fastest one is chosen for each batch.
_TILE_SIDES = (1, 2, 4, 8)


class FastOutput(NamedTuple):
    """The prediction of the fast MattingRefine.

    Attributes:
        detail: (B, H, W, 4), to be added to the levels (R, G, B, 255) of a frame: the sums, clamped
            to 0 to 255, are those of the foreground and alpha.
        err_sm: (B, 1, h, w) in [0, 1], the predicted error of the coarse alpha.
        ref_sm: (B, 1, H/4, W/4), 1 where a patch was refined.
    """

    detail: Tensor
    err_sm: Tensor
    ref_sm: Tensor


class FastMattingBase(nn.Module):
    """The fast form of a :class:`MattingBase`.

    Args:
        network: The network; it is copied.
        dtype: Type of the convolutions.
    """

    def __init__(self, network: MattingBase, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.dtype = dtype
        folded = fold_batch_norms(network)
        self.backbone, self.aspp, self.decoder = folded.backbone, folded.aspp, folded.decoder
        decoder = self.decoder
        for conv in (_first_conv(self.backbone), decoder.conv4):
            read_difference(conv)
        for name in ("conv1", "conv2", "conv3"):
            setattr(decoder, name, nn.Sequential(getattr(decoder, name), nn.ReLU(inplace=True)))
        decoder.relu = nn.Identity()
        # The order in which the refiner reads them (hidden, residual, alpha), then the error.
        order = [*range(5, 37), 1, 2, 3, 0, 4]
        decoder.conv4 = widen(select(decoder.conv4, outputs=order), outputs=48)
        self.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        """Matte ``src`` (B, 3, H, W) before ``bgr`` (B or 1, 3, H, W), integers or [0, 1]."""
        src, bgr = to_float(src), to_float(bgr)
        coarse, err = self._decode(src, bgr)
        hid, res, pha = coarse.float().split([32, 3, 1], dim=1)
        return BaseOutput(pha, (res + src).clamp(0, 1), err, hid)

    @torch.inference_mode()
    def look(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`MattingBase.look`."""
        coarse, err = self._decode(src, bgr)
        return coarse[:, 35:].float(), err

    def _decode(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden features, residual and alpha as one (B, 36, H, W); the error (B, 1, H, W)."""
        pair = torch.cat([src - bgr, bgr.expand_as(src)], dim=1).to(self.dtype)
        deep, *skips = self.backbone(pair.contiguous(memory_format=torch.channels_last))
        coarse, err, _ = self.decoder([self.aspp(deep), *skips]).tensor_split([36, 37], dim=1)
        coarse[:, :32].relu_()
        coarse[:, 35:].clamp_(0, 1)
        return coarse, err.float().clamp(0, 1)


class FastMattingRefine(FastMattingBase):
    """The fast form of a :class:`MattingRefine`.

    Args:
        network: The network; it is copied.
        dtype: Type of the convolutions.
        sparse: Refine without tiles, which works on a CPU alone.
    """

    _opaque: Tensor

    def __init__(
        self, network: MattingRefine, dtype: torch.dtype = torch.float32, *, sparse: bool = False
    ):
        super().__init__(network, dtype)
        self.backbone_scale = network.backbone_scale
        plain = network.refiner
        self.choose = plain.choose
        # Margins of windows in pixels: of the first half at 1/2 size, of the second at full size.
        self.wide, self.narrow = (3, 2) if plain.kernel_size == 3 else (0, 0)

        folded = fold_batch_norms(plain)
        alpha_last = [*range(32), 33, 34, 35, 32, *range(36, 42)]  # alpha after the residual
        conv1, conv2, conv3 = select(folded.conv1, inputs=alpha_last), folded.conv2, folded.conv3
        conv4 = select(folded.conv4, outputs=[1, 2, 3, 0])
        opaque = torch.tensor([0.0, 0.0, 0.0, 255.0])  # zero residual, full alpha
        assert conv4.bias is not None
        conv4.weight.data.mul_(255)
        conv4.bias.data.mul_(255).sub_(opaque)
        self.register_buffer("_opaque", opaque.view(1, 4, 1, 1))
        self._sparse = None
        if sparse and plain.kernel_size == 3:
            self._sparse = SparseRefiner([conv1, conv2, conv3, conv4], dtype)
        wide1, wide2 = widen(conv1, outputs=32), widen(conv2, inputs=32)
        wide3, wide4 = widen(conv3, outputs=16), widen(conv4, inputs=16)
        self.first_half = nn.Sequential(wide1, nn.ReLU(), wide2, nn.ReLU())
        self.second_half = nn.Sequential(wide3, nn.ReLU(), wide4)
        self.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # The last plate and its scale, its small copy and its padded copy.
        self._plate: tuple[Tensor, float, Tensor, Tensor] | None = None

    @torch.inference_mode()
    def forward(  # type: ignore[override]
        self, src: Tensor, bgr: Tensor, scale: float | None = None
    ) -> FastOutput:
        """Matte frames.

        Args:
            src: (B, 3, H, W), the frames: uint8, uint16, or float in [0, 1]; H and W are multiples
                of 4. Channels-last memory is the fastest.
            bgr: (B or 1, 3, H, W), their plates, of the same types. Copies of a plate are kept for
                the next call with the same tensor.
            scale: Used in place of the network's ``backbone_scale``.
        """
        height, width = src.shape[2:]
        scale = scale or self.backbone_scale
        small = int(height * scale), int(width * scale)
        sparse = self._sparse
        if sparse is not None and not sparse.suits((height // 4, width // 4), small):
            sparse = None
        padded = self._padded if sparse is None else packed
        plate = self._plate
        if plate is None or plate[0] is not bgr or plate[1] != scale:
            plate = self._plate = bgr, scale, _shrink(bgr, *small), padded(bgr)
        _, _, bgr_sm, bgr_padded = plate
        coarse, err = self._decode(_shrink(src, *small), bgr_sm)
        chosen = self.choose(err, height, width)
        detail = _enlarge(coarse[:, 32:].float() * 255 - self._opaque, height, width)
        context = coarse.permute(0, 2, 3, 1)
        if sparse is None:
            self._refine(detail, padded(src), bgr_padded, context, chosen)
        else:
            for n, frame in enumerate(padded(src)):
                plate_of_it = bgr_padded[n if len(bgr_padded) > 1 else 0]
                for row, column, patches in sparse(context[n], frame, plate_of_it, chosen[n, 0]):
                    cells(detail, 4)[n, row, column] = patches.to(detail.dtype)
        return FastOutput(detail, err, chosen)

    def _padded(self, frames: Tensor) -> Tensor:
        """Frames as (B, H, W, 3), with zeros around them wherever a window may need pixels."""
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
            coarse: (B, h, w, 36): hidden features, residual and alpha of the base.
            chosen: (B, 1, H/4, W/4), 1 where a patch is chosen.
        """
        side = self._fastest_side(chosen)
        right, below = (-length % side for length in (chosen.shape[3], chosen.shape[2]))
        mask = cells(F.pad(chosen[:, 0], (0, right, 0, below)), side) > 0  # (B, R, C, side, side)
        patches = cells(detail, 4)
        half = detail.shape[1] // 2, detail.shape[2] // 2
        for tiles in Tiles.chosen(mask, side, *self._batch_size(side, detail.device)):
            windows = [tiles.windows(frames, 4, 2 * self.wide) for frames in (src, bgr)]
            pair = torch.cat([to_float(window, self.dtype) for window in windows], dim=3)
            context = tiles.upsampled(coarse, half, 2, self.wide)
            refined = self._refine_windows(context, pair)
            tile, down, across = mask[tiles.positions][: tiles.distinct].nonzero(as_tuple=True)
            frame, row, column = (index[tile] for index in tiles.positions)
            index = frame, row * side + down, column * side + across
            patches[index] = cells(refined.to(detail.dtype), 4)[tile, down, across]

    def _fastest_side(self, chosen: Tensor) -> int:
        """The side of tiles, in patches, that needs the fewest multiplications."""

        def cost(side: int) -> int:  # multiplications for one tile
            first, second = 2 * (side + self.wide) - 2, 4 * side + self.narrow
            return first**2 * 42 * 32 + second**2 * 22 * 16

        tiles = [F.max_pool2d(chosen, side, ceil_mode=True).sum() for side in _TILE_SIDES]
        counts = torch.stack(tiles).tolist()  # waits for the device only once
        costs = {n * cost(side): side for n, side in zip(counts, _TILE_SIDES, strict=True)}
        return costs[min(costs)]

    def _batch_size(self, side: int, device: torch.device) -> tuple[int, int]:
        """Tiles in a batch, and a divisor of that to whose multiples the last batch is padded.

        On a CPU, the windows of a batch fit into the cache. On a GPU, a batch is large enough to
        keep it busy, and the padding is coarser, as new shapes take more time than extra tiles.
        """
        few = 2**12 // (2 * (side + self.wide)) ** 2
        return (few * 8, few) if device.type == "cpu" else (few * 2**10, few * 2**4)

    def _refine_windows(self, context: Tensor, pair: Tensor) -> Tensor:
        """Run the refiner on windows.

        Args:
            context: (N, s + 2 * wide, s + 2 * wide, 36), output of the base at 1/2 size.
            pair: (N, 2 * s + 4 * wide, 2 * s + 4 * wide, 6), source and plate at full size.

        Returns:
            (N, 2 * s, 2 * s, 4), residual and alpha.
        """
        pair = pair.permute(0, 3, 1, 2)
        x = torch.cat([context.permute(0, 3, 1, 2), F.avg_pool2d(pair, 2)], dim=1)
        x = F.interpolate(self.first_half(x), scale_factor=2.0, mode="nearest")
        pair = F.pad(pair, (self.narrow - 2 * self.wide,) * 4)  # a crop
        return self.second_half(torch.cat([x, pair], dim=1)).permute(0, 2, 3, 1)


def _first_conv(network: nn.Module) -> nn.Conv2d:
    return next(module for module in network.modules() if isinstance(module, nn.Conv2d))


def _shrink(frames: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, 3, H, W) bilinearly to float in [0, 1]; only the pixels needed are read."""
    device = frames.device
    top, bottom, down = bilinear(torch.arange(height, device=device), frames.shape[2], height)
    left, right, across = bilinear(torch.arange(width, device=device), frames.shape[3], width)
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
        return resize(x, height, width).permute(0, 2, 3, 1).contiguous()
    large = x.new_empty(len(x), height, width, x.shape[1])
    for small, out in zip(x.permute(0, 2, 3, 1), large, strict=True):  # OpenCV is 5 times faster
        cv2.resize(small.contiguous().numpy(), (width, height), dst=out.numpy())
    return large


def to_float(pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Scale integers to [0, 1]; floats keep their values."""
    if pixels.is_floating_point():
        return pixels.to(dtype)
    return torch.mul(pixels, 1 / torch.iinfo(pixels.dtype).max).to(dtype)
