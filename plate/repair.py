"""Repairs a plate from the clip's frames where alpha is low."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from dataset import Frame, FrameSource, check_shape, resize, sample_evenly
from media import UsageError, Warn

from .auto import AutoPlate
from .patches import MIN_FREE_FRAMES, find_patches, helpful_patches

#: Frames that are matted for it, at most.
_MAX_FRAMES = 48
#: How often these are matted, each time with the plate repaired so far.
_MAX_LOOKS = 3

#: From frames (N, H, W, 3), uint8, a plate (H, W, 3), uint8 or uint16, and a function to call now
#: and then, to what each frame shows at the pixels of the plate (N, H, W, 3), uint8, in the place
#: and the light of the plate, and alpha there (N, H, W), uint8: 255 where it cannot be known.
Look = Callable[
    [np.ndarray, np.ndarray, Callable[[], None]],
    tuple[np.ndarray, np.ndarray],
]


class RepairedPlate(FrameSource):
    """A plate in which frames of the clip replace what is wrong.

    Frames across the clip are matted. A pixel with a low alpha, again and again, and the same
    colour each time, shows the empty scene. Where the plate shows something else there, it was
    painted over, or something was moved, or the subject casts its shadow there. The network
    decides: the frames are matted once more with the patched plate, and patches that lower alpha
    stay. A better plate frees more pixels, so this is repeated.

    Args:
        src: The clip.
        bgr: A still plate.
        look: Mattes frames with a plate.
        size: (height, width) to resize both to; without it, the plate needs the clip's shape.
        warn: Told of what stays as it is.

    Attributes:
        share: Share of the plate that was replaced, in [0, 1]; 0 before :meth:`find`.

    Raises:
        UsageError: The plate is a clip.
        ShapeError: The plate has another shape than the source, and no ``size`` was given.
    """

    still = True

    def __init__(
        self,
        src: FrameSource,
        bgr: FrameSource,
        look: Look,
        *,
        size: tuple[int, int] | None = None,
        warn: Warn,
    ):
        if not bgr.still and bgr.length_hint != 1:
            raise UsageError(
                f"--mend-plate needs one plate for the whole clip, and {bgr.name} has one for "
                "each frame; give an image, or CLIP@TIME"
            )
        stretch = size is not None
        check_shape("the plate", bgr.name, bgr.size, src.size, stretch=stretch, warn=warn)
        self.name, self.size = bgr.name, size or src.size
        self.share = 0.0
        self._src, self._bgr, self._look, self._warn = src, bgr, look, warn
        self._plate: np.ndarray | None = None

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(self.find())

    def find(self, between: Callable[[], None] = lambda: None) -> np.ndarray:
        """Repair the plate; a second call returns the same.

        Args:
            between: Called now and then; what it raises ends the work.

        Returns:
            (H, W, 3), RGB, uint8 or uint16, of ``size``.

        Raises:
            MediaError: The clip or the plate cannot be read.
        """
        if self._plate is None:
            auto = self._bgr if isinstance(self._bgr, AutoPlate) else None
            whole = auto.find(between, tell=False) if auto else next(iter(self._bgr)).image
            self._plate, sure = self._repair(resize(whole, self.size), between)
            if auto:
                auto.tell(cv2.resize(sure.astype(np.uint8), auto.size[::-1]) > 0)
        return self._plate

    def _repair(
        self, plate: np.ndarray, between: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The plate, and where the frames agree on the empty scene, (H, W), bool."""
        changed, sure = np.zeros(self.size, bool), np.zeros(self.size, bool)
        frames = sample_evenly(self._src, between, most=_MAX_FRAMES)
        if len(frames) < MIN_FREE_FRAMES:
            self._warn(f"{self.name}: the clip is too short for --mend-plate, so it stays as it is")
            return plate, sure
        seen, pha = self._look(frames, plate, between)
        for _ in range(_MAX_LOOKS - 1):
            better, patched, sure = find_patches(plate, seen, pha, between)
            if not patched.any():
                break
            del seen  # it may be as large as the frames
            seen, after = self._look(frames, better, between)
            stays = helpful_patches(patched, better, seen, pha, after)
            if not stays.any():
                break
            plate = np.where(stays[..., None], better, plate)
            changed |= stays & patched
            pha = after
        self.share = float(changed.mean())
        return plate, sure
