"""Where a wide plate lies, and the frames that it is made from."""

from collections.abc import Sequence

import numpy as np

#: Pixels of a wide plate, as a multiple of a frame's, and its finest and coarsest scale.
_MAX_AREA, _MAX_SCALE, _MIN_SCALE = 12.0, 2.0, 0.5
#: Cells along the longer side of a wide plate in which it is counted how many frames show a place.
_CELLS = 64


class TooWideError(ValueError):
    """Frames that no plane holds: the camera turns too far."""


def plan(homographies: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, list[int]]:
    """Where a wide plate lies: the plane of the frame in the middle of all.

    Args:
        homographies: (3, 3) each, from pixels of the first frame to pixels of each frame.
        size: (height, width) of the frames.

    Returns:
        The homography (3, 3) from the first frame to the plate, and the plate's (height, width).

    Raises:
        TooWideError: The plate would be far larger than a frame.
    """
    height, width = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5
    middle = np.array([[(width - 1) / 2, (height - 1) / 2]])
    back = [np.linalg.inv(h) for h in homographies]
    centres = np.array([_moved(middle, b)[0] for b in back])
    nearest = int(np.linalg.norm(centres - np.median(centres, axis=0), axis=1).argmin())
    to_middle = homographies[nearest]
    outline = [_moved(corners, to_middle @ b) for b in back]
    scale = max(_local_scale(h @ np.linalg.inv(to_middle), middle) for h in homographies)
    scale = float(np.clip(scale, 1.0, _MAX_SCALE))
    low, high = np.min(outline, axis=(0, 1)), np.max(outline, axis=(0, 1))
    area = float(np.prod(high - low)) / (height * width)
    scale = min(scale, float(np.sqrt(_MAX_AREA / area)))
    if scale < _MIN_SCALE:
        raise TooWideError("the camera turns too far for one plate")
    place = np.array(
        [
            [scale, 0, -scale * low[0] + (scale - 1) / 2],
            [0, scale, -scale * low[1] + (scale - 1) / 2],
            [0, 0, 1],
        ]
    )
    return place @ to_middle, [int(np.ceil(scale * (high - low)[i])) for i in (1, 0)]


def _moved(points: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Points (N, 2) after a homography.

    Raises:
        TooWideError: A point is behind the camera, or nearly so.
    """
    found = np.column_stack([points, np.ones(len(points))]) @ homography.T
    if (found[:, 2] <= 0.05).any():
        raise TooWideError("the camera turns too far for one plate")
    return np.asarray(found[:, :2] / found[:, 2:])


def _local_scale(homography: np.ndarray, point: np.ndarray) -> float:
    """How many pixels across an image a pixel at a point becomes."""
    steps = _moved(point + np.array([[0, 0], [1, 0], [0, 1]]), homography)
    return float(np.sqrt(abs(np.linalg.det(steps[1:] - steps[0]))))


def choose_frames(
    homographies: Sequence[np.ndarray], size: tuple[int, int], most: int
) -> list[int]:
    """Numbers of at most ``most`` frames from which a wide plate is made, ascending.

    Two thirds are even in time; the others show the places that few of these show.
    """
    total = len(homographies)
    if total <= most:
        return list(range(total))
    chosen = {int(n) for n in np.linspace(0, total - 1, 2 * most // 3).round()}
    shape, place = _coarse_plan(homographies, size)
    rest = [int(n) for n in np.linspace(0, total - 1, min(total, 4 * most)).round()]
    cover = {n: _covered(homographies[n], place, shape, size) for n in {*chosen, *rest}}
    seen = np.sum([cover[n] for n in chosen], axis=0, dtype=np.float32)
    while len(chosen) < most:
        need = 1 / (1 + seen) ** 2
        left = [n for n in rest if n not in chosen]
        best = max(left, key=lambda n: float((need * cover[n]).sum()))
        chosen.add(best)
        seen += cover[best]
    return sorted(chosen)


def _coarse_plan(
    homographies: Sequence[np.ndarray], size: tuple[int, int]
) -> tuple[tuple[int, int], np.ndarray]:
    to_plate, shape = plan(homographies, size)
    shrink = _CELLS / max(shape)
    small = np.diag([shrink, shrink, 1.0]) @ to_plate
    return (max(1, round(shape[0] * shrink)), max(1, round(shape[1] * shrink))), small


def _covered(
    homography: np.ndarray, place: np.ndarray, shape: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    height, width = shape
    y, x = np.mgrid[:height, :width]
    points = homography @ np.linalg.inv(place) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    u, v = points[:2] / points[2]
    inside = (points[2] > 0) & (u >= 0) & (v >= 0) & (u < size[1]) & (v < size[0])
    return np.asarray(inside.reshape(shape))
