"""The wide plate of a camera that moves, kept in the folder of a run."""

from pathlib import Path

from dataset import FrameSource, MediaError, open_source
from plate import AutoPlate, MovingPlate, RepairedPlate, WidePlate
from writers import HOMOGRAPHIES_NAME, PLATE_NAME, SideKind, save_text


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
