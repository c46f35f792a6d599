"""The plate of a run before its first frame: made, repaired, or taken from an earlier run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset import FrameSource, resize
from media import Warn
from plate import (
    REPAIR_WORK,
    AutoPlate,
    MovingPlate,
    PlateError,
    RepairedPlate,
    Watch,
    WidePlate,
    is_auto,
    open_plate,
)
from writers import PLATE_LABEL, PLATE_NAME, RunFolder, read_reports, save_png

from .inputs import Inputs
from .loader import PairLoader
from .result import NOTE, MattingResult, logger
from .resume import facts_of_files
from .settings import Settings, as_dict
from .wide_plate import keep_homographies, kept_plate

#: Settings on which a plate depends, and those on which one that is repaired depends besides.
_ALWAYS = (
    *("video_src", "video_bgr", "video_resize", "mend_plate", "garbage_matte", "core_matte"),
    *("input_colorspace", "input_matrix", "input_range"),
)
_ALIGNED = "preprocess_alignment"
_REPAIRED = ("match_plate", "precision", _ALIGNED)


@dataclass(frozen=True)
class SavedPlate:
    """What a run with ``--plate-only`` left.

    Attributes:
        plate: The plate that it made; None if it was given one, and only aligned it.
        homography: (3, 3), maps pixels of the plate to pixels of the clip; None unless aligned once
            for the whole clip.
    """

    plate: FrameSource | None
    homography: np.ndarray | None


def is_made(settings: Settings) -> bool:
    """Whether the plate is made or repaired from the clip."""
    return is_auto(settings.video_bgr) or settings.mend_plate


def plate_made_from(settings: Settings, src: FrameSource) -> dict[str, Any]:
    """The settings and files that the plate depends on, as JSON holds them."""
    values = as_dict(settings)
    names = [*_ALWAYS, *([_ALIGNED] if settings.align == "static" else [])]
    if settings.mend_plate:
        names += [*_REPAIRED, *(name for name in values if name.startswith("model_"))]
    return facts_of_files(settings, names, src)


def saved_plate(settings: Settings, src: FrameSource, warn: Warn) -> SavedPlate | None:
    """The plate that an earlier run with ``--plate-only`` left in the folder of this run.

    Somebody may have painted over it since.

    Args:
        settings: With what the checkpoint, the clip and the device decided.
        src: The clip.
        warn: Told that it was made from something else.
    """
    if settings.output_dir is None or not (is_made(settings) or settings.align == "static"):
        return None
    root = Path(settings.output_dir)
    report = read_reports(root).get(PLATE_LABEL, {})
    found = report.get("plate")
    if report.get("status") != "done" or not isinstance(found, dict):
        return None
    path = root / PLATE_NAME
    if is_made(settings) and not path.exists():
        return None
    if name := _difference(found.get("made_from"), plate_made_from(settings, src)):
        warn(f"{path}: was made with another {name}, and is not used; the plate is made anew")
        return None
    homography = _matrix(found.get("homography"))
    if settings.align == "static" and homography is None:
        return None
    return SavedPlate(open_plate(path, src, warn) if is_made(settings) else None, homography)


def prepare_plate(
    settings: Settings,
    inputs: Inputs,
    loader: PairLoader,
    folder: RunFolder | None,
    result: MattingResult,
    watch: Watch,
) -> None:
    """Make or repair the plate, if it is one of those, and save it to the run's folder.

    A plate that is there stays: the run is resumed, and somebody may have painted over it. That of
    a camera that moves is used again unless somebody did. With
    ``--plate-only`` the plate is aligned, too, if that is done once for the whole clip.

    Raises:
        PlateError: The camera was not followed, and the settings are strict.
    """
    plate = inputs.bgr
    if isinstance(plate, AutoPlate | RepairedPlate | MovingPlate):
        _make(plate, folder, result, watch)
    if settings.strict and isinstance(plate, MovingPlate) and plate.failed:
        raise PlateError(plate.failed)
    if settings.plate_only and folder is not None:
        homography = None
        if settings.align == "static":
            image = resize(next(iter(plate)).image, loader.size)
            found = loader.fitter.align_once(image, lambda: watch("frames", 0, None))
            homography = found.tolist()
        made_from = plate_made_from(settings, inputs.src)
        folder.facts["plate"] = {"homography": homography, "made_from": made_from}


def _make(
    plate: AutoPlate | RepairedPlate | MovingPlate,
    folder: RunFolder | None,
    result: MattingResult,
    watch: Watch,
) -> None:
    root = folder.root if folder is not None else None
    if isinstance(plate, MovingPlate) and root is not None:
        plate.take(kept_plate(root))
    logger.log(NOTE, _work_of(plate))
    found = plate.find(watch)
    if isinstance(plate, RepairedPlate):
        result.mending = {
            "share": round(plate.share, 4),
            "differing_before": round(plate.before, 4),
            "differing_after": round(plate.after, 4),
        }
        if summary := plate.summary():
            logger.log(NOTE, summary)
    if root is not None:
        image = found.image if isinstance(found, WidePlate) else found
        if not (root / PLATE_NAME).exists():
            save_png(root / PLATE_NAME, image)
        if isinstance(found, WidePlate):
            keep_homographies(root, found)


def _work_of(plate: AutoPlate | RepairedPlate | MovingPlate) -> str:
    """What is done before the first frame, as a sentence."""
    if isinstance(plate, MovingPlate):
        return "following the camera, to make a wide plate from the clip, before the first frame"
    if isinstance(plate, AutoPlate):
        return "making the plate from the clip, before the first frame"
    first = "making the plate from the clip, then " if plate.is_made else ""
    return f"{first}repairing the plate, before the first frame: {REPAIR_WORK}"


def _difference(before: object, now: Mapping[str, Any]) -> str | None:
    """What a plate was made from that is different now."""
    if not isinstance(before, dict):
        return "version of the program"
    for part, known in now.items():
        earlier = before.get(part)
        if earlier != known and isinstance(earlier, dict) and isinstance(known, dict):
            names = [n for n in {**earlier, **known} if earlier.get(n) != known.get(n)]
            name = str(names[0])
            return name if part == "files" else f"--{name.replace('_', '-')}"
        if earlier != known:
            return part
    return None


def _matrix(value: object) -> np.ndarray | None:
    """A 3x3 matrix from a report; None if it is none."""
    try:
        matrix = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return matrix if matrix.shape == (3, 3) and np.isfinite(matrix).all() else None
