"""Diagnoses a plate: does it fit its clip, and if not, what is wrong?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import cv2
import numpy as np

from dataset import FrameSource, MediaError, Places, evenly_spaced, resize, thumbnails
from media import MattingError

from .auto import AutoPlate
from .compare import Likeness, Move, compare, find_moves, mean_distance, share_move
from .ghost import Ghost, find_ghost
from .moving import MovingPlate
from .steadiness import motion_in_clip
from .wide import FramePlates

#: What can be wrong with a plate, in the order of importance.
Fault = Literal["scene", "size", "moving", "camera", "exposure", "subject"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

#: Longer side, in pixels, at which frames and plate are compared.
WORKING_SIZE = 384
#: Pixels that the shorter side needs.
_MIN_SIDE = 64
#: Frames to compare.
_FRAMES = 5
#: Share of the plate's structure, or of its unchanged colours, that a frame has to show.
_MIN_ALIKE, _MIN_SAME_COLOURS = 0.25, 0.25
#: Distance in pixels, at working size, from which a camera moved, and by how much more the edges of
#: the moved plate have to agree.
_MIN_DISTANCE, _MIN_EDGE_GAIN = 0.5, 0.12
#: Agreement of edges, in [0, 1], from which a plate is in its place, or comes there by a move; and
#: how much a move may add to it in the first case.
_MIN_IN_PLACE, _MAX_IDLE_GAIN = 0.5, 0.02
#: How far a plate lies from its place in another frame, in pixels at working size, if the camera
#: moves in the clip.
_MIN_SPREAD = 1.0
#: Change of a channel, relative and in levels, from which the exposure differs.
_MIN_EXPOSURE_CHANGE, _MIN_LEVEL_CHANGE = 0.05, 2.0
#: Share of a plate that needs structure. With less, its colours alone decide: this share of a frame
#: has to have them, after a gain up to this (as a logarithm).
_MIN_STRUCTURED, _MIN_RELIT_SHARE, _MAX_LOG_GAIN = 0.02, 0.4, 0.5
#: Share of the outlines from which they are a ghost's.
_MIN_GHOST_SHARE = 0.18
#: Frames needed to tell something in the plate from the subject.
_MIN_GHOST_FRAMES = 3


class PlateError(MattingError, ValueError):
    """A plate that does not fit its clip; the message says what to do."""


@dataclass
class Diagnosis:
    """What a comparison of frames with their plates found.

    Attributes:
        faults: What is wrong; empty if all is well.
        frames: Frames compared.
        agreeing: Largest share of a frame, in [0, 1], that has its plate's unchanged colours.
        alike: Largest share of a plate's structure, in [0, 1], that a frame shows.
        move: How far the plate is off, as a share of the frame's width.
        one_place: Whether the edges of the plate agree with most frames in the same place.
        gain: What the plate's red, green and blue have to be multiplied by.
        ghost: What stands in the plate and not in the clip; None if that was not searched.
    """

    faults: list[Fault] = field(default_factory=list)
    frames: int = 0
    agreeing: float = 0.0
    alike: float = 0.0
    move: float = 0.0
    one_place: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ghost: Ghost | None = None

    @property
    def verdict(self) -> Fault | Literal["good", "unknown"]:
        """The worst fault; ``good`` without any, ``unknown`` if nothing could be compared."""
        good: Literal["good", "unknown"] = "good" if self.frames else "unknown"
        return min(self.faults, key=FAULTS.index, default=good)

    def report(self) -> dict[str, Any]:
        """All of it, rounded, for ``run.json``."""
        return {"verdict": self.verdict, **_rounded(asdict(self))}

    def sentences(
        self, src: FrameSource, bgr: FrameSource, size: tuple[int, int]
    ) -> dict[Fault, str]:
        """What is wrong and what to do, for a user with frames of ``size`` (height, width)."""
        height, width = size
        camera = (
            f"the camera moved between {bgr.name} and {src.name}, by "
            f"about {self.move * width:.0f} pixels; --preprocess-alignment aligns the plate"
        )
        if isinstance(bgr, AutoPlate):
            camera = (
                f"the camera moves in {src.name}: --video-bgr auto needs a camera that stands "
                "still; give a plate, and align it with --preprocess-alignment"
            )
        red, green, blue = (f"{100 / gain - 100:+.0f}" for gain in self.gain)
        x, y = self.ghost.where if self.ghost else (0.0, 0.0)
        every: dict[Fault, str] = {
            "scene": f"{bgr.name} does not show the place of {src.name}: --video-bgr takes the "
            "empty scene, from the same camera; a new background goes to --video-target-bgr",
            "size": f"{bgr.name} is {bgr.size[1]}x{bgr.size[0]}, {src.name} is "
            f"{src.size[1]}x{src.size[0]}; take the plate with the clip's own settings",
            "moving": f"the camera moves in {src.name}, and {bgr.name} is one plate for all "
            "frames: --video-bgr auto makes a plate for each frame if the subject moves about; "
            "--preprocess-alignment aligns this one, which a pan soon leaves behind",
            "camera": camera,
            "exposure": f"{bgr.name} has another exposure or white balance than {src.name} (red "
            f"{red}, green {green}, blue {blue} %); --match-plate brings it to that of the frames",
            "subject": f"{bgr.name} shows something around {x * width:.0f}, {y * height:.0f} that "
            f"{src.name} does not: the subject, or a thing that was moved; use a plate without it, "
            "or see whether --mend-plate removes it",
        }
        return {fault: every[fault] for fault in FAULTS if fault in self.faults}


def inspect_plate(src: FrameSource, bgr: FrameSource, size: tuple[int, int]) -> Diagnosis:
    """Compare a few frames of a clip with their plates.

    What cannot be read is left to the run, which reports it.

    Args:
        src: The clip.
        bgr: Its plate; one plate a frame is paired by number, the last one held. Of one that is
            still to be made from the clip, only the camera is judged.
        size: (height, width) of the run's frames.
    """
    small = working_size(size)
    if small is None:
        return Diagnosis()
    if isinstance(bgr, AutoPlate):
        return _inspect_camera(src, small)
    if isinstance(bgr, MovingPlate):
        return Diagnosis()
    numbers = evenly_spaced(src.length_hint, _FRAMES)
    try:
        frames = thumbnails(src, numbers, small)
        shown = [0] if bgr.still else [n for n, _ in frames]
        if isinstance(bgr, FramePlates):
            found = [resize(plate.image, small) for plate in bgr.pick(Places(shown, None))]
            plates = dict(zip(shown, found, strict=False))  # the clip may be longer
        else:
            plates = dict(thumbnails(bgr, shown, small))
    except MediaError:
        return Diagnosis()
    if not frames or not plates:
        return Diagnosis()
    if bgr.still:
        diagnosis = diagnose([frame for _, frame in frames], [plates[0]])
        is_told = bool({"scene", "moving"} & {*diagnosis.faults})
        # what seems to stand in the plate may be the place from which the camera turned away
        fits = diagnosis.one_place and "subject" not in diagnosis.faults
        if not (is_told or fits) and motion_in_clip(src, small, plates[0])[0]:
            others = [f for f in diagnosis.faults if f not in ("camera", "subject")]
            diagnosis.faults = ["moving", *others]
        return diagnosis
    nearest = [plates[min(plates, key=lambda k: abs(k - n))] for n, _ in frames]
    return diagnose([frame for _, frame in frames], nearest)


def camera_moves(src: FrameSource) -> bool:
    """Whether the camera moves in a clip, by a look at a few frames."""
    small = working_size(src.size)
    return small is not None and motion_in_clip(src, small)[0] > 0


def working_size(size: tuple[int, int]) -> tuple[int, int] | None:
    """The (height, width) at which frames of a ``size`` are compared; None if that is too small."""
    scale = min(1.0, WORKING_SIZE / max(size))
    small = round(size[0] * scale), round(size[1] * scale)
    return small if min(small) >= _MIN_SIDE else None


def _inspect_camera(src: FrameSource, small: tuple[int, int]) -> Diagnosis:
    """Diagnosis of a clip without a plate: whether its camera moves."""
    distance, looked_at = motion_in_clip(src, small)
    faults: list[Fault] = ["camera"] if distance else []
    return Diagnosis(faults, frames=looked_at if distance else 0, move=distance / small[1])


def diagnose(frames: Sequence[np.ndarray], plates: Sequence[np.ndarray]) -> Diagnosis:
    """Compare frames with their plates.

    Args:
        frames: (H, W, 3) each, RGB, uint8, no larger than ``WORKING_SIZE``.
        plates: One for all or one for each, of the same size.
    """
    is_still = len(plates) == 1
    plates = list(plates) * (len(frames) if is_still else 1)
    moves = find_moves(frames, plates)
    figures = [(move.distance, move.gain, move.unmoved) for move in moves]
    distance, edge_gain, agreement = np.median(figures, axis=0)
    moved = bool(distance >= _MIN_DISTANCE and edge_gain >= _MIN_EDGE_GAIN)
    src = [_soft(frame) for frame in frames]
    bgr = [_soft(plates[0])] * len(src) if is_still else [_soft(plate) for plate in plates]
    homographies = [move.homography if moved else None for move in moves]
    likenesses = [compare(*triple) for triple in zip(src, bgr, homographies, strict=True)]
    mean = np.maximum(bgr[0].mean(axis=(0, 1)), 1)
    gain = np.maximum(np.median([x.gain + x.offset / mean for x in likenesses], axis=0), 0.01)
    found = Diagnosis(
        frames=len(src),
        agreeing=max(x.same_colours for x in likenesses),
        alike=max(x.alike * (x.structured >= _MIN_STRUCTURED) for x in likenesses),
        move=float(distance) / frames[0].shape[1] if moved else 0.0,
        one_place=bool(agreement >= _MIN_IN_PLACE and edge_gain <= _MAX_IDLE_GAIN),
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
    )
    is_strange = found.alike < _MIN_ALIKE and found.agreeing < _MIN_SAME_COLOURS
    if is_strange and not _is_relit_wall(likenesses, gain):
        found.faults.append("scene")
        return found
    if moved:
        moves_on = is_still and _differ(moves, frames, plates[0])
        found.faults.append("moving" if moves_on else "camera")
        found.one_place = not moves_on and bool(agreement + edge_gain >= _MIN_IN_PLACE)
    levels = np.abs(gain - 1) * mean
    if np.abs(np.log(gain)).max() > _MIN_EXPOSURE_CHANGE and levels.max() > _MIN_LEVEL_CHANGE:
        found.faults.append("exposure")
    if is_still and not moved and len(src) >= _MIN_GHOST_FRAMES:
        found.ghost = _find_ghost(src, bgr[0], likenesses)
        if found.ghost.share >= _MIN_GHOST_SHARE:
            found.faults.append("subject")
    return found


def _differ(moves: Sequence[Move], frames: Sequence[np.ndarray], plate: np.ndarray) -> bool:
    """Whether a plate lies elsewhere in each frame: half of the frames are off the middle one."""
    size = plate.shape[:2]
    apart = [
        [mean_distance(np.linalg.inv(one.homography) @ other.homography, size) for other in moves]
        for one in moves
    ]
    is_apart = bool(np.median(apart, axis=1).min() >= _MIN_SPREAD)
    return is_apart and not share_move(frames, plate, moves)


def _is_relit_wall(likenesses: Sequence[Likeness], gain: np.ndarray) -> bool:
    """Whether the plate is a plain wall, which may be the same one in another light."""
    return (
        max(x.structured for x in likenesses) < _MIN_STRUCTURED
        and max(x.agreeing for x in likenesses) >= _MIN_RELIT_SHARE
        and bool(np.abs(np.log(gain)).max() < _MAX_LOG_GAIN)
    )


def _find_ghost(
    src: Sequence[np.ndarray], bgr: np.ndarray, likenesses: Sequence[Likeness]
) -> Ghost:
    """Search the plate for somebody, at half the size, which is enough for outlines."""
    frames = [(_half(x) - fit.offset) / fit.gain for x, fit in zip(src, likenesses, strict=True)]
    return find_ghost(frames, _half(bgr))


def _soft(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.8)


def _half(image: np.ndarray) -> np.ndarray:
    size = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value
