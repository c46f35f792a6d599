"""What an untagged clip is read as: the matrix and the range in which it agrees with its plate."""

from itertools import product

import cv2
import numpy as np

from dataset import (
    FrameSource,
    MediaError,
    VideoSource,
    YuvCoding,
    codings_tried,
    evenly_spaced,
    thumbnails,
)
from dataset.coding import Matrix, Range

from .diagnosis import working_size

#: Frames of the clip that are compared.
_FRAMES = 5
#: Difference, in levels of 255 as the mean of the channels, up to which a pixel may show the plate.
_MAX_DIFFERENCE = 8.0
#: Difference, in levels, of what two codings make of a pixel from which it may tell them apart, and
#: from which it has to; and the share of the frame, in [0, 1], that such pixels need.
_MIN_APART, _MIN_CLEARLY_APART, _MIN_TELLING = 0.4, 1.0, 0.01
#: How far the plate has to lie on the way from what another coding makes of these pixels to what
#: the best one does: noise is as often on the one side as on the other.
_MIN_WAY, _MAX_WAY = 0.7, 1.3
#: Difference of a pixel to the plate, in levels, from which it counts less: it may show a shadow.
_HALF_WEIGHT = 1.5
#: Mean difference, in levels, that the best one may have, and the share of the frame, in [0, 1],
#: that it has to explain.
_MAX_MEAN, _MIN_SHARE = 2.5, 0.3


def coding_by_plate(src: VideoSource, bgr: FrameSource) -> YuvCoding | None:
    """The coding of a clip without tags in which its background agrees best with the plate.

    It looks at the same few frames of the clip, whichever are matted.

    Args:
        src: The clip.
        bgr: Its plate, one or one for each frame.

    Returns:
        What the tags leave open; None if they leave nothing open, or no coding is clearly better
        than the usual one.
    """
    codings = _candidates(src)
    small = working_size(src.size)
    if len(codings) < 2 or small is None:
        return None
    numbers = evenly_spaced(src.length_hint, _FRAMES)
    try:
        tried = list(codings_tried(src, numbers, small, codings))
        shown = [0] if bgr.still else [n for n, _ in tried]
        plates = {n: _levels(image) for n, image in thumbnails(bgr, shown, small)}
    except MediaError:
        return None  # the run says so
    if not tried or not plates:
        return None
    images = np.stack([[_levels(image) for image in images] for _, images in tried], axis=1)
    nearest = [plates[min(plates, key=lambda k: abs(k - n))] for n, _ in tried]
    best = best_coding(images, np.stack(nearest))
    return codings[best] if best else None


def _candidates(src: VideoSource) -> list[YuvCoding]:
    """The codings that flags and tags leave open; the usual one comes first."""
    matrix, range = src.coding.matrix, src.coding.range
    matrices: list[Matrix] = [matrix]
    ranges: list[Range] = [range]
    if matrix == "auto" and src.lacks_matrix:
        matrices = ["bt709", "bt601"] if src.matrix == "bt709" else ["bt601", "bt709"]
    if range == "auto" and src.lacks_range:
        ranges = ["limited", "full"]
    return [YuvCoding(*names) for names in product(matrices, ranges)]


def best_coding(images: np.ndarray, plates: np.ndarray) -> int:
    """The coding in which frames agree best with their plates.

    Args:
        images: (C, N, H, W, 3), float32, levels of 255: N frames in each of C codings.
        plates: (N, H, W, 3), likewise.

    Returns:
        The number of the coding; 0 unless another one is clearly better than that one.
    """
    differences = np.abs(images - plates).mean(axis=-1)
    free = differences.min(axis=0) <= _MAX_DIFFERENCE
    best = int(np.argmin([difference[free].sum() for difference in differences]))
    explained = free & (differences[best] <= _MAX_DIFFERENCE)
    if explained.mean() < _MIN_SHARE or differences[best][free].mean() > _MAX_MEAN:
        return 0
    rivals = [best]
    for other, image in enumerate(images):
        way = images[best] - image
        apart = np.abs(way).mean(axis=-1)
        telling, clear = (free & (apart >= least) for least in (_MIN_APART, _MIN_CLEARLY_APART))
        if telling.mean() >= _MIN_TELLING:
            near = np.minimum(differences[best], differences[other])[telling]
            weight = 1 / (1 + (near / _HALF_WEIGHT) ** 2) ** 2
            way = way[telling]
            gone = weight @ ((plates - image)[telling] * way).sum(axis=-1)
            if _MIN_WAY <= gone / (weight @ (way * way).sum(axis=-1)) <= _MAX_WAY:
                continue
            if clear.mean() >= _MIN_TELLING:
                return 0
        rivals.append(other)  # the same colours in the background, or nearly so
    return min(rivals)


def _levels(image: np.ndarray) -> np.ndarray:
    """A soft copy of an image, (H, W, 3), in levels of 255, float32."""
    levels = image.astype(np.float32) / (257 if image.dtype == np.uint16 else 1)
    return cv2.GaussianBlur(levels, (0, 0), 0.8)
