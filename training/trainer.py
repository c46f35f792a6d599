"""The training loop: deterministic from a seed, and resumed bit for bit from its checkpoint."""

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
from torch.optim import AdamW, Optimizer
from tqdm import tqdm

from media import prefetch
from model import MattingBase, MattingRefine

from .ahead import SamplePool
from .data import Batch, Samples, batches, resized
from .losses import matting_loss
from .muon import ConvolutionMuon, is_for_muon
from .network import Prediction, Trainee, run
from .quick import quicken
from .recipe import Recipe
from .validation import Validation
from .weights import load_weights, read_state
from .windows import (
    LEAST_SIDE,
    WindowPool,
    choose_windows,
    cut_features,
    features_of,
    refine_windows,
    stacked,
)

CHECKPOINT = "checkpoint.pt"


class Trainer:
    """Trains a network in a folder that holds its checkpoint, its log and its pictures.

    Args:
        recipe: What to do. A folder's checkpoint goes on only under the recipe that it began with.
        folder: Created if need be.
        init: A checkpoint or a state dict to start from; missing refiner weights stay as drawn.
        windows: As many in all as the recipe says; steps take from one pool after the other.
        ahead: Samples drawn ahead, as many in all as the recipe says; steps take from one pool
            after the other, as many as have the pixels of ``batch`` samples of ``size``.
        device: Where to train.
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
            raise ValueError(f"there are not {recipe.windows} windows, and the recipe has so many")
        if recipe.ahead != sum(map(len, ahead)):
            raise ValueError(f"not {recipe.ahead} samples were drawn ahead, as the recipe says")
        for pool in ahead if recipe.stage == "refine" else ():
            least = LEAST_SIDE if recipe.spots else 4
            if pool.size[0] % 4 or pool.size[1] % 4 or min(pool.size) < least:
                height, width = pool.size
                raise ValueError(
                    f"samples of {width}x{height}: not multiples of 4, of {least} or more"
                )
        self.windows, self.ahead = windows, ahead
        self._data = [pool.identity for pool in (*windows, *ahead)]
        self.recipe, self.folder, self.device = recipe, folder, torch.device(device)
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self.network = _build(recipe)
        if self.device.type == "cpu":
            quicken(self.network)
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.trainee = Trainee(self.network)
        self.optimizers = self._optimizers()
        self.step = 0
        if (folder / CHECKPOINT).exists():
            self._resume()
        elif init is not None:
            load_weights(self.network, read_state(init))

    def train(self, *, workers: int = 1, save_every: int = 100, validate_every: int = 500) -> None:
        """Train up to the recipe's last step.

        Args:
            workers: Processes that generate samples; they don't change the result.
            save_every: Steps between checkpoints; 0 for none before the end.
            validate_every: Steps between validations; 0 for none.
        """
        recipe = self.recipe
        validation = Validation(recipe.stage) if validate_every else None
        mean, begun = 0.0, time.monotonic()
        for batch in tqdm(
            self._supply(workers), initial=self.step, total=recipe.steps, mininterval=5
        ):
            loss = self._optimise(batch)
            mean = 0.98 * mean + 0.02 * loss if mean else loss
            self.step += 1
            last = self.step == recipe.steps
            if self.step % 50 == 0 or last:
                self._log(loss=round(mean, 5), seconds=round(time.monotonic() - begun))
            if (save_every and self.step % save_every == 0) or last:
                self.save()
            if validation and (self.step % validate_every == 0 or last):
                self.trainee.eval()
                picture = self.folder / f"validation_{self.step:06d}.jpg"
                figures = validation.measure(
                    self.trainee, self.device, precision=recipe.precision, picture=picture
                )
                self._log(**figures)

    def _supply(self, workers: int) -> Iterator[Batch]:
        """The batches of the steps that remain, begun on while those before are learnt from."""
        recipe, steps = self.recipe, range(self.step, self.recipe.steps)
        if self.windows:
            return prefetch(self._windows_cut_ahead, steps, 1, name="windows")
        if self.ahead:
            return prefetch(self._batch_drawn_ahead, steps, 1, name="samples")
        samples = Samples(
            recipe.seed, batch=recipe.batch, first=self.step, last=recipe.steps,
            size=recipe.size, crop=recipe.crop, shrink=recipe.shrink, plain=recipe.plain,
            alike=recipe.alike, shaded=recipe.shaded,
        )  # fmt: skip
        return batches(samples, batch=recipe.batch, workers=workers)

    def _windows_cut_ahead(self, step: int) -> Batch:
        pool = self.windows[step % len(self.windows)]
        return pool.batch(self.recipe.seed, step, self.recipe.batch)

    def _batch_drawn_ahead(self, step: int) -> Batch:
        recipe, pool = self.recipe, self.ahead[step % len(self.ahead)]
        count = recipe.batch * math.prod(recipe.size) / math.prod(pool.size)
        return pool.batch(recipe.seed, step, max(1, round(count)))

    def _optimise(self, batch: Batch) -> float:
        self.trainee.train()
        if isinstance(self.network, MattingRefine):  # few, large samples: the statistics stay
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
        return matting_loss(
            refine_windows(self.network, windows),
            windows["pha"],
            windows["fgr"],
            with_err=False,
            weight=0.2 + 0.8 * refined,  # other settings refine more
        )

    def _optimizers(self) -> dict[str, Optimizer]:
        adam, muon = [], []
        for group in self._groups():
            for_muon = [
                x for x in group["params"] if self.recipe.muon and is_for_muon(self.network, x)
            ]
            known = {id(x) for x in for_muon}
            adam.append({**group, "params": [x for x in group["params"] if id(x) not in known]})
            muon.append({**group, "params": for_muon})
        optimizers: dict[str, Optimizer] = {
            "optimizer": AdamW(adam, self.recipe.lr, weight_decay=1e-4, fused=True)
        }
        if self.recipe.muon:
            optimizers["muon"] = ConvolutionMuon(muon, self.recipe.lr)
        return optimizers

    def _groups(self) -> list[dict[str, Any]]:
        if not isinstance(self.network, MattingRefine):
            return [{"params": list(self.network.parameters()), "rate": 1.0}]
        fast = [*self.network.refiner.parameters(), *self.network.decoder.conv4.parameters()]
        known = {id(x) for x in fast}
        slow = [x for x in self.network.parameters() if id(x) not in known]
        if self.recipe.base_rate:
            return [{"params": fast, "rate": 1.0}, {"params": slow, "rate": self.recipe.base_rate}]
        for weight in slow:
            weight.requires_grad_(False)
        for weight in self.network.decoder.conv4.parameters():
            weight.register_hook(_hidden_alone)
        return [{"params": fast, "rate": 1.0}]

    def save(self) -> None:
        """Write the checkpoint; whoever kills the process leaves either the old or the new one."""
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
            raise ValueError(f"{path} was begun under another recipe: {state['recipe']}")
        if state.get("data") != self._data:
            raise ValueError(f"{path} was begun with other samples or windows")
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


def _hidden_alone(gradient: Tensor) -> Tensor:
    """The gradient of the base's last layer, without the channels that it shows."""
    gradient = gradient.clone()
    gradient[:5] = 0
    return gradient


def _build(recipe: Recipe) -> MattingBase:
    if recipe.stage == "base":
        network = MattingBase(recipe.backbone)
    else:
        network = MattingRefine(recipe.backbone, refine_mode="full")
    for module in network.backbone.modules():  # as He et al. start deep networks
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
