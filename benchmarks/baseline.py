"""A baseline to compare with: a matting script written after the paper's published description.

It processes one frame after the other. OpenCV decodes in the loop; frame and plate become
full-size float tensors on the device; the plain float32 network (PyTorch's defaults, patches cut
with ``unfold``) mattes them; every output becomes a full-size float tensor. Pillow saves images
with its default compression, in one thread per image without limit. OpenCV encodes videos as mp4v
in the loop. Levels are truncated.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import cv2
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image, to_tensor

from model import default_sample_pixels, default_scale, load_network

#: Background of composited videos, RGB in [0, 1].
_BACKGROUND_COLOUR = (120 / 255, 1.0, 155 / 255)


class _Sink(Protocol):
    def add(self, frames: Tensor) -> None: ...
    def close(self) -> None: ...


class _Images:
    def __init__(self, folder: Path):
        self.folder = folder
        self.threads: list[Thread] = []
        folder.mkdir(parents=True)

    def add(self, frames: Tensor) -> None:
        thread = Thread(target=self._save, args=(frames, len(self.threads)))
        self.threads.append(thread)
        thread.start()

    def _save(self, frames: Tensor, number: int) -> None:
        to_pil_image(frames[0].cpu()).save(self.folder / f"{number:05d}.png")

    def close(self) -> None:
        for thread in self.threads:
            thread.join()


class _Video:
    def __init__(self, path: Path, rate: float, size: tuple[int, int]):
        path.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self.writer = cv2.VideoWriter(str(path), code, rate, size[::-1])

    def add(self, frames: Tensor) -> None:
        frames = frames.expand(-1, 3, -1, -1).mul(255).byte()
        for frame in frames.cpu().permute(0, 2, 3, 1).numpy():
            self.writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self.writer.release()


def matte(
    *,
    video_src: Path,
    video_bgr: Path,
    output_dir: Path,
    output_types: tuple[str, ...],
    output_format: str,
    model_checkpoint: Path | None,
    device: str,
    progress: Callable[[int, int | None], None],
    **network: Any,
) -> int:
    """Matte a clip; keywords as in :func:`inference_video.matte_video`.

    Args:
        network: Keywords of :func:`model.load_network`, named as the flags of the program.

    Returns:
        The number of frames.
    """
    clip = cv2.VideoCapture(str(video_src))
    size = int(clip.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(clip.get(cv2.CAP_PROP_FRAME_WIDTH))
    plate = Image.open(video_bgr).convert("RGB")
    settings: dict[str, Any] = {
        "backbone_scale": default_scale(max(size)),
        "refine_sample_pixels": default_sample_pixels(max(size)),
    }
    settings |= {name.removeprefix("model_"): value for name, value in network.items()}
    model = load_network(model_checkpoint, **settings).to(device)
    green = torch.tensor(_BACKGROUND_COLOUR, device=device).view(1, 3, 1, 1)
    is_video = output_format == "video"
    sinks: dict[str, _Sink] = {}
    for kind in output_types:
        path = output_dir / kind
        rate = clip.get(cv2.CAP_PROP_FPS)
        sinks[kind] = _Video(path.with_suffix(".mp4"), rate, size) if is_video else _Images(path)
    done = 0
    with torch.no_grad():
        while (read := clip.read())[0]:
            image = Image.fromarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
            src, bgr = to_tensor(image)[None].to(device), to_tensor(plate)[None].to(device)
            pha, fgr = model(src, bgr)[:2]
            for kind, sink in sinks.items():
                if kind == "com" and is_video:
                    sink.add(fgr * pha + green * (1 - pha))
                elif kind == "com":
                    sink.add(torch.cat([fgr * pha.ne(0), pha], dim=1))
                else:
                    sink.add(pha if kind == "pha" else fgr)
            done += 1
            progress(done, None)
    for sink in sinks.values():
        sink.close()
    return done
