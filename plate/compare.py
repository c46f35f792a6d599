"""How a plate and a frame differ in place, framing and light.

Pictures are float32 RGB (H, W, 3) in levels, 0 to 255, some hundred pixels wide.
"""

from dataclasses import dataclass

import cv2
import numpy as np

#: Levels up to which colours agree; noise, compression and soft shadows stay below.
AGREE = 10.0
#: Standard deviation, in levels, below which a neighbourhood has no structure to compare.
_FLAT = 3.0
#: Width of a neighbourhood, in pixels.
_NEAR = 17
#: Correlation from which two neighbourhoods show the same.
_SAME = 0.6
#: Light that differs by more than this, as a natural logarithm, is not looked for.
_WIDEST = 1.0
#: Levels at which differences are cut off, so that the subject weighs no more than its area.
_CUT = 20.0
#: Least that a plate lies off on average, in pixels, and farthest, as a share of the frame's width.
_NEAREST, _FARTHEST = 0.1, 0.12


@dataclass(frozen=True)
class Likeness:
    """How much of a plate is found again in a frame.

    Attributes:
        move: (3, 3), maps pixels of the plate to pixels of the frame.
        gain: (3,), by which the plate's channels have to be multiplied to match.
        apart: (H, W), the largest difference of a channel after that, in levels.
        inside: (H, W), bool: covered by the plate.
        agreeing: Share of the covered part, in [0, 1], that has the frame's colours.
        same_colours: The same without the gain.
        alike: Share of the plate's structure, in [0, 1], that the frame shows, whatever the light.
        cost: Mean difference, in levels, where no pixel counts for more than 20, and one that the
            plate does not cover counts for just that.
        structured: Share of the covered part, in [0, 1], that has structure to compare.
    """

    move: np.ndarray
    gain: np.ndarray
    apart: np.ndarray
    inside: np.ndarray
    agreeing: float
    same_colours: float
    alike: float
    structured: float
    cost: float


