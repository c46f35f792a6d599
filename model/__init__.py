"""The matting network and how to load it."""

from .matting import BACKBONES, Backbone, BaseOutput, MattingBase, MattingRefine, RefineOutput
from .patches import REFINE_MODES, RefineMode

__all__ = [
    "BACKBONES",
    "REFINE_MODES",
    "Backbone",
    "BaseOutput",
    "MattingBase",
    "MattingRefine",
    "RefineMode",
    "RefineOutput",
]
