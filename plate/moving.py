"""Plates for a camera that moves: one for each frame, cut out of a wide one."""

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import numpy as np

from dataset import Frame, FrameSource, MediaError, Places, resize
from media import Warn

from .camera_path import CameraPath
from .layout import TooWideError, choose_frames, plan
from .marks import Marks
from .mosaic import Mosaic, cut_out, make_mosaic
from .stages import Watch, counted, watch_nothing

#: Frames that a wide plate is made from: as many as this, if their bytes are no more than that; and
#: the number that is taken even so.
_MAX_FRAMES, _MAX_BYTES, _MIN_FRAMES = 96, 768 * 2**20, 16
#: Share of what was seen, in [0, 1], that is worth a warning: filled, and without an agreement of
#: half of the frames.
_MIN_FILLED, _MIN_DOUBTFUL, _MIN_CERTAIN = 0.0005, 0.05, 0.5
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


class MovingPlate(FramePlates):
    """Plates made from a clip whose camera turns, zooms or is held by hand.

    The clip is read twice. First, each frame is registered with the others. Then frames that show
    every place often enough are kept, and the mode over time is taken in the plane of one of them.

    Args:
        src: The clip.
        warn: Told of what was filled, and of frames that were not found.
        marks: What an artist knows of the frames.

    Attributes:
        lost: Frames that show nothing of what others show, after :meth:`find`.
        unexplained: Share of what was seen, in [0, 1], on which fewer than half of the frames
            agree: something near the camera, or somebody who stays.

    Raises:
        MediaError: While the plate is found: the camera turns too far for one plate.
    """

    def __init__(self, src: FrameSource, warn: Warn, marks: Marks | None = None):
        super().__init__(f"the plate made from {src.name}", src.size)
        self.length_hint = src.length_hint
        self.lost: list[int] = []
        self.unexplained = 0.0
        self._src, self._warn, self._marks = src, warn, marks
        self._wide: WidePlate | None = None

    def take(self, wide: WidePlate | None) -> None:
        """Use a wide plate that was made before, if it is for frames of this size."""
        if wide is not None and wide.size == self.size:
            self._wide = wide

    def find(self, watch: Watch = watch_nothing) -> WidePlate:
        if self._wide is None:
            self._wide = self._make(watch)
        return self._wide

    def _make(self, watch: Watch) -> WidePlate:
        path, length = CameraPath(self.size), self._src.length_hint
        step = counted(partial(watch, "frames followed for the plate"), length)
        for frame in self._src:
            step()
            path.add(resize(frame.image, self.size))
        self.lost = path.lost
        height, width = self.size
        most = min(_MAX_FRAMES, max(_MIN_FRAMES, _MAX_BYTES // (height * width * 3)))
        try:
            to_plate, shape = plan(path.homographies, self.size)
            numbers = choose_frames(path.homographies, self.size, most)
        except TooWideError as error:
            raise MediaError(
                f"{self._src.name}: the camera turns too far for one plate; matte the clip in "
                "parts, or give a plate for each frame"
            ) from error
        frames = self._read(numbers, counted(partial(watch, "frames read for the plate"), length))
        numbers = numbers[: len(frames)]
        mosaic = make_mosaic(
            frames,
            [path.homographies[n] for n in numbers],
            to_plate,
            shape,
            partial(watch, "tiles of the plate"),
            None if self._marks is None else self._marks(numbers, self.size),
        )
        self._tell(mosaic)
        back = np.linalg.inv(to_plate)
        return WidePlate(mosaic.image, [h @ back for h in path.homographies], self.size)

    def _read(self, numbers: Sequence[int], step: Callable[[], None]) -> np.ndarray:
        kept = np.empty((len(numbers), *self.size, 3), np.uint8)
        wanted, count = iter(numbers), 0
        number = next(wanted, None)
        for n, frame in enumerate(self._src):
            step()
            if n == number:
                image = resize(frame.image, self.size)
                kept[count] = image if image.dtype == np.uint8 else image >> 8
                count, number = count + 1, next(wanted, None)
            if number is None:
                break
        return kept[:count]

    def _tell(self, mosaic: Mosaic) -> None:
        seen = max(1, int(mosaic.seen.sum()))
        filled = float(mosaic.spots.sum()) / seen
        doubtful = (mosaic.agreement < _MIN_CERTAIN) & mosaic.seen
        self.unexplained = float(doubtful.sum()) / seen
        if self.lost:
            self._warn(
                f"{self.name}: {len(self.lost)} frames, from frame {self.lost[0]} on, show nothing "
                "that others show; look at their plates in preview.png, or give a plate"
            )
        told = []
        if filled >= _MIN_FILLED:
            told.append(f"{filled:.2%} of it was never free and is filled from around")
        if self.unexplained >= _MIN_DOUBTFUL:
            told.append(
                f"in {self.unexplained:.0%} of it fewer than half of the frames agree: something "
                "stays or moves there, or is so near that it moves against what is far"
            )
        if told:
            self._warn(
                f"{self.name}: {', and '.join(told)}; look at plate.png, retouch it and give it as "
                "--video-bgr, with plate.json beside it"
            )
