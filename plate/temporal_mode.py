"""The mode of each pixel over time: the colour that it shows when nothing stands before it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import cv2
import numpy as np

from .stages import Step

#: Half the width, in levels of 255, of the window that holds the values of one thing: sensor noise,
#: compression, a slight drift of the exposure.
_HALF_WINDOW = 8
#: Levels in a bin of the histogram.
_BIN_LEVELS = 2
_BINS = 256 // _BIN_LEVELS
#: Weights of the bins of a window: a triangle, so that the densest window is unique.
_WINDOW = np.bartlett(2 * _HALF_WINDOW // _BIN_LEVELS + 1)[1:-1]
#: Values that a thread works on together; bounds the memory beside the frames themselves.
_MAX_VALUES = 1_000_000
_MAX_THREADS = 4


def temporal_mode(
    values: np.ndarray, chosen: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the mode of each pixel's colour over time, which passers-by cannot tint.

    First the window of luma with the most frames in it, then among these the densest window of
    red minus blue. The colour is the mean of the values there that are close to each other.

    Args:
        values: (N, P, 3), RGB, uint8: N frames of P pixels.
        chosen: (N, P), the values that count; by default all.

    Returns:
        The colours (P, 3), uint8, and the share of the frames (P,), float32 in [0, 1], that are
        chosen and show them.
    """
    luma = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    near = np.ones(luma.shape, bool) if chosen is None else chosen
    near = near & _in_densest_window(luma, near)
    warmth = cv2.addWeighted(values[..., 0], 0.5, values[..., 2], -0.5, 128)
    near &= _in_densest_window(warmth, near)
    colour = _mean(values, near).astype(np.int16)
    for channel in range(3):
        near &= np.abs(values[..., channel] - colour[:, channel]) <= _HALF_WINDOW
    return _mean(values, near), near.mean(axis=0, dtype=np.float32)


def _in_densest_window(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Which of ``values`` (N, P), uint8, are in the window with most of the ``chosen`` ones."""
    pixels = values.shape[1]
    bins = np.arange(pixels) * _BINS + values // _BIN_LEVELS
    counts = np.bincount(bins[chosen], minlength=pixels * _BINS).reshape(pixels, _BINS)
    density = cv2.filter2D(
        counts.astype(np.float32), -1, _WINDOW[None], borderType=cv2.BORDER_CONSTANT
    )
    middle = (density.argmax(axis=1) * _BIN_LEVELS + _BIN_LEVELS // 2).astype(np.int16)
    return np.asarray(np.abs(values - middle) <= _HALF_WINDOW)


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean (P, 3), uint8, of those of ``values`` (N, P, 3) that are ``chosen`` (N, P)."""
    number = chosen.sum(axis=0, dtype=np.int32)
    return np.rint(total(values, chosen) / np.maximum(number, 1)[:, None]).astype(np.uint8)


def total(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Sum (P, 3), float32, of those of ``values`` (N, P, 3), uint8, that are ``chosen`` (N, P)."""
    found = np.zeros((1, *values.shape[1:]), np.float32)  # sums of whole numbers, so exact
    if found.size:
        for one, mask in zip(values, chosen.view(np.uint8), strict=True):
            cv2.accumulate(np.ascontiguousarray(one[None]), found, mask[None])
    return found[0]


def temporal_mode_of_frames(
    frames: np.ndarray,
    step: Step,
    chosen: np.ndarray | Callable[[slice], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`temporal_mode`, for whole frames.

    Args:
        frames: (N, H, W, 3), RGB, uint8.
        step: Told of the rows done.
        chosen: (N, H, W), the pixels that count, or a function that gives rows of it; by default
            all.

    Returns:
        The colours (H, W, 3), uint8, and the shares of the frames (H, W), float32 in [0, 1].
    """
    count, height, width, _ = frames.shape
    colours = np.empty((height, width, 3), np.uint8)
    agreement = np.empty((height, width), np.float32)

    def find(rows: slice) -> None:
        part = chosen(rows) if callable(chosen) else None if chosen is None else chosen[:, rows]
        colour, share = temporal_mode(
            frames[:, rows].reshape(count, -1, 3), None if part is None else part.reshape(count, -1)
        )
        colours[rows] = colour.reshape(colours[rows].shape)
        agreement[rows] = share.reshape(agreement[rows].shape)

    by_rows(frames, find, step)
    return colours, agreement


def by_rows(frames: np.ndarray, work: Callable[[slice], None], step: Step) -> None:
    """Do ``work`` on all rows of ``frames`` (N, H, W, 3), in bands, on a few threads.

    ``step`` is told of the rows done.
    """
    count, height, width, _ = frames.shape
    rows = max(1, _MAX_VALUES // (width * max(count, _BINS)))
    bands = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    with ThreadPoolExecutor(min(_MAX_THREADS, cpu_count() or 1)) as pool:
        try:
            for band, _ in zip(bands, pool.map(work, bands), strict=True):
                step(band.stop, height)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
