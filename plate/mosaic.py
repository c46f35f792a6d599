"""A wide plate from frames of a camera that turns: the mode over time of each place it saw."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import cv2
import numpy as np

from .auto import filled
from .marks import FREE, OUTSIDE, UNKNOWN, that_count
from .stages import Step
from .temporal_mode import temporal_mode

#: Height and width of the tiles that are made one at a time; OpenCV looks up at most 32766 pixels.
_TILE = (128, 192)
_MAX_THREADS = 2
#: Border of a frame, in pixels, that is left out: encoders and lenses are worst there.
_BORDER = 2
#: Values that differ by no more levels show one thing.
_MAX_SPREAD = 16
#: Share of the frames that have to agree on a pixel; others get a second pass, so often: each one
#: knows better where somebody stands.
_MIN_AGREEMENT, _SECOND_PASSES = 0.7, 2
#: A pixel was free if it showed the plate in this share of the frames, and in this many.
_MIN_FREE_SHARE, _MIN_FREE_FRAMES = 0.03, 3
#: Cells along the longer side of a frame in which something before the plate is looked for, and the
#: difference in levels that shows it.
_CELLS, _MIN_DIFFERENCE = 160, 10


@dataclass
class Mosaic:
    """A wide plate.

    Attributes:
        image: (H, W, 3), RGB, uint8.
        to_plate: (3, 3), maps pixels of the first frame of the clip to pixels of the plate.
        seen: (H, W), bool: what some frame shows.
        spots: (H, W), bool: what was never free, and is filled from around.
        agreement: (H, W), float32: share of the frames there that show the plate, in [0, 1].
    """

    image: np.ndarray
    to_plate: np.ndarray
    seen: np.ndarray
    spots: np.ndarray
    agreement: np.ndarray


def make_mosaic(
    frames: np.ndarray,
    homographies: Sequence[np.ndarray],
    to_plate: np.ndarray,
    shape: Sequence[int],
    step: Step,
    marks: np.ndarray | None = None,
) -> Mosaic:
    """Make a wide plate.

    Args:
        frames: (N, H, W, 3), RGB, uint8.
        homographies: (3, 3) of each, from pixels of the first frame of the clip to its pixels.
        to_plate, shape: From :func:`plan`.
        step: Told of the tiles done.
        marks: (N, H, W), what an artist knows of the frames; see :data:`plate.marks.Marks`.
    """
    back = np.linalg.inv(to_plate)
    maps = [h @ back for h in homographies]
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)
    agreement, count = np.zeros((2, height, width), np.float32)
    seen = np.zeros((height, width), bool)
    # OUTSIDE along the border
    inside = np.zeros((len(frames) if marks is not None else 1, *frames.shape[1:3]), np.uint8)
    within = np.s_[:, _BORDER:-_BORDER, _BORDER:-_BORDER]
    inside[within] = UNKNOWN if marks is None else marks[within]
    inside = np.broadcast_to(inside, frames.shape[:3])

    def first_pass(tile: tuple[slice, slice]) -> None:
        values, chosen, shown = _warped(frames, inside, maps, tile)
        colour, share, number = _mode(values, chosen)
        part = image[tile].shape[:2]
        image[tile], seen[tile] = colour.reshape(*part, 3), shown.reshape(part)
        agreement[tile], count[tile] = share.reshape(part), number.reshape(part)

    _by_tiles(shape, first_pass, step)
    taken: list[np.ndarray] = []

    def second_pass(tile: tuple[slice, slice]) -> None:
        y, x = np.nonzero((agreement[tile] < _MIN_AGREEMENT) & (count[tile] > 0))
        if len(y):
            y, x = y + tile[0].start, x + tile[1].start
            values, chosen = _shown_at(frames, inside, taken, maps, x, y)
            image[y, x], share = temporal_mode(values, chosen)
            agreement[y, x] = share * len(frames) / count[y, x]

    for _ in range(_SECOND_PASSES):
        taken = [_occupied(frame, image, m) for frame, m in zip(frames, maps, strict=True)]
        _by_tiles(shape, second_pass, step)
    enough = np.maximum(
        _MIN_FREE_SHARE, np.minimum(_MIN_FREE_FRAMES, count / 2) / np.maximum(count, 1)
    )
    never_free = ((agreement < enough) & seen).astype(np.uint8)
    spots = (cv2.dilate(never_free, np.ones((3, 3), np.uint8)) > 0) & seen
    if spots.any():
        image = filled(image, spots)
    return Mosaic(_grown(image, seen), to_plate, seen, spots, agreement)


def _by_tiles(
    shape: Sequence[int], work: Callable[[tuple[slice, slice]], None], step: Step
) -> None:
    height, width = shape
    down, across = _TILE
    tiles = [
        (slice(y, min(height, y + down)), slice(x, min(width, x + across)))
        for y in range(0, height, down)
        for x in range(0, width, across)
    ]
    with ThreadPoolExecutor(min(_MAX_THREADS, cpu_count() or 1)) as pool:
        try:
            for done, _ in enumerate(pool.map(work, tiles), 1):
                step(done, len(tiles))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _warped(
    frames: np.ndarray,
    inside: np.ndarray,
    maps: Sequence[np.ndarray],
    tile: tuple[slice, slice],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What frames show in a tile: values (n, P, 3), uint8, and where they count (n, P), bool.

    ``inside`` (N, H, W), uint8, has marks, and OUTSIDE along the border. The last result says
    where some frame shows something (P,), bool.
    """
    rows, columns = tile
    size = (columns.stop - columns.start, rows.stop - rows.start)
    shift = np.array([[1, 0, columns.start], [0, 1, rows.start], [0, 0, 1]], np.float64)
    values, chosen = [], []
    for frame, marks, to_frame in zip(frames, inside, maps, strict=True):
        matrix = to_frame @ shift
        if not _touches(matrix, size, marks.shape):
            continue
        flags = cv2.WARP_INVERSE_MAP
        shown = cv2.warpPerspective(marks, matrix, size, flags=flags | cv2.INTER_NEAREST)
        if shown.any():
            chosen.append(shown.reshape(-1))
            warped = cv2.warpPerspective(
                frame, matrix, size, flags=flags | cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            values.append(warped.reshape(-1, 3))
    if not values:
        count = size[0] * size[1]
        return np.zeros((0, count, 3), np.uint8), np.zeros((0, count), bool), np.zeros(count, bool)
    marked = np.stack(chosen)
    return np.stack(values), that_count(marked)[0], (marked != OUTSIDE).any(axis=0)


def _touches(matrix: np.ndarray, tile: tuple[int, int], size: Sequence[int]) -> bool:
    """Whether a tile (width, height) may lie in a frame (height, width)."""
    corners = np.array([[0, 0, 1], [tile[0], 0, 1], [tile[0], tile[1], 1], [0, tile[1], 1]])
    found = corners @ matrix.T
    if (found[:, 2] <= 0).any():
        return bool((found[:, 2] > 0).any())
    x, y = (found[:, :2] / found[:, 2:]).T
    return bool(x.max() > 0 and y.max() > 0 and x.min() < size[1] and y.min() < size[0])


def _mode(values: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (P, 3), uint8, the share of the chosen values that show them, and their number."""
    count = chosen.sum(axis=0, dtype=np.float32)
    colour, share = np.zeros(values.shape[1:], np.uint8), np.zeros_like(count)
    if not len(values):
        return colour, share, count
    counts = chosen[..., None]
    spread = np.where(counts, values, 0).max(axis=0) - np.where(counts, values, 255).min(axis=0)
    agrees = (spread.max(axis=1) <= _MAX_SPREAD) & (count > 0)
    total = (values[:, agrees] * counts[:, agrees]).sum(axis=0, dtype=np.uint32)
    colour[agrees], share[agrees] = np.rint(total / count[agrees, None]), 1
    left = ~agrees & (count > 0)
    if left.any():
        colour[left], found = temporal_mode(values[:, left], chosen[:, left])
        share[left] = found * len(values) / count[left]
    return colour, share, count


def _occupied(frame: np.ndarray, plate: np.ndarray, to_frame: np.ndarray) -> np.ndarray:
    """Where something stands before the plate in a frame: (h, w), uint8, in cells of the frame."""
    height, width = frame.shape[:2]
    every = max(1, round(max(height, width) / _CELLS))
    size = (-(-width // every), -(-height // every))
    # both at half the detail of a cell: what was sampled coarsely must not differ by that alone
    shown = cv2.warpPerspective(
        plate, to_frame, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    cells = [
        cv2.GaussianBlur(cv2.resize(x, size, interpolation=cv2.INTER_AREA), (3, 3), 0)
        for x in (frame, shown)
    ]
    apart = (cv2.absdiff(*cells).max(axis=2) > _MIN_DIFFERENCE).astype(np.uint8)
    wide = cv2.dilate(apart, np.ones((3, 3), np.uint8))
    # what is inside is occupied, too: there, somebody may be in the plate as in the frame
    outlines, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(wide, outlines, -1, 1, cv2.FILLED))


def _shown_at(
    frames: np.ndarray,
    inside: np.ndarray,
    taken: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What frames show at pixels of the plate (P,): (N, P, 3), and where nothing stands (N, P)."""
    points = np.stack([x, y, np.ones(len(x))])
    values = np.empty((len(frames), len(x), 3), np.uint8)
    chosen = np.empty((len(frames), len(x)), bool)
    height, width = inside.shape[1:]
    shown = np.zeros(chosen.shape, np.uint8)
    for n, (frame, cells, to_frame) in enumerate(zip(frames, taken, maps, strict=True)):
        found = to_frame @ points
        u, v = (found[:2] / found[2]).astype(np.float32)
        values[n] = cv2.remap(
            frame, u[:, None], v[:, None], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )[:, 0]
        column, row = np.rint(u).astype(int), np.rint(v).astype(int)
        on_frame = (found[2] > 0) & (column >= 0) & (row >= 0) & (column < width) & (row < height)
        column, row = column.clip(0, width - 1), row.clip(0, height - 1)
        free = cells[row * cells.shape[0] // height, column * cells.shape[1] // width] == 0
        shown[n] = np.where(on_frame, inside[n, row, column], OUTSIDE)
        chosen[n] = free | (shown[n] == FREE)
    return values, chosen & that_count(shown)[0]


def _grown(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) with the pixels next to those seen filled, for plates to be cut out."""
    image, known = image.copy(), seen.astype(np.float32)
    for _ in range(3):
        weight = cv2.blur(known, (5, 5), borderType=cv2.BORDER_CONSTANT)
        total = cv2.blur(
            image.astype(np.float32) * known[..., None], (5, 5), borderType=cv2.BORDER_CONSTANT
        )
        new = (known == 0) & (weight > 0.01)
        image[new] = np.rint(total[new] / weight[new, None])
        known[new] = 1
    return image


def cut_out(image: np.ndarray, to_frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The plate (H, W, 3) of a frame of ``size``, out of a wide one."""
    return cv2.warpPerspective(
        image, to_frame, size[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
