"""The plate of a run, repaired from the clip if the settings ask for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from dataset import FrameSource, MemorySource
from media import Warn
from model import Predictor
from plate import AlignMode, RepairedPlate, Step
from writers import to_levels

from .inputs import Inputs
from .loader import FrameBatch, PairLoader
from .mattes import Mattes
from .settings import Settings
from .transfer import DeviceFeed

#: Levels near black and white, where cameras clip, so that nothing is known of another light.
_BLACK, _WHITE = 5, 250


def with_repaired_plate(
    settings: Settings, inputs: Inputs, predictor: Predictor, warn: Warn
) -> Inputs:
    """The inputs, with a plate that repairs itself if the settings ask for it.

    Raises:
        UsageError, ShapeError: As :class:`plate.RepairedPlate`.
    """
    if not settings.mend_plate:
        return inputs
    plate = repaired_plate(
        inputs.src,
        inputs.bgr,
        predictor,
        size=inputs.size if settings.video_resize else None,
        align=settings.align,
        match=settings.match_plate,
        mattes=inputs.mattes,
        warn=warn,
    )
    return replace(inputs, bgr=plate)


def repaired_plate(
    src: FrameSource,
    bgr: FrameSource,
    predictor: Predictor,
    *,
    size: tuple[int, int] | None = None,
    align: AlignMode | None = None,
    match: bool = False,
    mattes: Mattes = Mattes(),  # noqa: B008
    warn: Warn,
) -> RepairedPlate:
    """A plate that a network repairs, and an artist who knows where the scene is free.

    Arguments are those of :class:`plate.RepairedPlate` and :class:`PairLoader`.
    """

    def look(
        frames: np.ndarray, places: Sequence[int], plate: np.ndarray, step: Step
    ) -> tuple[np.ndarray, np.ndarray]:
        done = 0

        def told(number: int) -> None:
            nonlocal done
            done = number
            step(done, len(frames))

        clip = MemorySource(frames, src.name, consecutive=False)
        still = MemorySource(plate[None], bgr.name, still=True)
        loader = PairLoader(
            clip,
            still,
            size=plate.shape[:2],
            align=align,
            match=match,
            mattes=mattes.at(places),
            waiting=lambda: step(done, len(frames)),
            warn=warn,
        )
        with loader:
            return _matte_on_plate(loader, predictor, frames, told)

    return RepairedPlate(src, bgr, look, size=size, warn=warn)


def _matte_on_plate(
    loader: PairLoader, predictor: Predictor, frames: np.ndarray, told: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """What frames show at the pixels of their plate, and alpha there; see :data:`plate.Look`."""
    size, fitter = loader.size, loader.fitter
    moved = fitter.aligner or fitter.matcher or frames.shape[1:3] != size
    seen = np.empty((len(frames), *size, 3), np.uint8) if moved else frames
    alphas = np.empty((len(frames), *size), np.uint8)
    feed = DeviceFeed(predictor.device)
    for index, batch in enumerate(loader):
        told(index)
        pair = feed(batch)
        frame = batch.src[0].permute(1, 2, 0).numpy()
        alpha = predictor(pair.src, pair.bgr).pha
        if pair.core is not None:  # known to be taken, all of it
            alpha = alpha.maximum(pair.core)
        if pair.garbage is not None:
            alpha = alpha * pair.garbage
        pha = to_levels(alpha)[0, 0].cpu().numpy()
        if fitter.matcher:
            pha = np.where(_clipped(frame), np.uint8(255), pha)
        alphas[index] = _onto_plate(pha, batch, beyond=255)
        if moved:
            seen[index] = _in_light_of_plate(_onto_plate(frame, batch), batch)
    return seen, alphas


def _onto_plate(image: np.ndarray, batch: FrameBatch, *, beyond: float = 0) -> np.ndarray:
    """An image of the frame (H, W) or (H, W, C), uint8, aligned with its plate."""
    if batch.homography is None:
        return image
    return cv2.warpPerspective(
        image,
        batch.homography[0].numpy(),
        image.shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=beyond,
    )


def _clipped(frame: np.ndarray) -> np.ndarray:
    """Where a frame (H, W, 3), uint8, is too dark or too bright to be brought to another light."""
    return (frame.min(axis=2) < _BLACK) | (frame.max(axis=2) > _WHITE)


def _in_light_of_plate(frame: np.ndarray, batch: FrameBatch) -> np.ndarray:
    """The colours of a frame (H, W, 3), uint8, brought to the light of its plate."""
    if batch.colour is None:
        return frame
    gain, offset = batch.colour[0].numpy()
    table = np.rint((np.arange(256)[:, None] - 255 * offset) / gain).clip(0, 255)
    return cv2.LUT(frame, table.astype(np.uint8)[None])
