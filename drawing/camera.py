"""What a camera adds to an image: framing, exposure, blur, noise and compression."""

from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from .arrays import Array, Rng
from .fields import noise


def reframe(rng: Rng, image: Array, *, pixels: float) -> Array:
    """The image from a camera that moved by about ``pixels`` and rotated slightly."""
    height, width = image.shape[:2]
    turn = rng.normal(0, 0.5) * pixels / max(height, width)
    zoom = 1 + rng.normal(0, 0.5) * pixels / max(height, width)
    c, s = zoom * np.cos(turn), zoom * np.sin(turn)
    centre = np.array([width / 2, height / 2])
    shift = centre - np.array([[c, -s], [s, c]]) @ centre + rng.normal(0, 0.7 * pixels, 2)
    tilt = rng.normal(0, 0.5, 2) * pixels / np.array([width, height]) ** 2  # perspective
    matrix = np.array([[c, -s, shift[0]], [s, c, shift[1]], [*tilt, 1 - tilt @ centre]])
    return cv2.warpPerspective(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def sway(rng: Rng, image: Array, *, pixels: float) -> Array:
    """The image with parts of it displaced by up to ``pixels``, as wind moves leaves."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    where = (2 * noise(rng, height, width, cells=3, decay=0.3) - 1).clip(0, 1)
    moves = [2 * noise(rng, height, width, cells=20, decay=0.5) - 1 for _ in range(2)]
    return cv2.remap(
        image,
        x + pixels * where * moves[0],
        y + pixels * where * moves[1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def expose(rng: Rng, image: Array, *, strength: float) -> Array:
    """The image with another exposure, white balance, gamma, saturation and vignette.

    Args:
        rng: Source of randomness.
        image: (H, W, 3) in [0, 1].
        strength: 0 for no change, 1 for the largest error of an automatic camera.
    """
    height, width = image.shape[:2]
    gain = np.exp(strength * (rng.normal(0, 0.12) + rng.normal(0, 0.04, 3)))
    gamma = np.exp(strength * rng.normal(0, 0.1))
    image = np.power((image * gain).clip(1e-4, 1), gamma)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (1 + strength * rng.normal(0, 0.12)) * (image - grey)
    image = image + strength * rng.normal(0, 0.015)
    if rng.random() < 0.3:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        image = image * (1 - strength * rng.uniform(0, 0.25) * (x * x + y * y) / 2)[..., None]
    return image.astype(np.float32).clip(0, 1)


def motion_kernel(rng: Rng, length: float) -> Array:
    """A convolution kernel (K, K) for motion blur along a line of ``length`` pixels."""
    reach = int(np.ceil(length / 2)) + 1
    kernel: Array = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(np.round((reach + sign * half) * 16).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    kernel = cv2.GaussianBlur(kernel, (3, 3), 0.6)
    return kernel / kernel.sum()


def record(rng: Rng, image: Array, *, strength: float) -> Array:
    """The image after the sensor and the encoder: blur, noise, compression and 8-bit rounding.

    Args:
        rng: Source of randomness.
        image: (H, W, 3) in [0, 1].
        strength: 0 for rounding alone, 1 for a bad camera.
    """
    height, width = image.shape[:2]
    if strength > 0:
        if rng.random() < 0.4:
            image = cv2.GaussianBlur(image, (0, 0), 0.2 + strength * rng.uniform(0, 0.8))
        level = strength * rng.exponential(2.5) / 255
        grain = rng.standard_normal((height, width, 3), dtype=np.float32)
        if rng.random() < 0.3:
            grain = 1.5 * cv2.GaussianBlur(grain, (0, 0), 0.7)
        image = image + level * grain * np.sqrt(0.3 + image)
    small: NDArray[np.uint8] = (image * 255 + 0.5).clip(0, 255).astype(np.uint8)
    damage = rng.random() if strength > 0 else 1
    if damage < 0.25:
        quality = int(100 - strength * rng.uniform(5, 70))
        _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        small = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    elif damage < 0.5:
        y, x = rng.integers(-2, 3, 2).tolist()
        moved = (y, x) if rng.random() < 0.5 else None
        small = film(small, crf=15 + strength * rng.uniform(0, 22), moved=moved)
    return small.astype(np.float32) / 255


def film(
    image: NDArray[np.uint8], *, crf: float, moved: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """The image after H.264 encoding and decoding.

    Args:
        image: (H, W, 3), uint8.
        crf: Constant rate factor of x264: 15 is good quality, 37 is bad.
        moved: None encodes the image alone. (rows, columns) encodes it as the second frame of a
            clip, predicted from a first frame that is shifted by that much.

    Returns:
        (H, W, 3), uint8.
    """
    height, width = image.shape[:2]
    even = _even(image)
    frames = [even] if moved is None else [np.roll(even, moved, axis=(0, 1)), even]
    options = {"crf": f"{crf:.1f}", "preset": "veryfast", "tune": "zerolatency"}
    return encoded(frames, options)[-1][:height, :width]


def encoded(
    frames: Sequence[NDArray[np.uint8]], options: dict[str, str]
) -> list[NDArray[np.uint8]]:
    """Frames (H, W, 3), uint8, after H.264 encoding and decoding.

    ``options`` are those of x264, and allow no B-frames: the frames have no times.
    """
    height, width = frames[0].shape[:2]
    even = [_even(frame) for frame in frames]
    encoder = VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even[0].shape[1], even[0].shape[0], "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 30), 1
    encoder.options = options
    decoder = VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    sent = [av.VideoFrame.from_ndarray(x.astype(np.uint8), format="rgb24") for x in even]
    packets = [packet for frame in [*sent, None] for packet in encoder.encode(frame)]
    found = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [frame.to_ndarray(format="rgb24").astype(np.uint8)[:height, :width] for frame in found]


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with an even number of rows and columns."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