def liken(frame: np.ndarray, plate: np.ndarray, move: np.ndarray | None = None) -> Likeness:
    """Compare a frame with a plate that ``move`` (3, 3) lays over it; without one, as it lies."""
    height, width = frame.shape[:2]
    inside = np.ones((height, width), bool)
    if move is None:
        move = np.eye(3)
    else:
        covered = cv2.warpPerspective(inside.astype(np.float32), move, (width, height))
        inside = covered > 0.999
        plate = cv2.warpPerspective(plate, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    some = inside[::2, ::3]
    gain = find_gain(frame[::2, ::3][some].T, plate[::2, ::3][some].T)
    apart, before = difference(frame, np.minimum(plate * gain, 255)), difference(frame, plate)
    alike, structured = _structure(frame, plate, inside)
    area = max(1, int(np.count_nonzero(inside)))
    return Likeness(
        move=move,
        gain=gain,
        apart=apart,
        inside=inside,
        agreeing=float(np.count_nonzero((apart < AGREE) & inside)) / area,
        same_colours=float(np.count_nonzero((before < AGREE) & inside)) / area,
        alike=alike,
        structured=structured / area,
        cost=float(np.where(inside, np.minimum(apart, _CUT), _CUT).mean()),
    )


def find_gain(frame: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """The gain (3,) of each channel that most pixels (3, N) agree on; the subject has no say.

    It is the mode of the logarithms of the ratios, and then the median of those near to it.
    """
    darkest, brightest = np.minimum(frame, plate).min(axis=0), np.maximum(frame, plate).max(axis=0)
    usable = (darkest > 8) & (brightest < 247)
    gains = np.zeros(3)
    if usable.sum() < 100:
        return np.ones(3, np.float32)
    for channel, values in enumerate(np.log(frame[:, usable] / plate[:, usable])):
        bins = ((values + _WIDEST) * (50 / _WIDEST)).astype(int)
        counts = np.bincount(bins[(bins >= 0) & (bins < 100)], minlength=100)
        peak = (
            np.convolve(counts, (1, 2, 3, 2, 1), "same").argmax() + 0.5
        ) * _WIDEST / 50 - _WIDEST
        near = values[np.abs(values - peak) < 0.06]
        gains[channel] = np.median(near) if len(near) else 0
    return np.exp(gains).astype(np.float32)


def _structure(frame: np.ndarray, plate: np.ndarray, inside: np.ndarray) -> tuple[float, int]:
    """Share of the plate's structured pixels that look alike in the frame, and their number."""
    a, b = (grey(picture) for picture in (frame, plate))
    a, b = a - _around(a), b - _around(b)
    power_a, power_b = _around(a * a), _around(b * b)
    structured = (power_b > _FLAT**2) & inside
    alike = _around(a * b) > _SAME * np.sqrt((power_a + 1) * (power_b + 1))
    count = int(np.count_nonzero(structured))
    return float(np.count_nonzero(alike & structured)) / max(1, count), count


def find_move(frame: np.ndarray, plate: np.ndarray, still: Likeness) -> Likeness:
    """The best of the plate as it lies (``still``) and the moves that may lay it over the frame.

    The first is the common motion in a dense optical flow between both, with the light taken out.
    Where that explains nothing, for want of structure or because it is too far, a shift is sought
    that the most pixels agree on, for which an outline or two are enough.
    """
    move = _common_motion(frame, plate)
    moved = still if move is None else _better(still, frame, plate, move)
    if moved is not still:
        return moved
    shift = _find_shift(frame, plate * still.gain)
    moved = _better(still, frame, plate, shift)
    if moved is still:
        return still
    height, width = frame.shape[:2]
    shifted = cv2.warpPerspective(plate, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
    rest = _common_motion(frame, shifted)
    return moved if rest is None else _better(moved, frame, plate, rest @ shift)


def _better(known: Likeness, frame: np.ndarray, plate: np.ndarray, move: np.ndarray) -> Likeness:
    """The likeness under another move, if that makes it clearly better; else the one known."""
    if not _NEAREST <= mean_move(move, frame.shape[:2]) <= _FARTHEST * frame.shape[1]:
        return known
    moved = liken(frame, plate, move)
    if moved.cost < 0.9 * known.cost:
        return moved
    # Where the subject weighs most, the scenery that is found either way decides.
    scenery = moved.inside & (np.minimum(known.apart, moved.apart) < AGREE)
    if not scenery.any():
        return known
    costs = [np.minimum(x.apart[scenery], _CUT).mean() + 0.5 for x in (known, moved)]
    return moved if moved.cost < 0.997 * known.cost and costs[1] < 0.85 * costs[0] else known


def _find_shift(frame: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """The translation (3, 3), in whole pixels, with the least differences, cut off at 20 levels."""
    x = y = 0
    farthest = min(40, min(frame.shape[:2]) // 3)
    for scale, reach in ((8, 4), (4, 1), (2, 1), (1, 1)):
        size = (frame.shape[1] // scale, frame.shape[0] // scale)
        a, b = (
            cv2.resize(grey(picture), size, interpolation=cv2.INTER_AREA)
            for picture in (frame, plate)
        )
        margin = farthest // scale
        inner = b[margin : size[1] - margin, margin : size[0] - margin]
        height, width = inner.shape
        costs = {}
        for dy in range(max(-margin, 2 * y - reach), min(margin, 2 * y + reach) + 1):
            for dx in range(max(-margin, 2 * x - reach), min(margin, 2 * x + reach) + 1):
                there = a[margin + dy :, margin + dx :][:height, :width]
                costs[dx, dy] = float(np.minimum(cv2.absdiff(there, inner), _CUT).mean())
        x, y = min(costs, key=costs.__getitem__)
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def _common_motion(frame: np.ndarray, plate: np.ndarray) -> np.ndarray | None:
    """The homography that most of the flow from plate to frame agrees on; None without enough."""
    frame, plate = (_relief(grey(picture)) for picture in (frame, plate))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    start = np.zeros((*plate.shape, 2), np.float32)  # where the search begins
    there, back = flow.calc(plate, frame, start.copy()), flow.calc(frame, plate, start)
    y, x = np.mgrid[3 : plate.shape[0] : 6, 3 : plate.shape[1] : 6].astype(np.float32)
    moves = there[3::6, 3::6]
    returned = cv2.remap(back, x + moves[..., 0], y + moves[..., 1], cv2.INTER_LINEAR)
    sure = np.linalg.norm(moves + returned, axis=2) < 1
    corners = cv2.cornerMinEigenVal(plate, 9, ksize=3)[3::6, 3::6]
    sure &= corners > max(1e-6, float(np.quantile(corners, 0.4)))
    if sure.sum() < 20:
        return None
    start = np.stack([x[sure], y[sure]], axis=1)
    move, _ = cv2.findHomography(
        start, start + moves[sure], cv2.USAC_MAGSAC, 1.0, maxIters=1000, confidence=0.99
    )
    return move


def mean_move(move: np.ndarray, size: tuple[int, int]) -> float:
    """How far, in pixels, a homography moves the points of a frame (height, width) on average."""
    height, width = size
    points = np.array([(x * width, y * height) for x in (0.1, 0.5, 0.9) for y in (0.1, 0.5, 0.9)])
    moved = cv2.perspectiveTransform(points[None], move)[0]
    with np.errstate(over="ignore"):  # of a homography that is none
        return float(np.linalg.norm(moved - points, axis=1).mean())


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The largest difference of a channel (H, W) between two pictures."""
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    return cv2.max(cv2.max(red, green), blue)


def grey(picture: np.ndarray) -> np.ndarray:
    """Luma (H, W) of a picture."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def _around(field: np.ndarray) -> np.ndarray:
    return cv2.blur(field, (_NEAR, _NEAR))


def _relief(luma: np.ndarray) -> np.ndarray:
    """Structure without light, uint8: each neighbourhood in its own standard deviations."""
    luma = luma - _around(luma)
    deviation = np.sqrt(_around(luma * luma) + _FLAT**2)
    return (128 + 40 * luma / deviation).clip(0, 255).astype(np.uint8)
