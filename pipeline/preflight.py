"""The preflight: diagnoses the plate before a run begins."""

from typing import Any

from media import Warn
from plate import AutoPlate, PlateError, inspect_plate

from .inputs import Inputs
from .settings import Settings


def preflight(settings: Settings, inputs: Inputs, warn: Warn) -> dict[str, Any] | None:
    """Diagnose the plate; warn of faults that no setting corrects.

    Returns:
        The verdict and its figures; None if the settings leave the preflight out, or the clip can
        be read only once.

    Raises:
        PlateError: There is a fault, and the settings are strict.
    """
    if not settings.preflight or inputs.src.once:
        return None
    src, bgr = inputs.src, inputs.bgr
    found = inspect_plate(src, bgr, inputs.size)
    if bgr.size != src.size and not settings.video_resize:
        found.faults.append("size")
    corrected = {
        # a plate made from a camera that moves is no plate, however it is aligned
        "camera": settings.align is not None and not isinstance(bgr, AutoPlate),
        "moving": settings.align == "frame",
        "exposure": settings.match_plate,
        "scene": src.has_alpha,  # what it hides is not of the scene
        "size": not settings.strict,  # the run warns of it by itself
    }
    sentences = found.sentences(src, bgr, inputs.size)
    told = [text for fault, text in sentences.items() if not corrected.get(fault)]
    if told and settings.strict:
        raise PlateError("; ".join(told))
    for sentence in told:
        warn(sentence)
    return found.report()
