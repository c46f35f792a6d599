"""Diagnoses a plate: does it fit its clip, and if not, what is wrong?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import cv2
import numpy as np

from dataset import FrameSource, MediaError, evenly_spaced, thumbnails
from media import MattingError

from .auto import AutoPlate
from .compare import Likeness, find_move, liken, mean_move
from .ghost import Ghost, find_ghost

#: What can be wrong with a plate; the first of several is what matters most.
Fault = Literal["scene", "size", "camera", "exposure", "subject"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

#: Pixels of the longer side at which frames and plate are compared.
WORKING_SIZE = 384
#: Pixels that the shorter side needs.
_LEAST_SIDE = 64
#: Frames to look at.
_FRAMES = 5
#: Shares of the plate, in its structure or its very colours, of which one has to be found again.
_LEAST_ALIKE, _LEAST_AGREEING = 0.25, 0.25
#: Pixels, at working size, from which a camera moved.
_MOVED = 0.5
#: Change of a channel, relative and in levels, from which the light is another.
_RELIT, _RELIT_LEVELS = 0.05, 2.0
#: Share of a plate that needs structure; else its colours alone tell which place it shows: this
#: share of a frame has to have them, after a gain no farther from 1 than this (as a logarithm).
_STRUCTURED, _LEAST_RELIT, _WIDEST_GAIN = 0.02, 0.4, 0.5
#: Share of a ghost's outlines from which it is one.
_LEAST_GHOST = 0.18
#: Frames from which something in the plate can be told from the subject.
_LEAST_FRAMES = 3


class PlateError(MattingError, ValueError):
    """A plate that does not fit its clip; the message says what to do."""


@dataclass
class Diagnosis:
    """What a comparison of frames with their plates found.

    Attributes:
        faults: What is wrong; empty if all is well.
        frames: Frames looked at.
        agreeing: Largest share of a frame, in [0, 1], that has its plate's very colours.
        alike: Largest share of a plate's structure, in [0, 1], that a frame shows.
        move: How far the plate lies off, as a share of the frame's width.
        gain: What the plate's red, green and blue have to be multiplied by.
        ghost: What stands in the plate and not in the clip; None if that was not looked for.
    """

    faults: list[Fault] = field(default_factory=list)
    frames: int = 0
    agreeing: float = 0.0
    alike: float = 0.0
    move: float = 0.0
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ghost: Ghost | None = None

    @property
    def verdict(self) -> Fault | Literal["good", "unknown"]:
        """The worst fault; ``good`` without any, ``unknown`` where nothing could be looked at."""
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
        red, green, blue = (f"{100 / gain - 100:+.0f}" for gain in self.gain)
        x, y = self.ghost.where if self.ghost else (0.0, 0.0)
        every: dict[Fault, str] = {
            "scene": f"{bgr.name} does not show the place of {src.name}: --video-bgr takes the "
            "empty scene, from the same camera; a new background goes to --video-target-bgr",
            "size": f"{bgr.name} is {bgr.size[1]}x{bgr.size[0]}, {src.name} is "
            f"{src.size[1]}x{src.size[0]}; take the plate with the clip's own settings",
            "camera": f"the camera moved between {bgr.name} and {src.name}, by "
            f"about {self.move * width:.0f} pixels; --preprocess-alignment lays the plate over it",
            "exposure": f"{bgr.name} has another exposure or white balance than {src.name} (red "
            f"{red}, green {green}, blue {blue} %); --match-plate brings it to that of the frames",
            "subject": f"{bgr.name} shows something around {x * width:.0f}, {y * height:.0f} that "
            f"{src.name} does not: the subject, or a thing that was moved; use a plate without it, "
            "or see whether --mend-plate mends it",
        }
        return {fault: every[fault] for fault in FAULTS if fault in self.faults}


def inspect_plate(src: FrameSource, bgr: FrameSource, size: tuple[int, int]) -> Diagnosis:
    """Look at a few frames of a clip, and at their plates.

    Whatever cannot be read is left to the run, which knows what to say of it.

    Args:
        src: The clip.
        bgr: Its plate; one plate a frame is paired by number, the last one held.
        size: (height, width) of the run's frames.
    """
    scale = min(1.0, WORKING_SIZE / max(size))
    small = (round(size[0] * scale), round(size[1] * scale))
    if min(small) < _LEAST_SIDE or isinstance(bgr, AutoPlate):
        return Diagnosis()
    numbers = evenly_spaced(src.length_hint, _FRAMES)
    try:
        frames = thumbnails(src, numbers, small)
        plates = dict(thumbnails(bgr, [0] if bgr.still else [n for n, _ in frames], small))
        if not frames or not plates:
            return Diagnosis()
        known = sorted(plates)
        pairs = [(x, plates[min(known, key=lambda k: abs(k - n))]) for n, x in frames]
        src_pictures = [frame for frame, _ in pairs]
        found = diagnose(src_pictures, [plates[0]] if bgr.still else [plate for _, plate in pairs])
    except MediaError:
        return Diagnosis()
    return found


def diagnose(frames: Sequence[np.ndarray], plates: Sequence[np.ndarray]) -> Diagnosis:
    """Compare frames with their plates.

    Args:
        frames: (H, W, 3) each, RGB, uint8, no larger than ``WORKING_SIZE``.
        plates: One for all or one for each, of the same size.
    """
    src, bgr = ([_soft(picture) for picture in pictures] for pictures in (frames, plates))
    bgr = bgr * len(src) if len(bgr) == 1 else bgr
    still = [liken(*pair) for pair in zip(src, bgr, strict=True)]
    best = [find_move(*pair) for pair in zip(src, bgr, still, strict=True)]
    size = src[0].shape[:2]
    gain = np.median([likeness.gain for likeness in best], axis=0)
    found = Diagnosis(
        frames=len(src),
        agreeing=max(likeness.same_colours for likeness in best),
        alike=max(likeness.alike * (likeness.structured >= _STRUCTURED) for likeness in best),
        move=float(np.median([mean_move(likeness.move, size) for likeness in best])) / size[1],
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
    )
    if found.alike < _LEAST_ALIKE and found.agreeing < _LEAST_AGREEING and not _plain(best, gain):
        found.faults.append("scene")
        return found
    if found.move * size[1] >= _MOVED:
        found.faults.append("camera")
    levels = np.abs(gain - 1) * bgr[0].mean(axis=(0, 1))
    if np.abs(np.log(gain)).max() > _RELIT and levels.max() > _RELIT_LEVELS:
        found.faults.append("exposure")
    if "camera" not in found.faults and len(src) >= _LEAST_FRAMES and len(plates) == 1:
        found.ghost = _ghost(src, bgr[0], still)
        if found.ghost.share >= _LEAST_GHOST:
            found.faults.append("subject")
    return found


def _plain(best: Sequence[Likeness], gain: np.ndarray) -> bool:
    """Whether the plate is a plain wall, which might be the same in another light."""
    return (
        max(likeness.structured for likeness in best) < _STRUCTURED
        and max(likeness.agreeing for likeness in best) >= _LEAST_RELIT
        and bool(np.abs(np.log(gain)).max() < _WIDEST_GAIN)
    )


def _ghost(src: Sequence[np.ndarray], bgr: np.ndarray, still: Sequence[Likeness]) -> Ghost:
    """Look for somebody in the plate, at half the size: outlines need no more."""
    plate = _half(bgr)
    frames = [_half(frame) / likeness.gain for frame, likeness in zip(src, still, strict=True)]
    return find_ghost(frames, plate)


def _soft(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8)


def _half(picture: np.ndarray) -> np.ndarray:
    size = (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value
