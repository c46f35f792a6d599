"""MattingBase and MattingRefine (Lin et al., "Real-Time High-Resolution Background Matting")."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from media import UsageError

from .aspp import ASPP
from .decoder import Decoder
from .mobilenet import MobileNetV2Encoder
from .names import BACKBONES, Backbone, RefineMode
from .refiner import Refiner
from .resnet import ResNetEncoder


class BaseOutput(NamedTuple):
    """What MattingBase predicts, at the size of its input.

    ``pha`` (B, 1, H, W), ``fgr`` (B, 3, H, W) and ``err`` (B, 1, H, W) are in [0, 1];
    ``hid`` (B, 32, H, W) is not negative.
    """

    pha: Tensor
    fgr: Tensor
    err: Tensor
    hid: Tensor


class RefineOutput(NamedTuple):
    """What MattingRefine predicts, all in [0, 1].

    ``pha`` (B, 1, H, W) and ``fgr`` (B, 3, H, W) have the size of the input. ``pha_sm``, ``fgr_sm``
    and ``err_sm`` are the coarse results at ``backbone_scale``; ``ref_sm`` (B, 1, H/4, W/4) is 1
    where a 4x4 patch was refined.
    """

    pha: Tensor
    fgr: Tensor
    pha_sm: Tensor
    fgr_sm: Tensor
    err_sm: Tensor
    ref_sm: Tensor


class MattingBase(nn.Module):
    """The coarse network: an encoder, an ASPP and a decoder.

    Args:
        backbone: ``resnet101``, ``resnet50`` or ``mobilenetv2``.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone_name = backbone
        self.backbone = encoder = _encoder(backbone)
        deep, *skips = encoder.feature_channels
        self.aspp = ASPP(deep, [3, 6, 9])
        self.decoder = Decoder((256, *skips), (128, 64, 48, 1 + 3 + 1 + 32))

    def forward(self, src: Tensor, bgr: Tensor) -> BaseOutput:
        """Matte ``src`` (B, 3, H, W) before the plate ``bgr`` (B, 3, H, W), both in [0, 1]."""
        pha, res, err, hid = self._decode(src, bgr)
        return BaseOutput(pha, (res + src).clamp(0, 1), err, hid)

    def look(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and its predicted error alone, each (B, 1, H, W) in [0, 1], as :meth:`forward`."""
        pha, _, err, _ = self._decode(src, bgr)
        return pha, err

    def _decode(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        deep, *skips = self.backbone(torch.cat([src, bgr], dim=1))
        pha, res, err, hid = self.decoder([self.aspp(deep), *skips]).split([1, 3, 1, 32], dim=1)
        return pha.clamp(0, 1), res, err.clamp(0, 1), hid.relu()


class MattingRefine(MattingBase):
    """The base network on a small copy of the frame, refined at full size where it is wrong.

    Args:
        backbone: ``resnet101``, ``resnet50`` or ``mobilenetv2``.
        backbone_scale: Size of the small copy relative to the frame, in (0, 1/2].
        refine_mode: See :class:`Refiner`, also for the following.
        refine_sample_pixels: Full-size pixels to refine in each frame.
        refine_threshold: Error in [0, 1] above which a patch is refined.
        refine_kernel_size: 1 or 3.
        refine_prevent_oversampling: Leave patches without any predicted error alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        backbone_scale: float = 0.25,
        refine_mode: RefineMode = "sampling",
        refine_sample_pixels: int = 80_000,
        refine_threshold: float = 0.1,
        refine_kernel_size: int = 3,
        refine_prevent_oversampling: bool = True,
    ):
        if not 0 < backbone_scale <= 1 / 2:
            raise UsageError(f"backbone scale {backbone_scale} is not in (0, 1/2]")
        super().__init__(backbone)
        self.backbone_scale = backbone_scale
        self.refiner = Refiner(
            refine_mode,
            refine_sample_pixels,
            refine_threshold,
            refine_kernel_size,
            refine_prevent_oversampling,
        )

    def forward(  # type: ignore[override]
        self, src: Tensor, bgr: Tensor, scale: float | None = None
    ) -> RefineOutput:
        """Matte ``src`` (B, 3, H, W) before the plate ``bgr`` (B, 3, H, W), both in [0, 1].

        H and W must be multiples of 4. A ``scale`` is used in place of ``backbone_scale``.
        """
        height, width = src.shape[2:]
        if height % 4 or width % 4:
            raise ValueError(f"size {width}x{height} is not a multiple of 4")
        src_sm, bgr_sm = (self._shrink(x, scale) for x in (src, bgr))
        pha_sm, res_sm, err_sm, hid = self._decode(src_sm, bgr_sm)
        pha, res, ref_sm = self.refiner(src, bgr, pha_sm, res_sm, err_sm, hid)
        return RefineOutput(
            pha=pha.clamp(0, 1),
            fgr=(res + src).clamp(0, 1),
            pha_sm=pha_sm,
            fgr_sm=(res_sm + src_sm).clamp(0, 1),
            err_sm=err_sm,
            ref_sm=ref_sm,
        )

    def _shrink(self, x: Tensor, scale: float | None = None) -> Tensor:
        return F.interpolate(
            x,
            scale_factor=scale or self.backbone_scale,
            mode="bilinear",
            align_corners=False,
            recompute_scale_factor=True,
        )


def _encoder(backbone: Backbone) -> ResNetEncoder | MobileNetV2Encoder:
    if backbone == "resnet101":
        return ResNetEncoder((3, 4, 23, 3))
    if backbone == "resnet50":
        return ResNetEncoder((3, 4, 6, 3))
    if backbone == "mobilenetv2":
        return MobileNetV2Encoder()
    raise UsageError(f"backbone {backbone!r} is none of {', '.join(BACKBONES)}")
