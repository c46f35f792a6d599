"""What two exposures of one place do not share: framing, light, shadows, noise, compression.

Pictures are float32 RGB (H, W, 3) in [0, 1]; fields are float32 (H, W).
"""

from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from .textures import Array, Rng, noise


def reframe(rng: Rng, picture: Array, *, pixels: float) -> Array:
    """The picture as a camera sees it that moved by about ``pixels`` and turned a little."""
    height, width = picture.shape[:2]
    turn = rng.normal(0, 0.5) * pixels / max(height, width)
    zoom = 1 + rng.normal(0, 0.5) * pixels / max(height, width)
    c, s = zoom * np.cos(turn), zoom * np.sin(turn)
    centre = np.array([width / 2, height / 2])
    shift = centre - np.array([[c, -s], [s, c]]) @ centre + rng.normal(0, 0.7 * pixels, 2)
    tilt = rng.normal(0, 0.5, 2) * pixels / np.array([width, height]) ** 2  # perspective
    matrix = np.array([[c, -s, shift[0]], [s, c, shift[1]], [*tilt, 1 - tilt @ centre]])
    return cv2.warpPerspective(
        picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def sway(rng: Rng, picture: Array, *, pixels: float) -> Array:
    """The picture with parts of it moved by up to ``pixels``, as wind moves leaves."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    where = (2 * noise(rng, height, width, cells=3, decay=0.3) - 1).clip(0, 1)
    moves = [2 * noise(rng, height, width, cells=20, decay=0.5) - 1 for _ in range(2)]
    return cv2.remap(
        picture,
        x + pixels * where * moves[0],
        y + pixels * where * moves[1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def expose(rng: Rng, picture: Array, *, strength: float) -> Array:
    """The picture under another exposure, white balance, gamma, saturation and vignette.

    Args:
        rng: Source of randomness.
        picture: (H, W, 3).
        strength: 0 for no change, 1 for what an automatic camera may do at worst.
    """
    height, width = picture.shape[:2]
    gain = np.exp(strength * (rng.normal(0, 0.12) + rng.normal(0, 0.04, 3)))
    gamma = np.exp(strength * rng.normal(0, 0.1))
    picture = np.power((picture * gain).clip(1e-4, 1), gamma)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (1 + strength * rng.normal(0, 0.12)) * (picture - grey)
    picture = picture + strength * rng.normal(0, 0.015)
    if rng.random() < 0.3:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        picture = picture * (1 - strength * rng.uniform(0, 0.25) * (x * x + y * y) / 2)[..., None]
    return picture.astype(np.float32).clip(0, 1)


def shadow(rng: Rng, alpha: Array) -> Array:
    """How much light (H, W) in (0, 1] the shadows of a subject leave to what is behind it.

    Args:
        rng: Source of randomness.
        alpha: (H, W), the subject's coverage.
    """
    height, width = alpha.shape
    longest = max(height, width)
    light = np.ones_like(alpha)
    for _ in range(int(rng.integers(1, 3))):
        kind = rng.random()
        if kind < 0.2:  # where it stands
            light *= 1 - rng.uniform(0.1, 0.7) * _footprint(rng, alpha)
            continue
        if kind < 0.65:  # cast on a wall or, sheared and flattened, on the ground
            move = rng.normal(0, 0.12 * longest, 2)
            shear, squeeze = rng.normal(0, 0.4), rng.choice([1.0, rng.uniform(-0.6, 0.8)])
            matrix = np.array([[1, shear, move[0]], [0, squeeze, move[1] + (1 - squeeze) * height]])
            matrix[0, 2] -= shear * height
            cast = cv2.warpAffine(alpha, matrix, (width, height))
        elif kind < 0.82:  # around the subject, where it touches things
            cast = cv2.GaussianBlur(alpha, (0, 0), longest * rng.uniform(0.02, 0.08))
        else:  # of somebody outside the frame
            cast = (3 * noise(rng, height, width, cells=2, decay=0.3) - 1.5).clip(0, 1)
        sigma = longest * np.exp(rng.uniform(np.log(0.005), np.log(0.06)))  # never sharp
        light *= 1 - rng.uniform(0.05, 0.6) * cv2.GaussianBlur(cast, (0, 0), sigma)
    return light


def near_shadow(rng: Rng, alpha: Array) -> Array:
    """How much light (H, W, 3) in (0, 1] is left where a subject stands, or close behind it.

    Args:
        rng: Source of randomness.
        alpha: (H, W), the subject's coverage.
    """
    height, width = alpha.shape
    longest = max(height, width)
    depth = np.exp(rng.uniform(np.log(0.03), np.log(0.75)))
    if rng.random() < 0.5:
        cast = _footprint(rng, alpha)
    else:
        right, down = rng.normal(0, 0.03 * longest, 2)
        cast = cv2.warpAffine(alpha, np.array([[1, 0, right], [0, 1, down]]), (width, height))
        cast = cv2.GaussianBlur(cast, (0, 0), longest * np.exp(rng.uniform(*np.log([0.004, 0.03]))))
    tint = 1 + rng.normal(0, 0.12, 3)  # the sky still lights it
    return np.power((1 - depth * cast)[..., None], tint).astype(np.float32)


def _footprint(rng: Rng, alpha: Array) -> Array:
    """The soft, flat shadow (H, W) in [0, 1] under a subject that stands on the ground."""
    height, width = alpha.shape
    rows = np.flatnonzero((alpha > 0.5).any(axis=1))
    if not len(rows):
        return np.zeros_like(alpha)
    foot, flat = rows[-1] + rng.uniform(-0.01, 0.02) * height, rng.uniform(0.03, 0.25)
    shear, shift = rng.normal(0, 0.3, 2) * (1, 0.1 * width)
    matrix = np.array([[1, shear, shift - shear * foot], [0, flat, (1 - flat) * foot]])
    cast = cv2.warpAffine(alpha, matrix, (width, height))
    sigma = max(height, width) * np.exp(rng.uniform(np.log(0.004), np.log(0.03)))
    return cv2.GaussianBlur(cast, (0, 0), sigma, sigmaY=sigma / 2)


def reflection(rng: Rng, colour: Array, alpha: Array) -> tuple[Array, Array]:
    """A faint, upside-down copy of a subject, as on a polished floor: colour times alpha, alpha."""
    axis = rng.uniform(0.5, 1.0) * 2 * alpha.shape[0]
    matrix = np.array([[1, 0, 0], [0, -1, axis]], np.float64)
    size = alpha.shape[::-1]
    faint, sigma = rng.uniform(0.05, 0.3), max(alpha.shape) * rng.uniform(0.002, 0.02)
    mirrored = [cv2.warpAffine(part, matrix, size) for part in (colour, alpha)]
    colour, alpha = (faint * cv2.GaussianBlur(part, (0, 0), sigma) for part in mirrored)
    return colour, alpha


def motion_kernel(rng: Rng, length: float) -> Array:
    """A convolution kernel (K, K) that smears along a line of ``length`` pixels."""
    reach = int(np.ceil(length / 2)) + 1
    kernel: Array = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(np.round((reach + sign * half) * 16).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    kernel = cv2.GaussianBlur(kernel, (3, 3), 0.6)
    return kernel / kernel.sum()


def record(rng: Rng, picture: Array, *, strength: float) -> Array:
    """The picture as a sensor and an encoder leave it: softness, noise, compression, 8 bits.

    Args:
        rng: Source of randomness.
        picture: (H, W, 3).
        strength: 0 for rounding alone, 1 for a bad camera.
    """
    height, width = picture.shape[:2]
    if strength > 0:
        if rng.random() < 0.4:
            picture = cv2.GaussianBlur(picture, (0, 0), 0.2 + strength * rng.uniform(0, 0.8))
        level = strength * rng.exponential(2.5) / 255
        grain = rng.standard_normal((height, width, 3), dtype=np.float32)
        if rng.random() < 0.3:
            grain = 1.5 * cv2.GaussianBlur(grain, (0, 0), 0.7)
        picture = picture + level * grain * np.sqrt(0.3 + picture)
    small: NDArray[np.uint8] = (picture * 255 + 0.5).clip(0, 255).astype(np.uint8)
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
    picture: NDArray[np.uint8], *, crf: float, moved: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """The picture as H.264 leaves it.

    Args:
        picture: (H, W, 3), uint8.
        crf: x264's constant rate factor: 15 is good, 37 is bad.
        moved: Make it the second frame of a clip, predicted from a first one that lies so many
            rows and columns aside.
    """
    height, width = picture.shape[:2]
    even: NDArray[np.uint8] = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    frames = [even] if moved is None else [np.roll(even, moved, axis=(0, 1)), even]
    encoder = VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 30), 1
    encoder.options = {"crf": f"{crf:.1f}", "preset": "veryfast", "tune": "zerolatency"}
    decoder = VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    sent = [av.VideoFrame.from_ndarray(x.astype(np.uint8), format="rgb24") for x in frames]
    packets = [packet for frame in [*sent, None] for packet in encoder.encode(frame)]
    found = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return found[-1].to_ndarray(format="rgb24").astype(np.uint8)[:height, :width]
