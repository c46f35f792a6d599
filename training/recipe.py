"""The settings that determine the weights of a training run."""

import math
from dataclasses import dataclass
from typing import Literal

from drawing.sample import PLAIN_SHARE

from .data import VALIDATION_SEED
from .network import Precision

Stage = Literal["base", "refine"]


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the weights, except the initial ones.

    Attributes:
        stage: ``base`` trains MattingBase on samples of its own input size; ``refine`` trains
            MattingRefine on crops of full-size samples.
        backbone: As in :class:`model.MattingBase`.
        steps: Optimizer steps; the learning rate follows a cosine over them.
        batch: Samples per step.
        size: Height and width of a sample, in pixels.
        crop: Samples are drawn this many times larger, then cropped to ``size``.
        shrink: Samples are drawn this many times larger, then shrunk, as the network shrinks the
            input of its base: hair and noise are finer there than in a small drawing.
        plain: Share of samples with a plain thing before a plain wall. More of them than in
            validation teach faint differences, which are rare and cost most when missed.
        alike: Share of subjects with parts in the colours of what is behind them; 0 in validation.
            Teaches that a thing continues between its outlines.
        shaded: Share of subjects with an additional shadow under or close behind them; 0 in
            validation.
        windows: Number of windows that the refiner trains on instead of samples; 0: none.
        spots: In stage ``refine``, the number of windows of each sample that the refiner trains on,
            cut where the base errs, while the base trains on whole samples; 0: both train on whole
            samples.
        dots: In stage ``refine``, the weight of single pixels that differ from those around them
            more than in the truth; see :func:`training.losses.excess_detail`.
        ahead: Number of samples that were drawn ahead and are shown repeatedly; 0: each step draws
            its own. ``plain``, ``alike`` and ``shaded`` then apply when they are drawn.
        hard: Show samples more often that a network found hard; for samples drawn ahead.
        precision: Of a step's computation; ``bf16`` is faster where the processor supports it.
        frozen: Keep the statistics of normalisation: for small batches, once they are good. In
            stage ``refine`` those of the base are always kept.
        base_rate: In stage ``refine``, the base's learning rate relative to the refiner's. The
            base's last layer learns at the refiner's rate, since only the refiner reads its hidden
            channels. At 0 the base trains nothing but the hidden channels.
        muon: Train kernels that mix channels with Muon instead of AdamW.
        lr: Learning rate at the start, after a short warm-up.
        final_lr: Learning rate at the end.
        seed: Identifies the set of samples, and draws the initial weights.

    Raises:
        ValueError: Settings that exclude each other, or the seed of the validation samples.
    """

    stage: Stage
    backbone: Literal["resnet101", "resnet50", "mobilenetv2"] = "mobilenetv2"
    steps: int = 1000
    batch: int = 12
    size: tuple[int, int] = (224, 224)
    crop: float = 1.0
    shrink: int = 1
    plain: float = PLAIN_SHARE
    alike: float = 0
    shaded: float = 0
    windows: int = 0
    spots: int = 0
    dots: float = 0
    ahead: int = 0
    hard: bool = False
    precision: Precision = "bf16"
    frozen: bool = False
    base_rate: float = 0.1
    muon: bool = False
    lr: float = 1e-3
    final_lr: float = 1e-5
    seed: int = 1

    def __post_init__(self) -> None:
        if self.seed == VALIDATION_SEED:
            raise ValueError(f"seed {self.seed} is that of the validation samples")
        if self.windows and (self.stage != "refine" or self.base_rate):
            raise ValueError("windows need the refine stage and a base rate of 0")
        if self.windows and self.ahead:
            raise ValueError("give windows or samples drawn ahead, not both")
        described = (self.plain, self.alike, self.shaded, self.crop, self.shrink)
        if self.ahead and described != (PLAIN_SHARE, 0, 0, 1, 1):
            raise ValueError(
                "give plain, alike, shaded, crop and shrink when samples are drawn ahead"
            )
        if self.hard and not self.ahead:
            raise ValueError("hard needs samples drawn ahead")
        if self.spots and (self.stage != "refine" or self.windows):
            raise ValueError("spots need the refine stage, without windows")
        if self.stage == "refine" and (self.size[0] % 4 or self.size[1] % 4):
            raise ValueError(f"size {self.size[0]}x{self.size[1]} is not a multiple of 4")

    def learning_rate(self, step: int) -> float:
        """The learning rate at ``step``: twenty steps of warm-up, then a cosine."""
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return min(1.0, (step + 1) / 20) * (self.final_lr + (self.lr - self.final_lr) * fall)
