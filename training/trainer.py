"""The training loop: deterministic for a seed; a resumed run gives bit-identical weights."""

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from media import prefetch
from model import MattingBase, MattingRefine

from .cpu_gradients import speed_up_gradients
from .data import Batch, Samples, batches, resized
from .losses import excess_detail, matting_loss
from .network import Prediction, Trainee, run
from .optimizers import build_optimizers
from .recipe import Recipe
from .sample_pool import SamplePool
from .validation import Validation
from .weights import load_weights, read_state
from .windows import (
    MIN_SAMPLE_SIDE,
    WindowPool,
    choose_windows,
    cut_features,
    features_of,
    refine_windows,
    stacked,
)

CHECKPOINT = "checkpoint.pt"


class Trainer:
    """Trains a network in a folder that holds its checkpoint, its log and validation images.

    Args:
        recipe: The settings. A checkpoint in the folder is resumed; its recipe must be the same.
        folder: Created if necessary.
        init: A checkpoint or state dict to start from; missing refiner weights stay random.
        windows: Pools with as many windows in total as the recipe expects; steps cycle through
            the pools.
        ahead: Pools of samples drawn ahead, as many in total as the recipe expects; steps cycle
            through the pools, and take as many samples as have the pixels of ``batch`` samples of
            ``size``.
        device: Where to train.

    Raises:
        ValueError: The pools or the checkpoint do not match the recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        init: Path | None = None,
        windows: Sequence[WindowPool] = (),
        ahead: Sequence[SamplePool] = (),
        device: str = "cpu",
    ):
        if recipe.windows != sum(map(len, windows)):
            raise ValueError(
                f"the pools do not hold the {recipe.windows} windows that the recipe expects"
            )
        if recipe.ahead != sum(map(len, ahead)):
            raise ValueError(
                f"the pools do not hold the {recipe.ahead} samples that the recipe expects"
            )
        for pool in ahead if recipe.stage == "refine" else ():
            least = MIN_SAMPLE_SIDE if recipe.spots else 4
            if pool.size[0] % 4 or pool.size[1] % 4 or min(pool.size) < least:
                height, width = pool.size
                raise ValueError(
                    f"samples of {width}x{height}: expected multiples of 4, at least {least}"
                )
        self.windows, self.ahead = windows, ahead
        self._data = [pool.identity for pool in (*windows, *ahead)]
        self.recipe, self.folder, self.device = recipe, folder, torch.device(device)
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self.network = _build(recipe)
        if self.device.type == "cpu":
            speed_up_gradients(self.network)
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.trainee = Trainee(self.network)
        self.optimizers = build_optimizers(self.network, self.recipe)
        self.step = 0
        if (folder / CHECKPOINT).exists():
            self._resume()
        elif init is not None:
            load_weights(self.network, read_state(init))

    def train(self, *, workers: int = 1, save_every: int = 100, validate_every: int = 500) -> None:
        """Train up to the recipe's last step.

        Args:
            workers: Processes that draw samples; their number does not change the result.
            save_every: Steps between checkpoints; 0: only at the end.
            validate_every: Steps between validations; 0: none.
        """
        recipe = self.recipe
        validation = Validation(recipe.stage) if validate_every else None
        mean, started = 0.0, time.monotonic()
        for batch in tqdm(
            self._batches(workers), initial=self.step, total=recipe.steps, mininterval=5
        ):
            loss = self._train_step(batch)
            mean = 0.98 * mean + 0.02 * loss if mean else loss
            self.step += 1
            last = self.step == recipe.steps
            if self.step % 50 == 0 or last:
                self._log(loss=round(mean, 5), seconds=round(time.monotonic() - started))
            if (save_every and self.step % save_every == 0) or last:
                self.save()
            if validation and (self.step % validate_every == 0 or last):
                self.trainee.eval()
                image = self.folder / f"validation_{self.step:06d}.jpg"
                figures = validation.measure(
                    self.trainee, self.device, precision=recipe.precision, image=image
                )
                self._log(**figures)

    def _batches(self, workers: int) -> Iterator[Batch]:
        """The batches of the remaining steps, prefetched."""
        recipe, steps = self.recipe, range(self.step, self.recipe.steps)
        if self.windows:
            return prefetch(self._window_batch, steps, 1, name="windows")
        if self.ahead:
            return prefetch(self._sample_batch, steps, 1, name="samples")
        samples = Samples(
            recipe.seed, batch=recipe.batch, first=self.step, last=recipe.steps,
            size=recipe.size, crop=recipe.crop, shrink=recipe.shrink, plain=recipe.plain,
            alike=recipe.alike, shaded=recipe.shaded,
        )  # fmt: skip
        return batches(samples, batch=recipe.batch, workers=workers)

    def _window_batch(self, step: int) -> Batch:
        pool = self.windows[step % len(self.windows)]
        return pool.batch(self.recipe.seed, step, self.recipe.batch)

    def _sample_batch(self, step: int) -> Batch:
        recipe, pool = self.recipe, self.ahead[step % len(self.ahead)]
        count = recipe.batch * math.prod(recipe.size) / math.prod(pool.size)
        return pool.batch(recipe.seed, step, max(1, round(count)))

    def _train_step(self, batch: Batch) -> float:
        self.trainee.train()
        if isinstance(self.network, MattingRefine):  # too few samples a batch for statistics
            self.network.eval()
            self.network.refiner.train(not self.recipe.frozen)
        elif self.recipe.frozen:
            self.network.eval()
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * self.recipe.learning_rate(self.step)
        batch = {name: x.to(self.device) for name, x in batch.items()}
        if self.windows:
            loss = self._loss_in_windows(batch)
        elif self.recipe.spots:
            loss = self._loss_in_spots(batch)
        else:
            loss = self._loss(batch)
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers.values():
            optimizer.step()
        return float(loss.detach())

    def _loss(self, batch: Batch) -> Tensor:
        src, bgr = batch["src"], batch["bgr"]
        return self._compare(run(self.trainee, src, bgr, precision=self.recipe.precision), batch)

    def _compare(self, predictions: list[Prediction], batch: Batch) -> Tensor:
        loss = torch.zeros((), device=self.device)
        for predicted in predictions:
            coarse = predicted.err.shape == predicted.pha.shape
            true = resized({name: batch[name] for name in ("pha", "fgr")}, predicted.pha.shape[2:])
            loss = loss + matting_loss(predicted, **true, with_err=coarse)
        return loss

    def _loss_in_spots(self, batch: Batch) -> Tensor:
        assert isinstance(self.network, MattingRefine)
        recipe = self.recipe
        with features_of(self.network) as seen:
            coarse = run(
                self.trainee, batch["src"], batch["bgr"], precision=recipe.precision, refined=False
            )
        rng = np.random.default_rng([recipe.seed, self.step, 6])
        places, windows = [], []
        for index, err in enumerate(coarse[0].err.detach()):
            sample = {name: x[index] for name, x in batch.items()}
            where, chosen = choose_windows(sample, err[None], recipe.spots, rng)
            places += [(index, *place) for place in where]
            windows += chosen
        loss = self._compare(coarse, batch)
        if not windows:
            return loss
        features = cut_features(seen[0].float(), places, self.network.backbone_scale)
        return loss + self._loss_in_windows({**stacked(windows), "features": features})

    def _loss_in_windows(self, windows: Batch) -> Tensor:
        assert isinstance(self.network, MattingRefine)
        refined = nn.functional.interpolate(windows["ref"], scale_factor=4.0, mode="nearest")
        weight = 0.2 + 0.8 * refined  # other settings refine more of the frame
        found, pha = refine_windows(self.network, windows), windows["pha"]
        loss = matting_loss(found, pha, windows["fgr"], with_err=False, weight=weight)
        if self.recipe.dots:
            loss = loss + self.recipe.dots * (weight * excess_detail(found.pha, pha)).mean()
        return loss

    def save(self) -> None:
        """Write the checkpoint atomically: a killed process leaves the old or the new one."""
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "network": self.network.state_dict(),
            **{name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            "data": self._data,
        }
        partial = self.folder / f"{CHECKPOINT}.partial"
        torch.save(state, partial)
        os.replace(partial, self.folder / CHECKPOINT)

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        state = torch.load(path, map_location=self.device, weights_only=True)
        if Recipe(**state["recipe"]) != self.recipe:
            raise ValueError(f"{path} was started with another recipe: {state['recipe']}")
        if state.get("data") != self._data:
            raise ValueError(f"{path} was started with other samples or windows")
        self.network.load_state_dict(state["network"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[name])
        torch.set_rng_state(state["rng"].cpu())
        if state.get("cuda_rng") is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"].cpu())
        self.step = state["step"]

    def _log(self, **entry: Any) -> None:
        with open(self.folder / "log.jsonl", "a") as log:
            log.write(json.dumps({"step": self.step, **entry}) + "\n")


def _build(recipe: Recipe) -> MattingBase:
    if recipe.stage == "base":
        network = MattingBase(recipe.backbone)
    else:
        network = MattingRefine(recipe.backbone, refine_mode="full")
    for module in network.backbone.modules():  # initialisation of He et al. (2015)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
