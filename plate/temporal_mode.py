"""The densest value of each pixel over time: what it shows when nothing stands before it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import cv2
import numpy as np

#: Half the width, in levels of 255, of the window in which values of one thing lie: sensor noise,
#: compression, a little drift of the exposure.
_SPREAD = 8
#: Levels that are counted together.
_STEP = 2
_BINS = 256 // _STEP
#: Weights of the levels around the middle of a window: a triangle, so that the middle is definite.
_WINDOW = np.bartlett(2 * _SPREAD // _STEP + 1)[1:-1]
#: Values that a thread looks at together; bounds the memory beside the frames themselves.
_AT_ONCE = 1_000_000
_THREADS = 4


def densest(values: np.ndarray, chosen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Find the densest colour of each pixel over time: a mode, which no passer-by can tint.

    First the window of luma with the most frames in it, then among these the densest window of
    red minus blue. The colour is the mean of what lies there, near to each other.

    Args:
        values: (N, P, 3), RGB, uint8: N frames of P pixels.
        chosen: (N, P), the values that count; all without it.

    Returns:
        The colours (P, 3), uint8, and the share of the frames (P,), float32 in [0, 1], that are
        chosen and show them.
    """
    luma = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    near = np.ones(luma.shape, bool) if chosen is None else chosen
    near = near & _near_densest(luma, near)
    warmth = cv2.addWeighted(values[..., 0], 0.5, values[..., 2], -0.5, 128)
    near &= _near_densest(warmth, near)
    colour = _mean(values, near).astype(np.int16)
    for channel in range(3):
        near &= np.abs(values[..., channel] - colour[:, channel]) <= _SPREAD
    return _mean(values, near), near.mean(axis=0, dtype=np.float32)


def _near_densest(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Which of ``values`` (N, P), uint8, lie in the window with most of the ``chosen`` ones."""
    pixels = values.shape[1]
    bins = np.arange(pixels) * _BINS + values // _STEP
    counts = np.bincount(bins[chosen], minlength=pixels * _BINS).reshape(pixels, _BINS)
    density = cv2.filter2D(
        counts.astype(np.float32), -1, _WINDOW[None], borderType=cv2.BORDER_CONSTANT
    )
    middle = (density.argmax(axis=1) * _STEP + _STEP // 2).astype(np.int16)
    return np.asarray(np.abs(values - middle) <= _SPREAD)


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean (P, 3), uint8, of those of ``values`` (N, P, 3) that are ``chosen`` (N, P)."""
    total = (values * chosen[..., None]).sum(axis=0, dtype=np.uint32)
    return np.rint(total / np.maximum(chosen.sum(axis=0), 1)[:, None]).astype(np.uint8)


def densest_of_clip(
    frames: np.ndarray, between: Callable[[], None], chosen: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The same for whole frames (N, H, W, 3), of which ``chosen`` (N, H, W) tells what counts.

    Returns:
        The colours (H, W, 3), uint8, and the shares of the frames (H, W), float32 in [0, 1].
    """
    count, height, width, _ = frames.shape
    colours = np.empty((height, width, 3), np.uint8)
    agreement = np.empty((height, width), np.float32)

    def look(rows: slice) -> None:
        part = None if chosen is None else chosen[:, rows].reshape(count, -1)
        colour, share = densest(frames[:, rows].reshape(count, -1, 3), part)
        colours[rows] = colour.reshape(colours[rows].shape)
        agreement[rows] = share.reshape(agreement[rows].shape)

    by_rows(frames, look, between)
    return colours, agreement


def by_rows(frames: np.ndarray, work: Callable[[slice], None], between: Callable[[], None]) -> None:
    """Do ``work`` on all rows of ``frames`` (N, H, W, 3), a few at a time, on some threads.

    ``between`` is called now and then; what it raises ends the work.
    """
    count, height, width, _ = frames.shape
    step = max(1, _AT_ONCE // (width * max(count, _BINS)))
    bands = [slice(top, top + step) for top in range(0, height, step)]
    with ThreadPoolExecutor(min(_THREADS, cpu_count() or 1)) as pool:
        try:
            for _ in pool.map(work, bands):
                between()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
