"""The matting network: its definition, its checkpoints and how it is run."""

from .checkpoint import MODEL_TYPES, CheckpointError, ModelType, load_network
from .fast import to_float
from .matter import (
    PRECISIONS,
    DeviceError,
    Matter,
    Precision,
    fastest_precision,
    is_out_of_memory,
    resolve_device,
)
from .matting import (
    BACKBONES,
    HD_LIMIT,
    Backbone,
    BaseOutput,
    MattingBase,
    MattingRefine,
    RefineOutput,
    default_sample_pixels,
    default_scale,
)
from .patches import REFINE_MODES, RefineMode
from .prediction import DetailPrediction, Prediction

__all__ = [
    "BACKBONES",
    "HD_LIMIT",
    "MODEL_TYPES",
    "PRECISIONS",
    "REFINE_MODES",
    "Backbone",
    "BaseOutput",
    "CheckpointError",
    "DetailPrediction",
    "DeviceError",
    "Matter",
    "MattingBase",
    "MattingRefine",
    "ModelType",
    "Precision",
    "Prediction",
    "RefineMode",
    "RefineOutput",
    "default_sample_pixels",
    "default_scale",
    "fastest_precision",
    "is_out_of_memory",
    "load_network",
    "resolve_device",
    "to_float",
]
