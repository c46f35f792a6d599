"""The wide plate of a camera that moves, kept in the folder of a run."""

from dataclasses import replace
from pathlib import Path

from dataset import ClipFrame, FrameSource, MediaError, StillImage, open_source, resize
from media import Warn
from plate import AutoPlate, MovingPlate, RepairedPlate, WidePlate, covers_a_part
from writers import HOMOGRAPHIES_NAME, PLATE_NAME, SideKind, save_text

from .inputs import Inputs
from .settings import Settings


def with_completed_plate(settings: Settings, inputs: Inputs, warn: Warn) -> Inputs:
    """The inputs, with a plate for each frame if the one given covers only a part of them.

    The rest is taken from the clip. It is for plates that are aligned with each frame.
    """
    src, bgr = inputs.src, inputs.bgr
    is_given = isinstance(bgr, StillImage | ClipFrame) and not settings.mend_plate
    if settings.align != "frame" or not is_given or src.once or not covers_a_part(src, bgr):
        return inputs
    part = resize(next(iter(bgr)).image, src.size), bgr.name
    marks = inputs.mattes.marks if inputs.mattes else None
    return replace(inputs, bgr=MovingPlate(src, warn, marks, part=part))


def plate_files(bgr: FrameSource) -> dict[SideKind, str]:
    """Names of the files that a run keeps of the plate that it makes."""
    files: dict[SideKind, str] = {}
    if isinstance(bgr, AutoPlate | RepairedPlate | MovingPlate):
        files["plate"] = PLATE_NAME
    if isinstance(bgr, MovingPlate):
        files["homographies"] = HOMOGRAPHIES_NAME
    return files


def keep_homographies(root: Path, plate: WidePlate) -> None:
    """Write where each frame lies in a wide plate; a file that is there stays.

    Raises:
        WriteError: The file cannot be written.
    """
    if not (root / HOMOGRAPHIES_NAME).exists():
        save_text(root / HOMOGRAPHIES_NAME, plate.to_json())


def kept_plate(root: Path) -> WidePlate | None:
    """The wide plate that an earlier run left in a folder, if nobody has painted over it."""
    image, homographies = root / PLATE_NAME, root / HOMOGRAPHIES_NAME
    if not (image.is_file() and homographies.is_file()):
        return None
    try:
        plate = next(iter(open_source(image, lambda _: None))).image
        return WidePlate.from_json(homographies, plate, unchanged=True)
    except MediaError:
        return None
