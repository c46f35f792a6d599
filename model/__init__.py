"""The matting network: its definition, its checkpoints and how it is run."""

from .checkpoint import MODEL_TYPES, CheckpointError, ModelType, load_network
from .matter import PRECISIONS, DeviceError, Matter, Precision, Prediction, resolve_device
from .matting import BACKBONES, Backbone, BaseOutput, MattingBase, MattingRefine, RefineOutput
from .patches import REFINE_MODES, RefineMode

__all__ = [
    "BACKBONES",
    "MODEL_TYPES",
    "PRECISIONS",
    "REFINE_MODES",
    "Backbone",
    "BaseOutput",
    "CheckpointError",
    "DeviceError",
    "Matter",
    "MattingBase",
    "MattingRefine",
    "ModelType",
    "Precision",
    "Prediction",
    "RefineMode",
    "RefineOutput",
    "load_network",
    "resolve_device",
]
