"""What decides the weights that training ends with."""

import math
from dataclasses import dataclass
from typing import Literal

from .data import VALIDATION_SEED
from .network import Precision
from .sample import PLAIN

Stage = Literal["base", "refine"]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides where they start.

    Attributes:
        stage: ``base`` trains MattingBase on samples as small as it sees; ``refine`` trains
            MattingRefine on crops of full-size samples.
        backbone: As in :class:`model.MattingBase`.
        steps: Optimiser steps; the learning rate falls along a cosine over them.
        batch: Samples of a step.
        size: Height and width of a sample, in pixels.
        crop: Samples are made this many times as large, and cropped to ``size``.
        shrink: Samples are drawn this many times as large and shrunk, as the network shrinks what
            its base sees: hair and noise are finer there than in a small drawing.
        plain: The share of samples with a plain thing before a plain wall. More than validation's
            teaches faint differences, which few samples show and which cost most when missed.
        alike: The share of subjects with parts in the colours of what is behind them; validation
            has none. Teaches that a thing goes on between its outlines.
        shaded: The share of subjects with a further shadow under or close behind them; validation
            has none.
        windows: How many windows the refiner learns from, instead of samples; 0: none.
        spots: In stage ``refine``, how many windows of each sample the refiner learns from, where
            the base errs, which learns from the whole; 0: both learn from whole samples.
        ahead: How many samples were drawn ahead, to learn from again and again; 0: each step has
            its own. ``plain``, ``alike`` and ``shaded`` were said when they were drawn.
        hard: Those of them are shown more often that a network found hard.
        precision: What a step computes in; ``bf16`` pays where the processor has it.
        frozen: The normalisation's statistics stay as they were: for small batches, once they are
            good. In stage ``refine`` those of the base do in any case.
        base_rate: In stage ``refine``, the base's learning rate relative to the refiner's. Its
            last layer learns as fast as the refiner: it makes the hidden channels, which nobody
            else reads. At 0 the hidden channels are all of the base that learns.
        muon: Kernels that mix channels learn by Muon instead of AdamW.
        lr: Learning rate at the start (after a short warm-up).
        final_lr: Learning rate at the end.
        seed: Names the set of samples and draws the first weights.
    """

    stage: Stage
    backbone: Literal["resnet101", "resnet50", "mobilenetv2"] = "mobilenetv2"
    steps: int = 1000
    batch: int = 12
    size: tuple[int, int] = (224, 224)
    crop: float = 1.0
    shrink: int = 1
    plain: float = PLAIN
    alike: float = 0
    shaded: float = 0
    windows: int = 0
    spots: int = 0
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
            raise ValueError("windows are for the refine stage at a base rate of 0")
        if self.windows and self.ahead:
            raise ValueError("windows or samples drawn ahead: give one of them")
        described = (self.plain, self.alike, self.shaded, self.crop, self.shrink)
        if self.ahead and described != (PLAIN, 0, 0, 1, 1):
            raise ValueError(
                "samples drawn ahead are what they are; describe them as you draw them"
            )
        if self.hard and not self.ahead:
            raise ValueError("only samples drawn ahead are known to be hard")
        if self.spots and (self.stage != "refine" or self.windows):
            raise ValueError("spots are for the refine stage without windows")
        if self.stage == "refine" and (self.size[0] % 4 or self.size[1] % 4):
            raise ValueError(f"size {self.size[0]}x{self.size[1]} is not a multiple of 4")

    def learning_rate(self, step: int) -> float:
        """The learning rate of ``step``: twenty steps of warm-up, then a cosine."""
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return min(1.0, (step + 1) / 20) * (self.final_lr + (self.lr - self.final_lr) * fall)
