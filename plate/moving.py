"""Plates for a camera that moves: one for each frame, from a wide one that a clip makes."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from dataset import FrameSource, MediaError, check_shape, resize
from media import Warn

from .camera_path import CameraPath
from .complete import complete
from .layout import TooWideError, choose_frames, plan
from .marks import Marks
from .mosaic import Mosaic, make_mosaic
from .stages import Watch, counted, watch_nothing
from .wide import FramePlates, WidePlate

#: Frames that a wide plate is made from: as many as this, if their bytes are no more than that; and
#: the number that is taken even so.
_MAX_FRAMES, _MAX_BYTES, _MIN_FRAMES = 96, 768 * 2**20, 16
#: Share of what was seen, in [0, 1], that is worth a warning: filled, and without an agreement of
#: half of the frames.
_MIN_FILLED, _MIN_DOUBTFUL, _MIN_CERTAIN = 0.0005, 0.05, 0.5
#: Share of the same from which the plate has failed. In drawn clips, those that are as good as with
#: true plates have up to 0.22, and those whose path is wrong 0.4 and more.
_MAX_DOUBTFUL = 0.3


class MovingPlate(FramePlates):
    """Plates made from a clip whose camera turns, zooms or is held by hand.

    The clip is read twice. First, each frame is registered with the others. Then frames that show
    every place often enough are kept, and the mode over time is taken in the plane of one of them.

    Args:
        src: The clip.
        warn: Told of what was filled, and of frames that were not found.
        marks: What an artist knows of the frames.
        frames_of: The clip whose frames get plates, if that is another one of the same place.
        part: A plate that covers a part, (H, W, 3), uint8 or uint16, and its name: it stays, and
            the clip shows the rest.

    Attributes:
        lost: Frames that show nothing of what others show, after :meth:`find`.
        unexplained: Share of what was seen, in [0, 1], on which fewer than half of the frames
            agree: something near the camera, or somebody who stays.
        failed: Whether that is so much that the camera was not followed; and what is told then.

    Raises:
        ShapeError: The other clip has another shape.
        MediaError: While the plate is found: the camera turns too far for one plate, or the other
            clip shows another place.
    """

    def __init__(
        self,
        src: FrameSource,
        warn: Warn,
        marks: Marks | None = None,
        *,
        frames_of: FrameSource | None = None,
        part: tuple[np.ndarray, str] | None = None,
    ):
        shown = frames_of or src
        super().__init__(f"the plate made from {src.name}", shown.size)
        check_shape("the clip", src.name, src.size, self.size, stretch=False, warn=warn)
        self.length_hint = shown.length_hint
        self._frames_of, self._part = frames_of, part
        self.lost: list[int] = []
        self.unexplained, self.failed = 0.0, ""
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
        length = self._src.length_hint
        path = self._follow(CameraPath(self.size), self._src, watch)
        shown = path
        if self._frames_of is not None:
            shown = self._follow(path.branch(), self._frames_of, watch)
            if shown.lost[:1] == [0]:
                raise MediaError(
                    f"{self._frames_of.name}: its first frame shows nothing of {self._src.name}; "
                    "give a clip of the same place"
                )
        self.lost = shown.lost
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
        image, told = mosaic.image, None
        if self._part is not None:
            image, told = complete(mosaic, self._part, path, to_plate)
        self._tell(mosaic, told)
        back = np.linalg.inv(to_plate)
        return WidePlate(image, [h @ back for h in shown.homographies], self.size)

    def _follow(self, path: CameraPath, src: FrameSource, watch: Watch) -> CameraPath:
        step = counted(partial(watch, "frames followed for the plate"), src.length_hint)
        for frame in src:
            step()
            path.add(resize(frame.image, self.size))
        return path

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

    def _tell(self, mosaic: Mosaic, told_of_part: str | None) -> None:
        if told_of_part is not None:
            self._warn(told_of_part)
        seen = max(1, int(mosaic.seen.sum()))
        filled = float(mosaic.spots.sum()) / seen
        doubtful = (mosaic.agreement < _MIN_CERTAIN) & mosaic.seen
        self.unexplained = float(doubtful.sum()) / seen
        if self.lost:
            self._warn(
                f"{self.name}: {len(self.lost)} frames, from frame {self.lost[0]} on, show nothing "
                "that others show; look at their plates in preview.png, or give a plate"
            )
        if self.unexplained >= _MAX_DOUBTFUL:
            self.failed = (
                f"{self.name}: no path of the camera explains {self.unexplained:.0%} of what the "
                "frames show; the camera travels, or the scene hardly shows how it moves; look at "
                "plate.png, and give a plate"
            )
            self._warn(self.failed)
            return
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
