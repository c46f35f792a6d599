"""Samples as batches of tensors."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from .sample import PLAIN, Sample, make_sample

#: Validation samples come from this seed; training refuses it.
VALIDATION_SEED = 2_000_000_011

Batch = dict[str, Tensor]


def to_tensors(sample: Sample) -> Batch:
    """A sample as tensors ``src bgr fgr`` (3, H, W) and ``pha`` (1, H, W), uint8."""
    pictures = {"src": sample.src, "bgr": sample.bgr, "fgr": sample.fgr}
    batch = {name: _pack(picture) for name, picture in pictures.items()}
    return {**batch, "pha": _pack(sample.pha[..., None])}


def shrunk(sample: Sample, by: int) -> Sample:
    """The sample with the mean of every ``by`` x ``by`` pixels as one."""
    if by == 1:
        return sample
    size = sample.pha.shape[1] // by, sample.pha.shape[0] // by
    covered = sample.pha[..., None]
    src, bgr, pha, seen = (
        cv2.resize(x, size, interpolation=cv2.INTER_AREA)
        for x in (sample.src, sample.bgr, sample.pha, sample.fgr * covered)
    )
    fgr = (seen / np.maximum(pha, 1e-3)[..., None]).clip(0, 1)
    return Sample(src, bgr, pha, fgr, sample.clean)


def resized(batch: Batch, size: Sequence[int]) -> Batch:
    """A batch in [0, 1], (B, C, H, W), in another (height, width), resized as the network does.

    The colours of ``fgr`` count by the alpha ``pha`` of their pixels: beyond it there are none.
    """
    if tuple(batch["pha"].shape[2:]) == tuple(size):
        return batch
    seen = {**batch, "fgr": batch["fgr"] * batch["pha"]}
    small = {name: F.interpolate(x, tuple(size), mode="bilinear") for name, x in seen.items()}
    return {**small, "fgr": (small["fgr"] / small["pha"].clamp(min=1e-3)).clamp(0, 1)}


def _pack(picture: np.ndarray) -> Tensor:
    return torch.from_numpy((picture * 255 + 0.5).astype(np.uint8)).permute(2, 0, 1)


class Samples(Dataset[Batch]):
    """The samples that training steps ``first`` to ``last - 1`` consume, in order.

    Args:
        seed: Names the endless set of samples.
        batch: Samples of a step.
        first: The first step.
        last: One past the last step.
        size: Height and width in pixels.
        crop: Samples are made this many times as large and cropped at random to ``size``.
        shrink: Samples are drawn this many times as large, and shrunk.
        plain, alike, shaded: As in :func:`make_sample`.
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
        plain: float = PLAIN,
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
    """Batches of float32 tensors in [0, 1], (B, C, H, W), generated ahead by ``workers``."""
    loader: DataLoader[Batch] = DataLoader(
        samples,
        batch,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,  # a fork would copy OpenCV's locks
        generator=torch.Generator(),  # else it draws from the one whose state is resumed
    )
    for packed in loader:
        yield {
            name: (x.float() / 255).contiguous(memory_format=torch.channels_last)
            for name, x in packed.items()
        }
