"""A plate that the clip itself mends: the network says when a pixel of it was free."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from dataset import (
    AlignMode,
    AutoPlate,
    DeviceFeed,
    Frame,
    FrameBatch,
    FrameSource,
    HeldPictures,
    PairLoader,
    check_plate,
    resize,
    sample_evenly,
)
from model import Matter
from writers import to_levels

from .opening import Inputs
from .patches import FREE_FRAMES, helpful, mended
from .settings import Settings, UsageError

#: Frames that are matted for it, at most, and how often, each time with the plate found before.
_MOST_FRAMES, _LOOKS = 48, 3
#: Levels near black and white, where cameras clip, so that they tell nothing of another light.
_BLACK, _WHITE = 5, 250


class MendedPlate(FrameSource):
    """A plate with what the clip shows in place of what is wrong in it.

    Frames across the clip are matted. Where a pixel is free, again and again, and shows the same
    each time, that is the scene. Where the plate shows something else, it was painted over, or
    something moved, or the subject casts its shadow there. The network tells: what makes alpha
    fall, when the frames are matted once more, stays. With a better plate more pixels are free.

    Args:
        src: The clip.
        bgr: A still plate.
        matter: Mattes frames.
        size: (height, width) to resize both to; without it, the plate is to have the clip's shape.
        align: As in :class:`PairLoader`.
        match: Likewise.
        warn: Told of what stays as it is.

    Attributes:
        share: How much of the plate was mended, in [0, 1]; known once that was done.

    Raises:
        UsageError: The plate is a clip.
        ValueError: The plate has another shape than the source, and no ``size`` was given.
    """

    still = True

    def __init__(
        self,
        src: FrameSource,
        bgr: FrameSource,
        matter: Matter,
        *,
        size: tuple[int, int] | None = None,
        align: AlignMode | None = None,
        match: bool = False,
        warn: Callable[[str], None],
    ):
        if not bgr.still and bgr.length_hint != 1:
            raise UsageError(
                f"--mend-plate needs one plate for the whole clip, and {bgr.name} has one for "
                "each frame; give an image, or CLIP@TIME"
            )
        check_plate(bgr.name, bgr.size, src.size, stretch=size is not None, warn=warn)
        self.name, self.size = bgr.name, size or src.size
        self.share = 0.0
        self._src, self._bgr, self._matter = src, bgr, matter
        self._align, self._match, self._warn = align, match, warn
        self._plate: np.ndarray | None = None

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(self.find())

    def find(self, between: Callable[[], None] = lambda: None) -> np.ndarray:
        """Mend the plate; a second call returns the same.

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
            self._plate, sure = self._mend(resize(whole, self.size), between)
            if auto:
                auto.tell(cv2.resize(sure.astype(np.uint8), auto.size[::-1]) > 0)
        return self._plate

    def _mend(
        self, plate: np.ndarray, between: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The plate, and where the clip shows what it should, (H, W), bool."""
        changed, sure = np.zeros(self.size, bool), np.zeros(self.size, bool)
        frames = sample_evenly(self._src, between, most=_MOST_FRAMES)
        if len(frames) < FREE_FRAMES:
            self._warn(f"{self.name}: the clip is too short for --mend-plate, so it stays as it is")
            return plate, sure
        seen, pha = self._look(frames, plate, between)
        for _ in range(_LOOKS - 1):
            better, patches, sure = mended(plate, seen, pha, between)
            if not patches.any():
                break
            del seen  # it may be as large as the frames
            seen, after = self._look(frames, better, between)
            stays = helpful(patches, better, seen, pha, after)
            if not stays.any():
                break
            plate = np.where(stays[..., None], better, plate)
            changed |= stays & patches
            pha = after
        self.share = float(changed.mean())
        return plate, sure

    def _look(
        self, frames: np.ndarray, plate: np.ndarray, between: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """What each of ``frames`` shows at the pixels of ``plate``, and alpha there.

        Returns:
            (N, H, W, 3), uint8, in place and light of the plate, and (N, H, W), uint8; alpha is 1
            where it cannot be known.
        """
        count, (height, width) = len(frames), self.size
        moved = self._align or self._match or frames.shape[1:3] != self.size
        seen = np.empty((count, height, width, 3), np.uint8) if moved else frames
        alphas = np.empty((count, height, width), np.uint8)
        feed = DeviceFeed(self._matter.device)
        loader = PairLoader(
            HeldPictures(frames, self._src.name, consecutive=False),
            HeldPictures(plate[None], self.name, still=True),
            size=self.size,
            align=self._align,
            match=self._match,
            warn=self._warn,
        )
        loader.waiting = between
        with loader:
            for index, batch in enumerate(loader):
                between()
                pair = feed(batch)
                src = batch.src[0].permute(1, 2, 0).numpy()
                pha = to_levels(self._matter(pair.src, pair.bgr).pha)[0, 0].cpu().numpy()
                if self._match:
                    pha = np.where(_clipped(src), np.uint8(255), pha)
                alphas[index] = _back(pha, batch, beyond=255)
                if moved:
                    seen[index] = _plain(_back(src, batch), batch)
        return seen, alphas


def with_mended_plate(
    settings: Settings, inputs: Inputs, matter: Matter, warn: Callable[[str], None]
) -> Inputs:
    """The inputs, with a plate that gets mended if the settings want that.

    Raises:
        UsageError, ValueError: As :class:`MendedPlate`.
    """
    if not settings.mend_plate:
        return inputs
    plate = MendedPlate(
        inputs.src,
        inputs.bgr,
        matter,
        size=inputs.size if settings.video_resize else None,
        align=settings.align,
        match=settings.match_plate,
        warn=warn,
    )
    return replace(inputs, bgr=plate)


def _back(picture: np.ndarray, batch: FrameBatch, *, beyond: float = 0) -> np.ndarray:
    """A picture of the frame (H, W) or (H, W, C), uint8, where its plate lies."""
    if batch.homography is None:
        return picture
    return cv2.warpPerspective(
        picture,
        batch.homography[0].numpy(),
        picture.shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=beyond,
    )


def _clipped(frame: np.ndarray) -> np.ndarray:
    """Where a frame (H, W, 3), uint8, is too dark or too bright to tell of another light."""
    return (frame.min(axis=2) < _BLACK) | (frame.max(axis=2) > _WHITE)


def _plain(frame: np.ndarray, batch: FrameBatch) -> np.ndarray:
    """The colours of a frame (H, W, 3), uint8, in the light of its plate."""
    if batch.colour is None:
        return frame
    gain, offset = batch.colour[0].numpy()
    table = np.rint((np.arange(256)[:, None] - 255 * offset) / gain).clip(0, 255)
    return cv2.LUT(frame, table.astype(np.uint8)[None])
