"""Predictions of parts of a frame, placed into a prediction of the whole."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .boxes import Box
from .fast import to_float
from .prediction import DetailPrediction, Prediction
from .refiner import resize

#: Side, in pixels, of what a value of the error or of the refined patches covers.
_PATCH = 4


def place(
    parts: Sequence[tuple[Box, Prediction | DetailPrediction]], src: Tensor
) -> Prediction | DetailPrediction:
    """The prediction of a frame from predictions of parts; elsewhere alpha and the error are 0.

    Where nothing was predicted, the foreground is the frame. ``err`` and ``ref`` have a value for
    each patch of 4x4 pixels.

    Args:
        parts: Boxes that do not meet, and the predictions there.
        src: (1, 3, H, W), the frame: uint8, uint16, or float in [0, 1].
    """
    height, width = src.shape[2:]
    rows, columns = -(-height // _PATCH), -(-width // _PATCH)
    device = parts[0][1].err.device if parts else src.device
    src = src.to(device)
    err = torch.zeros(1, 1, rows, columns, device=device)
    ref = torch.zeros_like(err)
    for box, part in parts:
        where = err[..., box.top // _PATCH :, box.left // _PATCH :]
        patches = part.padded_size[0] // _PATCH, part.padded_size[1] // _PATCH
        where[..., : patches[0], : patches[1]] = resize(part.err, *patches)
        if part.ref is not None:
            where = ref[..., box.top // _PATCH :, box.left // _PATCH :]
            where[..., : patches[0], : patches[1]] = part.ref
    is_refined = all(part.ref is not None for _, part in parts)
    padded = rows * _PATCH, columns * _PATCH
    if all(isinstance(part, DetailPrediction) for _, part in parts):
        detail = torch.zeros(1, height, width, 4, device=device)
        detail[..., 3] = -255  # no alpha
        for box, part in parts:
            assert isinstance(part, DetailPrediction)
            detail[:, box.top : box.bottom, box.left : box.right] = part.detail
        frame = src if src.dtype == torch.uint8 else to_float(src)
        return DetailPrediction(frame, detail, err, ref, padded)
    pha, fgr = torch.zeros(1, 1, height, width, device=device), to_float(src).clone()
    for box, part in parts:
        box.cut(pha).copy_(part.pha)
        box.cut(fgr).copy_(part.fgr)
    return Prediction(pha, fgr, err, ref if is_refined else None, padded)
