"""Names of networks, modes and precisions in the settings, and defaults by frame size."""

from typing import Literal, get_args

ModelType = Literal["mattingbase", "mattingrefine"]
Backbone = Literal["resnet101", "resnet50", "mobilenetv2"]
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)
RefineMode = Literal["full", "sampling", "thresholding"]
REFINE_MODES: tuple[RefineMode, ...] = get_args(RefineMode)
Precision = Literal["auto", "fp32", "fp16", "bf16"]

#: Longer side of a frame, in pixels, up to which the defaults for HD apply; above, those for 4K.
HD_LIMIT = 2880


def default_scale(longer_side: int) -> float:
    """Size of the base's input relative to the frame: 1/4 for HD, 1/8 for 4K."""
    return 0.25 if longer_side <= HD_LIMIT else 0.125


def default_sample_pixels(longer_side: int) -> int:
    """Number of pixels to refine in a frame: 80,000 for HD, 320,000 for 4K."""
    return 80_000 if longer_side <= HD_LIMIT else 320_000
