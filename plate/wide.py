"""A wide plate, and the plates of frames that are cut out of it."""

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import numpy as np

from dataset import Frame, FrameSource, MediaError, Places

from .mosaic import cut_out
from .stages import Watch, watch_nothing

#: Bytes of a file of homographies; those of a day of frames are fewer.
_MAX_FILE_BYTES = 1 << 30
_MAKER = "bgmv2"


@dataclass(frozen=True)
class WidePlate:
    """A wide plate, and where each frame lies in it.

    Attributes:
        image: (H, W, 3), RGB, uint8 or uint16.
        homographies: (3, 3) for each frame, maps pixels of the plate to pixels of the frame.
        size: (height, width) of the frames.
    """

    image: np.ndarray
    homographies: Sequence[np.ndarray]
    size: tuple[int, int]

    def to_json(self) -> str:
        """Everything but the image."""
        height, width = self.image.shape[:2]
        facts = {
            "maker": _MAKER,
            "plate_size": [width, height],
            "plate_crc32": _checksum(self.image),
            "frame_size": [self.size[1], self.size[0]],
            "homographies": [h.ravel().tolist() for h in self.homographies],
        }
        return json.dumps(facts)

    @classmethod
    def from_json(cls, path: Path, image: np.ndarray, *, unchanged: bool = False) -> Self:
        """A wide plate whose homographies are in a file.

        Args:
            path: The file.
            image: The plate, (H, W, 3).
            unchanged: Nobody may have painted over the plate.

        Raises:
            MediaError: The file does not hold homographies for this image.
        """
        facts = _read_facts(path)
        height, width = image.shape[:2]
        try:
            plate_size = tuple(map(int, facts["plate_size"]))
            frame_width, frame_height = map(int, facts["frame_size"])
            matrices = np.array(facts["homographies"], np.float64).reshape(-1, 3, 3)
        except (KeyError, TypeError, ValueError) as error:
            raise MediaError(f"{path}: is damaged; take it from the folder again") from error
        if not len(matrices) or not np.isfinite(matrices).all():
            raise MediaError(f"{path}: is damaged; take it from the folder again")
        if plate_size != (width, height):
            raise MediaError(
                f"{path}: is for a plate of {plate_size[0]}x{plate_size[1]}, and the image beside "
                f"it is {width}x{height}; paint over it without changing its size"
            )
        if unchanged and facts.get("plate_crc32") != _checksum(image):
            raise MediaError(f"{path}: is for a plate that has been changed since")
        return cls(image, list(matrices), (frame_height, frame_width))


def _checksum(image: np.ndarray) -> int:
    return crc32(np.ascontiguousarray(image).data)


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            return {}
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) and facts.get("maker") == _MAKER else {}


def homographies_beside(image: Path) -> Path | None:
    """The file of homographies of a wide plate; None if an image is a plate of the usual kind."""
    path = image.with_suffix(".json")
    return path if path != image and "homographies" in _read_facts(path) else None


class FramePlates(FrameSource):
    """The plates of the frames of a clip, cut out of a wide plate.

    Args:
        name: Name in messages.
        size: (height, width) of the frames.
    """

    def __init__(self, name: str, size: tuple[int, int]):
        self.name, self.size = name, size

    @abstractmethod
    def find(self, watch: Watch = watch_nothing) -> WidePlate:
        """The wide plate; a second call returns the same."""

    def __iter__(self) -> Iterator[Frame]:
        return self._cut(range(self.length()))

    def pick(self, places: Places) -> Iterator[Frame]:
        return self._cut(places)

    def length(self) -> int:
        return len(self.find().homographies)

    def _cut(self, places: Iterable[int]) -> Iterator[Frame]:
        wide = self.find()
        for place in places:
            if place >= len(wide.homographies):
                return
            yield Frame(cut_out(wide.image, wide.homographies[place], self.size))


class FoundPlates(FramePlates):
    """Plates of a wide plate that was made before, and may have been painted over.

    Args:
        name: Name in messages.
        wide: The wide plate.
        deep: It has more than 8 bits a level.
    """

    def __init__(self, name: str, wide: WidePlate, *, deep: bool):
        self._wide = wide
        super().__init__(name, wide.size)
        self.length_hint, self.deep = len(wide.homographies), deep

    @classmethod
    def open(cls, image: FrameSource, homographies: Path) -> Self:
        """Plates of a source of one image, and of the file beside it."""
        wide = WidePlate.from_json(homographies, next(iter(image)).image)
        return cls(image.name, wide, deep=image.deep)

    def find(self, watch: Watch = watch_nothing) -> WidePlate:
        return self._wide
