"""Alignment: the homography from a plate to a frame, and warping by it."""

from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor

from .track import MotionTracker, Target, small_area

#: Longer side, in pixels, at which features are detected; more costs time and adds no accuracy.
_WORKING_SIZE = 1920
_MAX_FEATURES = 6000
#: ORB finds nothing this close to the border, in pixels, and fails on images of a few pixels.
_MARGIN = 31
_MIN_INLIERS = 30
#: Farthest that a corner of the plate may move, as a share of the frame's diagonal.
_MAX_CORNER_MOVE = 0.25
#: Inliers have to spread this far (standard deviation, as a share of the frame) in x and in y.
_MIN_SPREAD = 0.04
#: Agreement, in [0, 1], from which a plate is in place even if features do not show it.
_MIN_AGREEMENT = 0.5
#: By how much less a plate that is followed from the last frame may agree than when features were
#: last compared.
_MAX_LOSS = 0.05
#: Comparing features takes long. After a frame that could not be aligned, or agrees less than this,
#: they are compared in the next one, and then after ever longer pauses: up to so many frames if
#: none could be aligned, else until a pause is longer than that.
_MIN_SURE, _MAX_PAUSE, _MAX_CHECKED_PAUSE = 0.8, 8, 3
#: A frame is unlike the last one, and ends a pause, if this share of its area changes so much.
_MAX_CHANGED, _MAX_CHANGE = 0.3, 0.04
#: By how much more a moved plate has to agree than an unmoved one.
_MIN_GAIN = 0.01
#: A plate whose corners are all off by less than this, in pixels, is not moved: so small a move may
#: be noise, and resampling would blur more than it corrects.
_MIN_CORNER_MOVE = 0.25


