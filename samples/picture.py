"""Make the README's image as its first command does: ``python samples/picture.py``.

Left: a frame of the clip. Middle: the alpha of the built-in model. Right: the subject on another
background.
"""

import sys
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from dataset import open_source  # noqa: E402
from inference_video import matte_video  # noqa: E402
from writers import MemoryWriter  # noqa: E402

FRAME = 20
CROP = slice(180, 1020)


def sunset(height: int, width: int) -> np.ndarray:
    """A new background, (H, W, 3) in [0, 255]."""
    down = np.linspace(0, 1, height)[:, None, None]
    colour = (1 - down) * (70, 90, 170) + down * (255, 170, 110)
    return np.broadcast_to(colour, (height, width, 3))


def main() -> None:
    """Matte the sample and write ``picture.jpg``."""
    source = open_source(HERE / "clip.mp4", print)
    frame = next(islice(source, FRAME, None)).image
    com = MemoryWriter()
    matte_video(
        video_src=HERE / "clip.mp4",
        video_bgr=HERE / "plate.png",
        output_format="image_sequences",
        model_backbone_scale=0.5,
        writers={"com": com},
    )
    cutout = com.frames[FRAME].permute(1, 2, 0).numpy().astype(float)
    fgr, pha = cutout[..., :3], cutout[..., 3:]
    composite = sunset(*source.size) + (fgr - sunset(*source.size)) * pha / 255
    panels = [panel[:, CROP] for panel in (frame, pha.repeat(3, axis=2), composite)]
    image = Image.fromarray(np.hstack(panels).round().astype(np.uint8))
    image.resize((1260, 360), Image.Resampling.LANCZOS).save(HERE / "picture.jpg", quality=88)


if __name__ == "__main__":
    main()
