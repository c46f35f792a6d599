"""The sample generator and the trainer."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import training.sample
import training.trainer
from model import MattingBase, MattingRefine, load_network
from model.weights import BUILTIN
from training import degrade, subjects
from training.__main__ import main
from training.canvas import Canvas
from training.data import VALIDATION_SEED, Samples, shrunk, to_tensors
from training.degrade import film
from training.network import Trainee, clamp, run
from training.sample import Sample, make_sample
from training.subjects import draw_glossy_thing, draw_lead, draw_pied_animal
from training.trainer import CHECKPOINT, Recipe, Stage, Trainer
from training.validation import Validation
from training.weights import export, mean_state, network_from, read_state, share_mean

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("size", [(96, 128), (61, 47)])
def test_samples_are_in_range(size: tuple[int, int]) -> None:
    for index in range(60):
        sample = make_sample(7, index, *size)
        for picture in (sample.src, sample.bgr, sample.fgr):
            assert picture.shape == (*size, 3) and picture.dtype == np.float32
        assert sample.pha.shape == size and sample.pha.dtype == np.float32
        for x in (sample.src, sample.bgr, sample.fgr, sample.pha):
            assert 0 <= x.min() <= x.max() <= 1


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    first = make_sample(7, 3, 64, 64)
    make_sample(7, 4, 64, 64)
    again, other = make_sample(7, 3, 64, 64), make_sample(8, 3, 64, 64)
    np.testing.assert_array_equal(first.src, again.src)
    np.testing.assert_array_equal(first.pha, again.pha)
    assert not np.array_equal(first.src, other.src)


def test_a_clean_sample_is_its_own_compositing() -> None:
    found = 0
    for index in range(60):
        sample = make_sample(7, index, 96, 96)
        pha = sample.pha[..., None]
        if sample.clean and 0.05 < pha.mean() < 0.95:
            composed = pha * sample.fgr + (1 - pha) * sample.bgr
            assert np.abs(composed - sample.src).mean() < 0.03
            found += 1
    assert found > 5


def test_parts_of_a_subject_may_look_like_what_is_behind_them(monkeypatch) -> None:
    monkeypatch.setattr(training.sample, "DIM", 0)
    touched = 0
    for index in range(40):
        before = make_sample(7, index, 96, 96)
        after = make_sample(7, index, 96, 96, alike=1)
        np.testing.assert_array_equal(after.pha, before.pha)
        np.testing.assert_array_equal(after.bgr, before.bgr)
        near, far = (np.abs(x.src - x.bgr)[x.pha > 0.9].sum() for x in (after, before))
        touched += near < 0.95 * far
        if not before.pha.any():
            np.testing.assert_array_equal(after.src, before.src)
    assert touched > 10


def test_subjects_like_what_is_behind_them_may_stand_in_the_dark(monkeypatch) -> None:
    def plates(dim: float) -> list[float]:
        monkeypatch.setattr(training.sample, "DIM", dim)
        return [float(make_sample(7, i, 64, 64, plain=0, alike=1).bgr.mean()) for i in range(20)]

    for dark, bright in zip(plates(1), plates(0), strict=True):
        assert dark < 0.55 * bright


def test_a_further_shadow_falls_on_the_scene_alone(monkeypatch) -> None:
    monkeypatch.setattr(training.sample, "GROUND", 0)
    monkeypatch.setattr(training.sample, "DARK", 0)
    touched = 0
    for index in range(40):
        before = make_sample(7, index, 96, 96, plain=0)
        after = make_sample(7, index, 96, 96, plain=0, shaded=1)
        np.testing.assert_array_equal(after.pha, before.pha)
        np.testing.assert_array_equal(after.bgr, before.bgr)
        if before.clean or not before.pha.any():
            np.testing.assert_array_equal(after.src, before.src)
            continue
        darker = (before.src - after.src).mean(axis=2)
        assert darker.min() > -0.2  # what the encoder makes of it
        touched += (darker > 0.02).mean() > 0.01
        if (solid := before.pha == 1).any():
            assert np.abs(darker[solid]).mean() < 0.01
    assert touched > 10


def test_a_shadow_falls_on_a_plain_wall_too(monkeypatch) -> None:
    def samples() -> list[Sample]:
        return [make_sample(7, index, 96, 96, plain=1, shaded=1) for index in range(30)]

    dimmed = samples()
    monkeypatch.setattr(degrade, "near_shadow", lambda rng, alpha: np.ones((96, 96, 3), np.float32))
    darker = [lit.src - dim.src for lit, dim in zip(samples(), dimmed, strict=True)]
    assert not any(sample.clean for sample in dimmed)
    assert sum((change.mean(axis=2) > 0.02).mean() > 0.01 for change in darker) > 10


def test_pale_ground_is_dimmed_where_somebody_stands(monkeypatch) -> None:
    def samples() -> list[Sample]:
        return [make_sample(7, index, 96, 96, plain=0, shaded=1) for index in range(20)]

    monkeypatch.setattr(training.sample, "GROUND", 1)
    dimmed = samples()
    shadow = degrade.near_shadow  # is asked all the same, for the draws that follow
    monkeypatch.setattr(degrade, "near_shadow", lambda *of: np.ones_like(shadow(*of)))
    darker = 0
    for lit, dim in zip(samples(), dimmed, strict=True):
        free = dim.pha == 0
        assert not free.any() or np.median(lit.src[free]) > 0.5
        darker += (np.abs(lit.src - dim.src)[free].max(axis=1, initial=0) > 0.02).mean() > 0.01
    assert darker > 10


def test_glossy_things_stand_in_dark_places(monkeypatch) -> None:
    def samples() -> list[Sample]:
        return [make_sample(7, index, 96, 96, plain=0, shaded=1) for index in range(20)]

    monkeypatch.setattr(training.sample, "GROUND", 0)
    monkeypatch.setattr(training.sample, "DARK", 1)
    dark = samples()
    assert all(np.median(sample.bgr) < 0.4 and not sample.clean for sample in dark)
    assert sum(bool((sample.pha == 1).any()) for sample in dark) > 10
    monkeypatch.setattr(training.sample, "draw_glossy_thing", lambda *of: None)
    without = samples()
    assert sum(a.pha.sum() > b.pha.sum() for a, b in zip(dark, without, strict=True)) > 10


def test_what_is_glossy_is_black_but_for_its_glints() -> None:
    shine = []
    for index in range(20):
        canvas = Canvas(96, 128)
        draw_glossy_thing(np.random.default_rng([7, index]), canvas)
        if (solid := canvas.alpha == 1).any():
            light = canvas.colour.max(axis=2)[solid]
            assert light.min() <= 0.15
            shine.append(light.max() > 0.25)
    assert 5 < sum(shine) < len(shine)


def test_the_legs_of_a_pied_animal_are_as_pale_as_the_ground_and_may_move(monkeypatch) -> None:
    ground = np.array([0.8, 0.75, 0.6])

    def animals() -> list[Canvas]:
        canvases = [Canvas(144, 256) for _ in range(20)]
        for index, canvas in enumerate(canvases):
            draw_pied_animal(np.random.default_rng([7, index]), canvas, ground, least=0.1)
        return canvases

    moving = animals()
    kernel = subjects.motion_kernel

    def still(*of: Any) -> np.ndarray:
        kernel(*of)  # for the draws that follow
        return np.ones((1, 1), np.float32)

    monkeypatch.setattr(subjects, "motion_kernel", still)
    alike = pied = soft = 0
    for canvas, quiet in zip(moving, animals(), strict=True):
        solid = canvas.alpha > 0.99
        hue = canvas.colour[solid] / canvas.colour[solid].sum(axis=1, keepdims=True)
        same = np.abs(hue - ground / ground.sum()).max(axis=1) < 0.03
        alike += same.mean() > 0.2
        pied += not same.all()
        partial = [((x.alpha > 0.05) & (x.alpha < 0.95)).sum() for x in (canvas, quiet)]
        soft += partial[0] > 1.1 * partial[1]
    assert alike > 10 and pied > 10 and 4 < soft < 16


def test_a_lead_hangs_on_its_subject_and_lies_on_the_ground() -> None:
    found = 0
    for index in range(20):
        rng, canvas = np.random.default_rng([7, index]), Canvas(96, 128)
        draw_lead(rng, canvas)
        assert not canvas.alpha.any(), "nobody holds it"
        canvas.paint(
            canvas.polygon(np.array([(50, 20), (70, 20), (70, 60), (50, 60)])), np.zeros(3)
        )
        before = canvas.alpha.copy()
        draw_lead(rng, canvas)
        found += (canvas.alpha - before)[55:].sum() > 2
    assert found > 10


def test_a_shrunk_sample_is_its_own_compositing() -> None:
    rng = np.random.default_rng(1)
    pha, fgr = rng.random((12, 20), np.float32), rng.random((12, 20, 3), np.float32)
    pha[:6, :6] = 0
    bgr = np.full_like(fgr, 0.3)
    src = pha[..., None] * fgr + (1 - pha[..., None]) * bgr
    small = shrunk(Sample(src, bgr, pha, fgr, clean=True), 2)
    assert small.src.shape == (6, 10, 3) and small.pha[0, 0] == 0
    covered = small.pha[..., None]
    np.testing.assert_allclose(small.src, covered * small.fgr + (1 - covered) * 0.3, atol=1e-5)
    np.testing.assert_allclose(small.pha[5, 9], pha[10:, 18:].mean(), atol=1e-6)


def test_samples_drawn_larger_come_in_the_asked_size() -> None:
    drawn = Samples(7, batch=1, first=0, last=2, size=(32, 48), crop=1.5, shrink=2)[1]
    assert {name: x.shape[1:] for name, x in drawn.items()} == dict.fromkeys(drawn, (32, 48))
    whole = Samples(7, batch=1, first=0, last=2, size=(96, 144))[1]["src"].float()
    once = Samples(7, batch=1, first=0, last=2, size=(48, 72), shrink=2)[1]["src"].float()
    assert (torch.nn.functional.avg_pool2d(whole, 2) - once).abs().max() <= 1


def test_subjects_are_as_varied_as_scenes() -> None:
    cover = np.array([make_sample(7, index, 64, 64).pha.mean() for index in range(150)])
    assert 0.03 < (cover == 0).mean() < 0.3
    assert (cover > 0.4).mean() > 0.05
    assert ((cover > 0.01) & (cover < 0.3)).mean() > 0.3


@pytest.mark.parametrize("moved", [None, (1, -2)])
def test_film_damages_a_picture_a_little(moved: tuple[int, int] | None) -> None:
    picture = (255 * make_sample(7, 3, 61, 95).src).astype(np.uint8)
    good, bad = (
        np.abs(film(picture, crf=crf, moved=moved).astype(float) - picture).mean()
        for crf in (15, 40)
    )
    assert 0 < good < bad < 20 and good < 6


def test_clamp_pulls_back_from_outside() -> None:
    x = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    y = clamp(x)
    assert y.tolist() == [0, 0.5, 1]
    (y - 1).abs().sum().backward()
    assert x.grad is not None and x.grad.tolist() == [-1, -1, 0]


def test_training_runs_the_network_that_ships() -> None:
    torch.manual_seed(0)
    network = MattingRefine("mobilenetv2", refine_mode="full").eval()
    src, bgr = torch.rand(2, 1, 3, 64, 96)
    with torch.no_grad():
        expected = network(src, bgr)
        coarse, refined = run(Trainee(network), src, bgr)
        exact = run(Trainee(network), src, bgr, precision="fp32")[1]
    assert (coarse.pha - expected.pha_sm).abs().max() < 0.02  # bfloat16
    assert (refined.pha - expected.pha).abs().max() < 0.02
    assert (refined.fgr - expected.fgr).abs().max() < 0.02
    torch.testing.assert_close(exact.pha, expected.pha, atol=1e-5, rtol=0)


def test_the_base_trains_without_its_hidden_channels() -> None:
    torch.manual_seed(0)
    network = MattingBase("mobilenetv2").eval()
    src, bgr = torch.rand(2, 1, 3, 64, 96)
    expected = network(src, bgr)
    (found,) = run(Trainee(network), src, bgr, precision="fp32")
    for name in ("pha", "fgr", "err"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-5, rtol=0)
    found.pha.sum().backward()
    gradient = network.decoder.conv4.weight.grad
    assert gradient is not None and gradient[0].abs().sum() > 0 and not gradient[5:].any()


def test_frozen_statistics_stay(tmp_path: Path) -> None:
    recipe = Recipe("base", steps=1, batch=2, size=(32, 32), frozen=True, precision="fp32")
    trainer = Trainer(recipe, tmp_path)
    before = {key: x.clone() for key, x in trainer.network.state_dict().items()}
    trainer.train(workers=0, validate_every=0)
    moved = {k for k, x in trainer.network.state_dict().items() if not torch.equal(x, before[k])}
    assert moved and not any("running" in key for key in moved)


def test_training_learns(tmp_path: Path) -> None:
    recipe = Recipe("base", steps=15, batch=3, size=(32, 32), lr=2e-3, precision="fp32")
    trainer = Trainer(recipe, tmp_path)
    batch = [to_tensors(make_sample(1, index, 32, 32)) for index in range(3)]
    batch = {name: torch.stack([x[name] for x in batch]).float() / 255 for name in batch[0]}
    losses = []
    for trainer.step in range(15):
        losses.append(trainer._optimise(batch))
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_the_refiner_starts_from_a_base(tmp_path: Path) -> None:
    base = Trainer(Recipe("base", steps=1, batch=2, size=(32, 32)), tmp_path / "base")
    base.save()
    recipe = Recipe("refine", steps=2, batch=2, size=(64, 64))
    refine = Trainer(recipe, tmp_path / "refine", init=tmp_path / "base" / CHECKPOINT)
    refine.train(workers=0, validate_every=0)
    before, after = base.network.state_dict(), refine.network.state_dict()
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert "decoder.conv4.weight" in moved and "aspp.convs.0.0.weight" in moved
    assert not any("running" in key for key in moved)
    assert after["refiner.bn1.num_batches_tracked"] == 2


def test_the_refiner_learns_beside_a_base_that_stays(tmp_path: Path) -> None:
    recipe = Recipe("refine", steps=2, batch=2, size=(64, 64), base_rate=0, precision="fp32")
    trainer = Trainer(recipe, tmp_path)
    before = {key: x.clone() for key, x in trainer.network.state_dict().items()}
    trainer.train(workers=0, validate_every=0)
    after = trainer.network.state_dict()
    moved = {key for key, x in before.items() if not torch.equal(x, after[key])}
    assert {"decoder.conv4.weight", "decoder.conv4.bias", "refiner.conv1.weight"} <= moved
    assert all(key.startswith(("decoder.conv4", "refiner")) for key in moved)
    old, new = before["decoder.conv4.weight"], after["decoder.conv4.weight"]
    torch.testing.assert_close(new[:5], old[:5], rtol=1e-5, atol=0)
    assert (new[5:] - old[5:]).abs().max() > 1e-5


def test_another_recipe_does_not_go_on_with_a_checkpoint(tmp_path: Path) -> None:
    Trainer(Recipe("base", steps=1, batch=2, size=(32, 32)), tmp_path).save()
    with pytest.raises(ValueError, match="another recipe"):
        Trainer(Recipe("base", steps=2, batch=2, size=(32, 32)), tmp_path)


@pytest.mark.parametrize("stage, shrink", [("base", 4), ("refine", 1)])
def test_validation_measures_what_the_network_makes_of_held_out_samples(
    stage: Stage, shrink: int, tmp_path: Path, monkeypatch
) -> None:
    few = partial(Validation, size=(128, 192), count=4)
    monkeypatch.setattr(training.trainer, "Validation", few)
    recipe = Recipe(stage, steps=1, batch=2, size=(64, 64), precision="fp32")
    trainer = Trainer(recipe, tmp_path, init=BUILTIN)
    if stage == "refine":  # few enough to tell
        monkeypatch.setattr(trainer.network.refiner, "sample_pixels", 800)
    trainer.train(workers=0, validate_every=1)
    again = network_from(trainer.network.state_dict())
    if isinstance(again, MattingRefine):
        again.refiner.sample_pixels = 800
    written = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (tmp_path / "validation_000001.jpg").exists()
    mads = []
    for index in range(4):
        sample = shrunk(make_sample(VALIDATION_SEED, index, 128, 192), shrink)
        src, bgr, pha = (to_tensors(sample)[x][None] / 255 for x in ("src", "bgr", "pha"))
        with torch.no_grad():
            found = again(src, bgr).pha
        mads.append(1000 * float((found - pha).abs().mean()))
    assert written[-1]["val_mad"] == pytest.approx(np.mean(mads), abs=0.01)


def test_validation_samples_are_not_trained_on() -> None:
    with pytest.raises(ValueError, match=str(VALIDATION_SEED)):
        Recipe("base", seed=VALIDATION_SEED)


def test_export_keeps_the_network(tmp_path: Path) -> None:
    network = MattingRefine("mobilenetv2").eval()
    path = tmp_path / "weights.safetensors"
    digest = export(network.state_dict(), path)
    assert len(digest) == 64 and path.stat().st_size < 12e6
    loaded = network_from(read_state(path))
    src, bgr = torch.rand(2, 1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(src, bgr).pha, network(src, bgr).pha, atol=0.01, rtol=0)


def test_after_its_own_training_a_base_is_joined_with_a_refiner(tmp_path: Path) -> None:
    trainer = Trainer(Recipe("base", steps=1, batch=2, size=(32, 32), seed=5), tmp_path / "base")
    trainer.save()
    joined = tmp_path / "joined.safetensors"
    checkpoint = str(tmp_path / "base" / CHECKPOINT)
    assert main(["export", checkpoint, str(joined), "--rest", str(BUILTIN)]) == 0
    network, shipped = network_from(read_state(joined)), load_network()
    assert isinstance(network, MattingRefine)
    old, new = shipped.state_dict(), network.state_dict()
    base = trainer.network.state_dict()
    for key in ("decoder.conv4.weight", "decoder.conv4.bias"):
        torch.testing.assert_close(new[key][:5], base[key][:5], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(new[key][5:], old[key][5:])
    torch.testing.assert_close(new["refiner.conv1.weight"], old["refiner.conv1.weight"])
    key = "backbone.features.3.conv.0.0.weight"
    torch.testing.assert_close(new[key], base[key], rtol=1e-3, atol=1e-4)


def test_mean_of_two_checkpoints() -> None:
    first = {"w": torch.tensor([1.0, 3.0]), "n": torch.tensor(1)}
    second = {"w": torch.tensor([2.0, 5.0]), "n": torch.tensor(4)}
    mean = mean_state([first, second])
    assert mean["w"].tolist() == [1.5, 4.0] and mean["n"] == 4


def test_runs_side_by_side_go_on_from_their_mean(tmp_path: Path) -> None:
    def trainer(seed: int, steps: int = 2) -> Trainer:
        recipe = Recipe("base", steps=steps, batch=2, size=(32, 32), precision="fp32", seed=seed)
        return Trainer(recipe, tmp_path / f"{seed}-{steps}")

    def weight(trainer: Trainer) -> torch.Tensor:
        return trainer.network.state_dict()["aspp.convs.0.0.weight"]

    runs = [trainer(1), trainer(2)]
    for run_ in runs:
        run_.save()
    paths = [run_.folder / CHECKPOINT for run_ in runs]
    assert share_mean(paths) == 0
    expected = (weight(runs[0]) + weight(runs[1])) / 2
    for again in (trainer(1), trainer(2)):
        assert torch.equal(weight(again), expected)
    other = trainer(3, steps=5)
    other.save()
    with pytest.raises(ValueError, match="same place"):
        share_mean([*paths, other.folder / CHECKPOINT])


def test_the_built_in_weights_fit_their_digest_and_the_network() -> None:
    network = load_network()
    wall = torch.full((1, 3, 256, 256), 100 / 255)
    subject = wall.clone()
    subject[..., 64:192, 64:192] = 140 / 255
    with torch.inference_mode():
        pha = network(subject, wall).pha[0, 0]
    assert pha[80:176, 80:176].mean() > 0.9 and pha[:40].mean() < 0.05


def _train(folder: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "training", "base", str(folder), "--steps", "12", "--batch", "2",
        "--size", "32x32", "--threads", "1", "--workers", "0", "--save-every", "2",
        "--validate-every", "0", "--precision", "fp32",
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


def test_killed_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = _train(whole)
    victim = _train(killed)
    while not (killed / CHECKPOINT).exists() and victim.poll() is None:
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    interrupted = torch.load(killed / CHECKPOINT, weights_only=True)
    assert interrupted["step"] < 12
    assert _train(killed).wait() == 0
    assert uninterrupted.wait() == 0
    expected, found = (
        torch.load(folder / CHECKPOINT, weights_only=True) for folder in (whole, killed)
    )
    assert found["step"] == expected["step"] == 12
    for key, value in expected["network"].items():
        assert torch.equal(found["network"][key], value), key