class PlateAligner:
    """Finds the homography from a plate to a frame.

    The plate is followed from frame to frame. In the first frame, and where what is followed no
    longer agrees with the plate, ORB features of both are matched, and MAGSAC fits a homography to
    the matches. The subject is not in the plate, so matches on it are outliers. A homography counts
    only if it has enough inliers and is plausible. The best of this homography, that of the last
    frame and none at all is refined on the images themselves, where pixels that differ like a
    subject have no weight. It is dropped unless frame and plate then agree better than with the
    plate unmoved.

    Attributes:
        solved: Frames whose plate was aligned, or found to be in place.
        failed: Frames for which no trustworthy homography was found.
        compared: Frames in which features were compared, which takes long.
        uncovered: Largest share of a frame, in [0, 1], that an aligned plate left uncovered.
    """

    def __init__(self) -> None:
        self.solved = 0
        self.failed = 0
        self.compared = 0
        self.uncovered = 0.0
        self._orb = cv2.ORB.create(nfeatures=_MAX_FEATURES, edgeThreshold=_MARGIN, fastThreshold=8)
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING)
        self._plate: np.ndarray | None = None
        self._plate_features: tuple[np.ndarray, np.ndarray | None] | None = None
        self._target: Target | None = None
        self._tracker: MotionTracker | None = None
        self._last: np.ndarray | None = None
        #: Agreement of edges, in [0, 1], when features were compared, and of the area since.
        self._agreed = self._agreed_area = 1.0
        #: Frames until features are compared again, and the length of the next pause.
        self._left = self._pause = 0
        self._area: np.ndarray | None = None

    def solve(self, src: np.ndarray, bgr: np.ndarray) -> np.ndarray | None:
        """Align the plate with the frame.

        Args:
            src: (H, W, 3), RGB, uint8 or uint16.
            bgr: (H, W, 3), likewise.

        Returns:
            The 3x3 matrix that maps pixels of ``bgr`` to pixels of ``src``; None if none can be
            trusted.
        """
        if self._tracker is None or self._plate is not bgr:
            if self._plate is not bgr:
                self._plate, self._plate_features, self._target = bgr, None, Target(bgr)
            self.start_anew()
            self._tracker = MotionTracker(src.shape[:2])
        assert self._target is not None and self._tracker is not None
        frame = self._target.registration.frame(src)
        moves = self._tracker.step(frame[-1])
        self._end_pause_if_unlike(small_area(frame))
        homography = self._follow(self._target, frame, moves)
        if not self._is_settled(homography):
            self.compared += 1
            self._last = self._last if homography is None else homography
            if self._plate_features is None:
                self._plate_features = self._features(bgr)
            fitted = self._fit(self._plate_features, self._features(src), src.shape[:2])
            homography = self._refined(self._target, frame, fitted)
            is_sure = homography is not None and self._agreed >= _MIN_SURE
            self._left = 0 if is_sure else self._pause
            self._pause = 0 if is_sure else min(2 * self._pause + 1, _MAX_PAUSE)
        self._last = homography
        if homography is None:
            self.failed += 1
        else:
            self.solved += 1
            self.uncovered = max(self.uncovered, uncovered_share(homography, src.shape[:2]))
        return homography

    def start_anew(self) -> None:
        """Forget the frames before."""
        self._last, self._tracker = None, None
        self._left = self._pause = 0

    def _end_pause_if_unlike(self, area: np.ndarray) -> None:
        last, self._area = self._area, area
        if last is not None and (np.abs(area - last) > _MAX_CHANGE).mean() > _MAX_CHANGED:
            self._left = self._pause = 0

    def _is_settled(self, followed: np.ndarray | None) -> bool:
        """Whether features need not be compared, after a frame was followed or could not be."""
        self._left -= (pausing := self._left > 0)
        if followed is None:
            return pausing and self._last is None
        return pausing or self._agreed >= _MIN_SURE or self._pause > _MAX_CHECKED_PAUSE

    def _follow(
        self, target: Target, frame: list[np.ndarray], moves: list[np.ndarray]
    ) -> np.ndarray | None:
        """The homography found from that of the last frame; None if it does not agree as well."""
        if self._last is None:
            return None
        starts = [self._last, *(move @ self._last for move in moves)]
        found, self._agreed_area = target.locate(frame, starts, self._agreed_area)
        registration = target.registration
        agreement = registration.agreement(frame, found)
        if agreement < self._agreed - _MAX_LOSS / 2:  # a few more steps cost less than features
            found = max(
                found, registration.refine(frame, found), key=partial(registration.agreement, frame)
            )
            agreement = registration.agreement(frame, found)
        if agreement < self._agreed - _MAX_LOSS:
            return None
        return self._if_better(target, frame, found, agreement)

    def _refined(
        self, target: Target, frame: list[np.ndarray], fitted: np.ndarray | None
    ) -> np.ndarray | None:
        registration, alone = target.registration, np.eye(3)
        starts = [h for h in (alone, self._last, fitted) if h is not None]
        start = max(starts, key=lambda h: registration.agreement(frame, h))
        refined = registration.refine(frame, start)
        agreement = registration.agreement(frame, refined)
        if fitted is None or agreement < _MIN_AGREEMENT:  # too few features: search farther away
            coarse = registration.refine(frame, start, coarse=True)
            refined = max(refined, coarse, key=lambda h: registration.agreement(frame, h))
            agreement = registration.agreement(frame, refined)
        in_place = registration.agreement(frame, alone)
        if fitted is None and max(agreement, in_place) < _MIN_AGREEMENT:
            return None
        found = self._if_better(target, frame, refined, agreement)
        self._agreed = registration.agreement(frame, found)
        self._agreed_area = target.agreement(frame, found)
        return found

    def _if_better(
        self, target: Target, frame: list[np.ndarray], found: np.ndarray, agreement: float
    ) -> np.ndarray:
        """A homography, or the identity if the plate agrees about as well where it lies."""
        alone = np.eye(3)
        in_place = target.registration.agreement(frame, alone)
        better = agreement > in_place + _MIN_GAIN and plausible(found, target.size)
        return found if better and _largest_move(found, target.size) >= _MIN_CORNER_MOVE else alone

    def _features(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Positions (N, 2) in pixels of the image, and descriptors."""
        if image.dtype == np.uint16:
            image = (image >> 8).astype(np.uint8)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, _WORKING_SIZE / max(gray.shape))
        if min(gray.shape) * scale <= 2 * _MARGIN:
            return np.empty((0, 2), np.float32), None
        if scale < 1:
            gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        keypoints, descriptors = self._orb.detectAndCompute(gray, None)
        positions = np.array([point.pt for point in keypoints], np.float32).reshape(-1, 2)
        return (positions + 0.5) / scale - 0.5, descriptors

    def _fit(
        self,
        plate: tuple[np.ndarray, np.ndarray | None],
        frame: tuple[np.ndarray, np.ndarray | None],
        size: tuple[int, int],
    ) -> np.ndarray | None:
        (bgr_points, bgr_features), (src_points, src_features) = plate, frame
        if bgr_features is None or src_features is None or len(src_features) < 2:
            return None
        pairs = self._matcher.knnMatch(bgr_features, src_features, k=2)
        matches = [pair[0] for pair in pairs if pair[0].distance < 0.75 * pair[1].distance]
        if len(matches) < _MIN_INLIERS:
            return None
        start = bgr_points[[match.queryIdx for match in matches]]
        end = src_points[[match.trainIdx for match in matches]]
        homography, mask = cv2.findHomography(
            start, end, cv2.USAC_MAGSAC, 3.0, maxIters=5000, confidence=0.999
        )
        if homography is None or not _supported(end[mask.ravel() > 0], size):
            return None
        return homography if plausible(homography, size) else None


def _supported(inliers: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether there are enough inliers, spread over the frame and not over one object."""
    height, width = size
    return len(inliers) >= _MIN_INLIERS and bool(
        (inliers.std(axis=0) / (width, height) >= _MIN_SPREAD).all()
    )


def plausible(homography: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether the plate stays convex and not mirrored, with its corners near their places."""
    corners = _corners(size)
    if (np.column_stack([corners, np.ones(4)]) @ homography[2] <= 0).any():
        return False  # a corner behind the camera
    moved = cv2.perspectiveTransform(corners[None], homography)[0]
    upright = cv2.contourArea(moved, oriented=True) > 0
    near = _largest_move(homography, size) <= _MAX_CORNER_MOVE * np.hypot(*size)
    return bool(near and upright and cv2.isContourConvex(moved))


def _largest_move(homography: np.ndarray, size: tuple[int, int]) -> float:
    """How far a homography moves a corner of an image at most, in pixels."""
    corners = _corners(size)
    moved = cv2.perspectiveTransform(corners[None], homography)[0]
    return float(np.linalg.norm(moved - corners, axis=1).max())


def _corners(size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


def uncovered_share(homography: np.ndarray, size: tuple[int, int]) -> float:
    """Share of a frame (height, width), in [0, 1], that a warped plate leaves uncovered."""
    height, width = size
    inside = np.full((height, width), 255, np.uint8)
    covered = cv2.warpPerspective(inside, homography, (width, height), flags=cv2.INTER_NEAREST)
    return 1 - cv2.countNonZero(covered) / covered.size


def warp_plates(bgr: Tensor, homography: Tensor) -> Tensor:
    """Warp plates onto their frames; what they leave uncovered repeats their border.

    On the CPU OpenCV warps, four times faster there than kornia (8 against 35 ms for a 1080p
    plate); on other devices kornia does, so that a still plate is sent only once.

    Args:
        bgr: (1 or B, 3, H, W), float.
        homography: (B, 3, 3), maps pixels of the plate to pixels of the frame.

    Returns:
        (B, 3, H, W), on the device of ``bgr``.
    """
    bgr = bgr.expand(len(homography), -1, -1, -1)
    if bgr.device.type == "cpu":
        return _warp_by_opencv(bgr, homography)
    return _warp_by_kornia(bgr, homography)


def _warp_by_opencv(bgr: Tensor, homography: Tensor) -> Tensor:
    size = (bgr.shape[3], bgr.shape[2])
    warped = [
        cv2.warpPerspective(plate, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        for plate, matrix in zip(
            bgr.permute(0, 2, 3, 1).numpy(), homography.double().numpy(), strict=True
        )
    ]
    return torch.from_numpy(np.stack(warped)).permute(0, 3, 1, 2)


def _warp_by_kornia(bgr: Tensor, homography: Tensor) -> Tensor:
    from kornia.geometry.transform import warp_perspective  # a second to import, and rarely needed

    matrices = homography.to(bgr.device, bgr.dtype, non_blocking=True)
    size = (bgr.shape[2], bgr.shape[3])
    return warp_perspective(bgr, matrices, size, padding_mode="border", align_corners=True)
