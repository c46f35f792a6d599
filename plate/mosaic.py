"""A wide plate from frames of a camera that turns: the mode over time of each place it saw."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import cv2
import numpy as np

from .auto import filled
from .layers import scene_colours
from .marks import FREE, OUTSIDE, UNKNOWN, that_count
from .stages import Step
from .standing import Standing
from .temporal_mode import temporal_mode, total

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
#: Difference, in levels, up to which a value shows a colour that is expected.
_MAX_APART = 12
#: Points that are looked up together.
_ROW = 256


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
            values, free, counts, near = _shown_at(frames, inside, taken, maps, x, y)
            if len(values):
                chosen = free & counts
                hidden = np.flatnonzero(~chosen.any(axis=0))  # free in a narrow gap at most
                row, column = (
                    at[hidden] * cells // side
                    for at, cells, side in zip((y, x), shows.shape[1:], shape, strict=True)
                )
                alike = _alike(values[:, hidden], image[y[hidden], x[hidden]])
                shown = shows[near][:, row, column] & counts[:, hidden]
                chosen[:, hidden] = np.where(shown.any(axis=0), shown, alike & counts[:, hidden])
                image[y, x], share = temporal_mode(values, chosen)
                agreement[y, x] = share * len(values) / count[y, x]

    colours, wrong, shows = scene_colours(frames, inside, maps, shape)
    _correct(image, agreement, colours, wrong)
    standing = Standing(frames)
    for _ in range(_SECOND_PASSES):
        taken = standing.before(image, maps)
        _by_tiles(shape, second_pass, step)
    enough = np.maximum(
        _MIN_FREE_SHARE, np.minimum(_MIN_FREE_FRAMES, count / 2) / np.maximum(count, 1)
    )
    never_free = ((agreement < enough) & seen).astype(np.uint8)
    spots = (cv2.dilate(never_free, np.ones((3, 3), np.uint8)) > 0) & seen
    if spots.any():
        image = filled(image, spots)
    return Mosaic(_grown(image, seen), to_plate, seen, spots, agreement)


def _correct(
    image: np.ndarray, agreement: np.ndarray, colours: np.ndarray, wrong: np.ndarray
) -> None:
    """Where the plate is ``wrong`` (h, w), take ``colours`` (h, w, 3), for a second pass."""
    size = image.shape[1::-1]
    around = cv2.dilate(wrong.astype(np.uint8), np.ones((3, 3), np.uint8))
    at = cv2.resize(around, size, interpolation=cv2.INTER_NEAREST) > 0
    image[at] = cv2.resize(colours, size, interpolation=cv2.INTER_LINEAR)[at]
    agreement[at] = 0


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
    near = _touches(maps, (columns.start, rows.start), size, inside.shape[1:])
    for frame, marks, to_frame, is_near in zip(frames, inside, maps, near, strict=True):
        matrix = to_frame @ shift
        if not is_near:
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


def _touches(
    maps: Sequence[np.ndarray], at: tuple[int, int], tile: tuple[int, int], size: Sequence[int]
) -> np.ndarray:
    """In which frames (height, width) a tile (width, height) at (x, y) may lie: (N,), bool."""
    (x, y), (width, height) = at, tile
    corners = np.array(
        [[x, y, 1], [x + width, y, 1], [x + width, y + height, 1], [x, y + height, 1]]
    )
    found = np.stack(maps) @ corners.T  # (N, 3, 4)
    behind = found[:, 2] <= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = found[:, 0] / found[:, 2], found[:, 1] / found[:, 2]
    over = (u.max(axis=1) > 0) & (v.max(axis=1) > 0) & (u.min(axis=1) < size[1])
    over &= v.min(axis=1) < size[0]
    return np.asarray(np.where(behind.any(axis=1), ~behind.all(axis=1), over))


def _mode(values: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (P, 3), uint8, the share of the chosen values that show them, and their number."""
    count = chosen.sum(axis=0, dtype=np.float32)
    colour, share = np.zeros(values.shape[1:], np.uint8), np.zeros_like(count)
    if not len(values):
        return colour, share, count
    counted = values
    if not chosen.all():
        known = np.take_along_axis(values, chosen.argmax(axis=0)[None, :, None], axis=0)
        counted = np.where(chosen[..., None], values, known)
    spread = counted.max(axis=0) - counted.min(axis=0)
    agrees = (spread.max(axis=1) <= _MAX_SPREAD) & (count > 0)
    mean = total(values, chosen) / np.maximum(count, 1)[:, None]
    colour[agrees], share[agrees] = np.rint(mean[agrees]), 1
    left = ~agrees & (count > 0)
    if left.any():
        some = np.flatnonzero(left)
        colour[left], found = temporal_mode(values.take(some, axis=1), chosen.take(some, axis=1))
        share[left] = found * len(values) / count[left]
    return colour, share, count


def _shown_at(
    frames: np.ndarray,
    inside: np.ndarray,
    taken: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """What frames show at pixels of the plate (P,): (n, P, 3), uint8.

    The others are where nothing stands (n, P), bool; which values count (n, P), bool; and the
    numbers of these frames.
    """
    points = np.stack([x, y, np.ones(len(x))])
    tile, (height, width) = (int(np.ptp(x)) + 1, int(np.ptp(y)) + 1), inside.shape[1:]
    near = np.flatnonzero(
        _touches(maps, (int(x.min()), int(y.min())), tile, (height, width))
    ).tolist()
    values = np.empty((len(near), len(x), 3), np.uint8)
    free = np.empty((len(near), len(x)), bool)
    shown = np.zeros(free.shape, np.uint8)
    for n, number in enumerate(near):
        frame, cells = frames[number], taken[number]
        found = maps[number] @ points
        u, v = (found[:2] / found[2]).astype(np.float32)
        values[n] = _sampled(frame, u, v)
        column, row = np.rint(u).astype(int), np.rint(v).astype(int)
        on_frame = (found[2] > 0) & (column >= 0) & (row >= 0) & (column < width) & (row < height)
        column, row = column.clip(0, width - 1), row.clip(0, height - 1)
        shown[n] = np.where(on_frame, inside[number, row, column], OUTSIDE)
        free[n] = cells[row * cells.shape[0] // height, column * cells.shape[1] // width] == 0
        free[n] |= shown[n] == FREE
    return values, free, that_count(shown)[0], near


def _alike(values: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Which values (N, P, 3) are close to the colours (P, 3): (N, P)."""
    apart = np.abs(values.astype(np.int16) - colours.astype(np.int16))
    return np.asarray(apart.max(axis=2) <= _MAX_APART)


def _sampled(frame: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What a frame shows at points (P,): (P, 3), uint8."""
    count = len(u)
    maps = np.zeros((2, -(-count // _ROW) * _ROW), np.float32)  # a long column would be slow
    maps[:, :count] = u, v
    u, v = maps.reshape(2, -1, _ROW)
    found = cv2.remap(frame, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found.reshape(-1, 3)[:count])


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
