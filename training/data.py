"""Samples as batches of tensors."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from drawing.capture import Sample
from drawing.sample import PLAIN_SHARE, make_sample

#: Seed of the validation samples; training refuses it.
VALIDATION_SEED = 2_000_000_011

Batch = dict[str, Tensor]


def to_tensors(sample: Sample) -> Batch:
    """A sample as tensors ``src bgr fgr`` (3, H, W) and ``pha`` (1, H, W), uint8."""
    images = {"src": sample.src, "bgr": sample.bgr, "fgr": sample.fgr}
    batch = {name: _to_tensor(image) for name, image in images.items()}
    return {**batch, "pha": _to_tensor(sample.pha[..., None])}


def shrunk(sample: Sample, by: int) -> Sample:
    """The sample at 1 / ``by`` of its size; each pixel is the mean of ``by`` x ``by`` pixels.

    ``fgr`` is averaged with alpha as weight.
    """
    if by == 1:
        return sample
    size = sample.pha.shape[1] // by, sample.pha.shape[0] // by
    covered = sample.pha[..., None]
    src, bgr, pha, premultiplied = (
        cv2.resize(x, size, interpolation=cv2.INTER_AREA)
        for x in (sample.src, sample.bgr, sample.pha, sample.fgr * covered)
    )
    fgr = (premultiplied / np.maximum(pha, 1e-3)[..., None]).clip(0, 1)
    return Sample(src, bgr, pha, fgr, sample.clean)


def resized(batch: Batch, size: Sequence[int]) -> Batch:
    """A batch (B, C, H, W) in [0, 1] resized to (height, width), as the network resizes its input.

    ``fgr`` is averaged with alpha ``pha`` as weight, since it is undefined where alpha is 0.
    """
    if tuple(batch["pha"].shape[2:]) == tuple(size):
        return batch
    premultiplied = {**batch, "fgr": batch["fgr"] * batch["pha"]}
    small = {
        name: F.interpolate(x, tuple(size), mode="bilinear") for name, x in premultiplied.items()
    }
    return {**small, "fgr": (small["fgr"] / small["pha"].clamp(min=1e-3)).clamp(0, 1)}


def _to_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy((image * 255 + 0.5).astype(np.uint8)).permute(2, 0, 1)


class Samples(Dataset[Batch]):
    """The samples of training steps ``first`` to ``last - 1``, in order.

    Args:
        seed: Identifies the endless set of samples.
        batch: Samples per step.
        first: The first step.
        last: One past the last step.
        size: Height and width in pixels.
        crop: Samples are drawn this many times larger, then cropped at random to ``size``.
        shrink: Samples are drawn this many times larger, then shrunk.
        plain, alike, shaded: As in :func:`drawing.sample.make_sample`.
    """

    def __init__(
        self,
        seed: int,
        *,
        batch: int,
        first: int,
        last: int,
        size: tuple[int, int],
        crop: float = 1,
        shrink: int = 1,
        plain: float = PLAIN_SHARE,
        alike: float = 0,
        shaded: float = 0,
    ):
        self.seed, self.size, self.crop, self.shrink = seed, size, crop, shrink
        self.shares = {"plain": plain, "alike": alike, "shaded": shaded}
        self.first, self.count = first * batch, (last - first) * batch

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> Batch:
        cv2.setNumThreads(1)
        index = self.first + item
        height, width = self.size
        tall, wide = round(height * self.crop), round(width * self.crop)
        drawn = make_sample(self.seed, index, tall * self.shrink, wide * self.shrink, **self.shares)
        sample = to_tensors(shrunk(drawn, self.shrink))
        rng = np.random.default_rng([self.seed, index, 1])
        y, x = int(rng.integers(tall - height + 1)), int(rng.integers(wide - width + 1))
        return {k: v[:, y : y + height, x : x + width] for k, v in sample.items()}


def batches(samples: Samples, *, batch: int, workers: int) -> Iterator[Batch]:
    """Batches of float32 tensors (B, C, H, W) in [0, 1], prefetched by ``workers`` processes."""
    loader: DataLoader[Batch] = DataLoader(
        samples,
        batch,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,  # fork copies OpenCV's locks
        generator=torch.Generator(),  # the default one is restored on resume
    )
    for packed in loader:
        yield {
            name: (x.float() / 255).contiguous(memory_format=torch.channels_last)
            for name, x in packed.items()
        }
