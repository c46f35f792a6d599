"""Make the sample ``clip.mp4``, ``plate.png`` and ``alpha.mp4``: ``python samples/make.py``.

The astronaut of ``cutout.py`` sways before a brick wall with a window. All images come with
scikit-image: the portrait (NASA) and the rocket (SpaceX) are in the public domain, the bricks
(cc0textures.com) are CC0.
"""

from pathlib import Path

import av
import cv2
import numpy as np

HERE = Path(__file__).parent
HEIGHT, WIDTH, RATE, FRAMES = 720, 1280, 24, 72


def wall() -> np.ndarray:
    """The empty scene, (H, W, 3) in [0, 1]."""
    from skimage import data

    bricks = cv2.resize(np.rot90(data.brick()) / 255.0, (WIDTH, WIDTH))[:HEIGHT, :, None]
    light = np.linspace(1.15, 0.75, WIDTH)[None, :, None]
    scene = (bricks * light * (1.25, 1.05, 0.9)).clip(0, 1)
    top, left, height, width = 90, 690, 380, 520
    view = cv2.resize(data.rocket() / 255.0, (width, height), interpolation=cv2.INTER_AREA)
    scene[top - 16 : top + height + 16, left - 16 : left + width + 16] = (0.85, 0.83, 0.78)
    scene[top : top + height, left : left + width] = view
    return cv2.GaussianBlur(scene, (0, 0), 0.8)


def place(cutout: np.ndarray, frame: int) -> np.ndarray:
    """The subject in frame number ``frame``: premultiplied RGBA, (H, W, 4) in [0, 1]."""
    phase = 2 * np.pi * frame / FRAMES
    x, turn = 330 + 120 * np.sin(phase), 2.5 * np.sin(2 * phase)
    scale = 1.25 + 0.02 * np.cos(phase)
    matrix = cv2.getRotationMatrix2D((256, 512), turn, scale)
    matrix[:, 2] += (x + 200 - 256, HEIGHT + 12 - 512)
    return cv2.warpAffine(cutout, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC).clip(0, 1)


def shoot(scene: np.ndarray, subject: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One noisy frame (H, W, 3) in [0, 1] in which the subject casts a soft shadow on the wall."""
    shift = np.float32([[1, 0, 45], [0, 1, 25]])
    shade = cv2.warpAffine(subject[..., 3], shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    behind = scene * (1 - 0.35 * cv2.GaussianBlur(shade, (0, 0), 25))[..., None]
    image = subject[..., :3] + (1 - subject[..., 3:]) * behind
    return image + rng.normal(0, 2 / 255, image.shape)


def levels(image: np.ndarray) -> np.ndarray:
    """An array in [0, 1] as uint8."""
    return np.round(255 * image.clip(0, 1)).astype(np.uint8)


def write(path: Path, frames: list[np.ndarray], *, crf: int) -> None:
    """Encode RGB frames (H, W, 3), uint8, as H.264 in BT.709."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(
            "libx264", rate=RATE, options={"crf": str(crf), "preset": "medium"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # limited range, 16 to 235
        for frame in frames:
            image = av.VideoFrame.from_ndarray(frame, format="rgb24")
            image = image.reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            file.mux(stream.encode(image))
        file.mux(stream.encode())


def main() -> None:
    """Write the three files beside this script."""
    rng = np.random.default_rng(1)
    cutout = cv2.imread(str(HERE / "astronaut.png"), cv2.IMREAD_UNCHANGED) / 255.0
    cutout = np.dstack([cutout[..., 2::-1] * cutout[..., 3:], cutout[..., 3]])
    scene = wall()
    subjects = [place(cutout, frame) for frame in range(FRAMES)]
    write(HERE / "clip.mp4", [levels(shoot(scene, s, rng)) for s in subjects], crf=24)
    alphas = [np.repeat(levels(s[..., 3:]), 3, axis=2) for s in subjects]
    write(HERE / "alpha.mp4", alphas, crf=12)
    plate = levels(1.03 * scene + rng.normal(0, 1 / 255, scene.shape))  # another exposure
    cv2.imwrite(str(HERE / "plate.png"), plate[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
