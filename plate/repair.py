"""Repairs a plate from the clip's frames where alpha is low."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import cv2
import numpy as np

from dataset import Frame, FrameSource, check_shape, resize, sample_with_places
from media import UsageError, Warn

from .auto import AutoPlate
from .patches import MIN_FREE_FRAMES, disagreement, find_patches, helpful_patches
from .stages import Step, Watch, counted, watch_nothing

#: Frames that are matted for it, at most.
_MAX_FRAMES = 48
#: How often these are matted, each time with the plate repaired so far.
_MAX_LOOKS = 3
#: What a repair does, to be said before it begins: it takes a while.
REPAIR_WORK = f"matting up to {_MAX_FRAMES} frames, up to {_MAX_LOOKS} times"

#: From frames (N, H, W, 3), uint8, their places in the clip, a plate (H, W, 3), uint8 or uint16,
#: and a function that is told of the frames done, to what each frame shows at the pixels of the
#: plate (N, H, W, 3), uint8, in the place and the light of the plate, and alpha there (N, H, W),
#: uint8: 255 where it cannot be known.
Look = Callable[
    [np.ndarray, Sequence[int], np.ndarray, Step],
    tuple[np.ndarray, np.ndarray],
]


def check_repairable(bgr: FrameSource) -> None:
    """Raise UsageError if a plate is a clip, which no repair can work on."""
    if not bgr.still and bgr.length_hint != 1:
        raise UsageError(
            f"--mend-plate needs one plate for the whole clip, and {bgr.name} has one for "
            "each frame; give an image, or CLIP@TIME"
        )


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
        is_made: Whether the plate given is made from the clip, too.
        looked: Whether the frames were compared with it; False before :meth:`find`.
        before, after: Share, in [0, 1], of what the frames show where alpha is low that the given
            and the repaired plate do not.

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
        check_repairable(bgr)
        stretch = size is not None
        check_shape("the plate", bgr.name, bgr.size, src.size, stretch=stretch, warn=warn)
        self.name, self.size = bgr.name, size or src.size
        self.share = self.before = self.after = 0.0
        self.looked, self.is_made = False, isinstance(bgr, AutoPlate)
        self._src, self._bgr, self._look, self._warn = src, bgr, look, warn
        self._plate: np.ndarray | None = None

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(self.find())

    def find(self, watch: Watch = watch_nothing) -> np.ndarray:
        """Repair the plate; a second call returns the same.

        Args:
            watch: Told of the stages of the work.

        Returns:
            (H, W, 3), RGB, uint8 or uint16, of ``size``.

        Raises:
            MediaError: The clip or the plate cannot be read.
        """
        if self._plate is None:
            auto = self._bgr if isinstance(self._bgr, AutoPlate) else None
            whole = auto.find(watch, tell=False) if auto else next(iter(self._bgr)).image
            self._plate, settled = self._repair(resize(whole, self.size), watch)
            if auto:
                auto.tell(cv2.resize(settled.astype(np.uint8), auto.size[::-1]) > 0)
        return self._plate

    def summary(self) -> str:
        """What the repair did, in one sentence, after :meth:`find`; empty if it did not look."""
        if not self.looked:
            return ""
        differs = f"{self.before:.2%} of what the frames show where alpha is low"
        if not self.share:
            return (
                f"--mend-plate changed nothing: {differs} differs from {self.name}, and no patch "
                "lowered alpha there; leave it out, and the run takes less time"
            )
        return (
            f"--mend-plate replaced {self.share:.2%} of {self.name}: {differs} differed from it "
            f"before, {self.after:.2%} after"
        )

    def _repair(self, plate: np.ndarray, watch: Watch) -> tuple[np.ndarray, np.ndarray]:
        """The plate, and where it shows what the frames agree on, (H, W), bool."""
        changed, settled = np.zeros(self.size, bool), np.zeros(self.size, bool)
        read = counted(partial(watch, "frames read for the repair"), self._src.length_hint)
        frames, places = sample_with_places(self._src, read, most=_MAX_FRAMES)
        if len(frames) < MIN_FREE_FRAMES:
            self._warn(f"{self.name}: the clip is too short for --mend-plate, so it stays as it is")
            return plate, settled
        self.looked = True
        looks = [
            partial(watch, f"frames matted for the repair, look {n} of at most {_MAX_LOOKS}")
            for n in range(1, _MAX_LOOKS + 1)
        ]
        search = partial(watch, "rows searched for the empty scene")
        compare = partial(watch, "frames compared with the plate")
        seen, pha = self._look(frames, places, plate, looks[0])
        self.before = self.after = disagreement(plate, seen, pha, compare)
        for look in looks[1:]:
            better, patched, sure = find_patches(plate, seen, pha, search)
            settled = sure & ~patched
            if not patched.any():
                break
            del seen  # it may be as large as the frames
            seen, after = self._look(frames, places, better, look)
            stays = helpful_patches(patched, better, seen, pha, after)
            settled |= sure & stays
            if not stays.any():
                break
            plate = np.where(stays[..., None], better, plate)
            changed |= stays & patched
            pha = after
        self.share = float(changed.mean())
        if changed.any():
            self.after = disagreement(plate, seen, pha, compare)
        return plate, settled
