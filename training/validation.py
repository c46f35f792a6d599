"""Validation on held-out samples: figures and images."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from drawing.sample import make_sample
from model import MattingBase, MattingRefine

from .data import VALIDATION_SEED, Batch, resized, to_tensors
from .network import Precision, Trainee, run


class Validation:
    """A fixed set of samples that no training seed draws: the first of those of the model card.

    Args:
        stage: ``base`` or ``refine``: the base sees the samples at a quarter of their size.
        size: Height and width of the samples.
        count: Number of samples.
    """

    def __init__(self, stage: str, *, size: tuple[int, int] = (576, 1024), count: int = 48):
        made = [make_sample(VALIDATION_SEED, i, *size) for i in range(count)]
        self.clean = np.array([sample.clean for sample in made])
        self.samples = [to_tensors(sample) for sample in made]
        self.size = tuple(length // 4 for length in size) if stage == "base" else size

    @torch.no_grad()
    def measure(
        self,
        trainee: Trainee,
        device: torch.device,
        *,
        precision: Precision = "bf16",
        image: Path | None = None,
    ) -> dict[str, float]:
        """Mean absolute alpha error, x1000: over all samples and over the clean ones.

        Args:
            trainee: In evaluation mode.
            device: Its device.
            precision: Of the computation.
            image: Where to save source, plate, true and predicted alpha of the first samples.
        """
        errors, rows = [], []
        for index, sample in enumerate(self.samples):
            batch = {name: x[None].float().to(device) / 255 for name, x in sample.items()}
            batch = resized(batch, self.size)
            with _sampling_mode(trainee.network):
                pha = run(trainee, batch["src"], batch["bgr"], precision=precision)[-1].pha
            errors.append(float((pha - batch["pha"]).abs().mean()))
            if index < 16:
                rows.append(_row(batch, pha))
        if image is not None:
            columns = np.hstack([np.vstack(rows[i::2]) for i in range(2)])
            cv2.imwrite(str(image), columns[..., ::-1])
        mad = 1000 * np.array(errors)
        return {
            "val_mad": round(float(mad.mean()), 2),
            "val_mad_clean": round(float(mad[self.clean].mean()), 2),
        }


@contextmanager
def _sampling_mode(network: MattingBase) -> Iterator[None]:
    """Refine the patches with the largest predicted errors, not all as in training."""
    if not isinstance(network, MattingRefine):
        yield
        return
    mode, network.refiner.mode = network.refiner.mode, "sampling"
    try:
        yield
    finally:
        network.refiner.mode = mode


def _row(batch: Batch, pha: Tensor) -> np.ndarray:
    alphas = [x.expand(-1, 3, -1, -1) for x in (batch["pha"], pha)]
    row = torch.cat([batch["src"], batch["bgr"], *alphas], dim=3)[0]
    return (row.permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
