"""The network, the losses and the trainer."""

import json
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import Forked

import training.trainer
from drawing.sample import make_sample
from model import MattingBase, MattingRefine, load_network
from model.weights import BUILTIN
from training.__main__ import main
from training.data import VALIDATION_SEED, to_tensors
from training.losses import excess_detail, matting_loss
from training.muon import ConvolutionMuon
from training.network import Prediction, Trainee, clamp, run
from training.recipe import Recipe, Stage
from training.trainer import CHECKPOINT, Trainer
from training.validation import Validation
from training.weights import export, mean_state, network_from, read_state, share_mean

ROOT = Path(__file__).parents[2]


def test_clamp_pulls_back_from_outside() -> None:
    x = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    y = clamp(x)
    assert y.tolist() == [0, 0.5, 1]
    (y - 1).abs().sum().backward()
    assert x.grad is not None and x.grad.tolist() == [-1, -1, 0]


def test_the_loss_equals_a_hand_computed_value() -> None:
    pha = torch.tensor([0.0, 0, 1, 1]).expand(1, 1, 4, 4)  # its gradient is 1/2 in two columns
    predicted = Prediction(0 * pha, torch.full((1, 3, 4, 4), 0.2), 0 * pha)
    fgr = torch.full((1, 3, 4, 4), 0.4)
    expected = 0.5 + 5 * 0.25 + 0.5 * 0.5 * 0.2
    for weight in (1.0, 0.5):
        loss = matting_loss(predicted, pha, fgr, with_err=False, weight=weight)
        assert loss.item() == pytest.approx(weight * expected, abs=0.01)
    loss = matting_loss(predicted, pha, fgr, with_err=True)
    assert loss.item() == pytest.approx(expected + 0.5, abs=0.01)


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
        losses.append(trainer._train_step(batch))
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_the_coarse_foreground_is_compared_with_the_subjects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(predicted: Prediction, pha: torch.Tensor, fgr: torch.Tensor, **rest: bool):
        seen.append((pha, fgr))
        return predicted.pha.sum()

    monkeypatch.setattr(training.trainer, "matting_loss", spy)
    trainer = Trainer(Recipe("refine", steps=1, batch=1, size=(64, 64)), tmp_path)
    pha = (torch.arange(64) < 30).float().expand(2, 1, 64, 64)
    src, bgr = torch.rand(2, 2, 3, 64, 64)
    trainer._loss({"src": src, "bgr": bgr, "pha": pha, "fgr": 0.8 * pha.expand(2, 3, 64, 64)})
    coarse_pha, coarse_fgr = seen[0]
    assert coarse_pha.shape[2:] == (16, 16) and 0 < coarse_pha[0, 0, 0, 7] < 1
    assert coarse_fgr[0, :, 0, 7].tolist() == pytest.approx([0.8] * 3)


def test_muon_updates_all_directions_of_a_kernel_equally() -> None:
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.rand(8, 4, 3, 3).to(memory_format=torch.channels_last))
    before = kernel.detach().clone()
    muon = ConvolutionMuon([{"params": [kernel]}], lr=0.1)
    (kernel * torch.rand(8, 4, 3, 3)).sum().backward()
    assert kernel.grad is not None
    muon.step()
    gradient, moved = (x.permute(0, 2, 3, 1).flatten(1) for x in (kernel.grad, before - kernel))
    left, lengths, right = torch.linalg.svd(gradient, full_matrices=False)
    assert lengths[0] > 3 * lengths[-1]
    along = (left.T @ moved @ right.T).detach() / (0.1 * 0.2 * 36**0.5)  # Liu et al. (2025)
    assert along.diag().min() > 0.5 and along.diag().max() < 1.4
    assert (along - along.diag().diag()).abs().max() < 0.05
    with pytest.raises(ValueError, match=r"kernel \(8, 4, 3, 3\) is not in channels-last"):
        ConvolutionMuon([{"params": [torch.nn.Parameter(torch.rand(8, 4, 3, 3))]}], lr=0.1)


def test_detail_that_the_truth_has_is_free() -> None:
    true = torch.zeros(1, 1, 5, 9)
    true[..., 2, 2] = 0.8
    pha = true.clone()
    assert excess_detail(pha, true).sum() == 0
    pha[..., 2, 6] = 0.4  # a dot, and a quarter of it in the four pixels around
    assert excess_detail(pha, true).sum().item() == pytest.approx(0.8)
    assert excess_detail(pha, true)[0, 0, 2, 6].item() == pytest.approx(0.4)
    assert excess_detail(torch.zeros_like(pha), true).sum() == 0, "none is asked for"
    step = torch.linspace(0, 1, 9).expand(1, 1, 5, 9)
    assert excess_detail(step, true)[..., 1:-1].abs().max() < 1e-6, "a ramp has no detail"


@pytest.mark.parametrize("stage", ["base", "refine"])
def test_muon_moves_kernels_that_mix_channels(stage: Stage, tmp_path: Path) -> None:
    recipe = Recipe(stage, steps=1, size=(64, 64), base_rate=0.1, muon=True)
    trainer = Trainer(recipe, tmp_path)
    shapes = [
        [tuple(x.shape) for group in trainer.optimizers[name].param_groups for x in group["params"]]
        for name in ("muon", "optimizer")
    ]
    kernels = [x for x in trainer.network.parameters() if x.dim() == 4 and x.shape[1] > 1]
    assert len(shapes[0]) == len(kernels) - 1
    assert sum(map(len, shapes)) == len(list(trainer.network.parameters()))
    mixing = [shape for shape in shapes[1] if len(shape) == 4 and shape[1] > 1]
    assert mixing == [tuple(trainer.network.decoder.conv4.weight.shape)]


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


def test_the_refiner_trains_while_the_base_is_frozen(tmp_path: Path) -> None:
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


def test_another_recipe_does_not_resume_a_checkpoint(tmp_path: Path) -> None:
    Trainer(Recipe("base", steps=1, batch=2, size=(32, 32)), tmp_path).save()
    with pytest.raises(ValueError, match="another recipe"):
        Trainer(Recipe("base", steps=2, batch=2, size=(32, 32)), tmp_path)


@pytest.mark.parametrize("stage", ["base", "refine"])
def test_validation_measures_the_network_on_held_out_samples(
    stage: Stage, tmp_path: Path, monkeypatch
) -> None:
    few = partial(Validation, size=(128, 192), count=4)
    monkeypatch.setattr(training.trainer, "Validation", few)
    recipe = Recipe(stage, steps=1, batch=2, size=(64, 64), precision="fp32")
    trainer = Trainer(recipe, tmp_path, init=BUILTIN)
    if stage == "refine":  # few enough to make a difference
        monkeypatch.setattr(trainer.network.refiner, "sample_pixels", 800)
    trainer.train(workers=0, validate_every=1)
    again = network_from(trainer.network.state_dict())
    if isinstance(again, MattingRefine):
        again.refiner.sample_pixels = 800
    written = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (tmp_path / "validation_000001.jpg").exists()
    mads = []
    for index in range(4):
        sample = to_tensors(make_sample(VALIDATION_SEED, index, 128, 192))
        src, bgr, pha = (sample[x][None] / 255 for x in ("src", "bgr", "pha"))
        if stage == "base":  # shrunk as in the whole network
            whole = MattingRefine("mobilenetv2")
            src, bgr, pha = map(whole._shrink, (src, bgr, pha))
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


def test_a_trained_base_is_joined_with_a_refiner(tmp_path: Path) -> None:
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


def test_weights_that_do_not_match_are_refused(tmp_path: Path, capsys) -> None:
    trainer = Trainer(Recipe("base", steps=1, batch=2, size=(32, 32)), tmp_path / "base")
    trainer.save()
    base, refine = str(tmp_path / "base" / CHECKPOINT), str(BUILTIN)
    before = Path(base).read_bytes()
    (tmp_path / "noise.pt").write_bytes(b"noise")
    out, noise = str(tmp_path / "out.safetensors"), str(tmp_path / "noise.pt")
    for argv, said in (
        (["export", base, base], "must be a .safetensors file"),
        (["export", refine, base, out], "different networks"),
        (["export", refine, out, "--rest", refine], "without a refiner"),
        (["export", noise, out], "noise.pt: no weights found"),
        (["mean", base, noise], "noise.pt"),
        (["base", str(tmp_path / "x"), "--device", "cuda:99"], "cuda:99"),
    ):
        assert main(argv) == 1
        assert said in capsys.readouterr().err
    assert Path(base).read_bytes() == before and not Path(out).exists()


def test_mean_of_two_checkpoints() -> None:
    first = {"w": torch.tensor([1.0, 3.0]), "n": torch.tensor(1)}
    second = {"w": torch.tensor([2.0, 5.0]), "n": torch.tensor(4)}
    mean = mean_state([first, second])
    assert mean["w"].tolist() == [1.5, 4.0] and mean["n"] == 4


def test_parallel_runs_continue_from_their_mean(tmp_path: Path) -> None:
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
    with pytest.raises(ValueError, match="same step of the same recipe"):
        share_mean([*paths, other.folder / CHECKPOINT])


def test_the_built_in_weights_fit_their_digest_and_the_network() -> None:
    network = load_network()
    wall = torch.full((1, 3, 256, 256), 100 / 255)
    subject = wall.clone()
    subject[..., 64:192, 64:192] = 140 / 255
    with torch.inference_mode():
        pha = network(subject, wall).pha[0, 0]
    assert pha[80:176, 80:176].mean() > 0.9 and pha[:40].mean() < 0.05


def _training(folder: Path) -> list[str]:
    return [
        "base", str(folder), "--steps", "8", "--batch", "2", "--size", "32x32", "--threads", "1",
        "--workers", "0", "--save-every", "2", "--validate-every", "0", "--precision", "fp32",
        "--muon",
    ]  # fmt: skip


def test_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    victim = Forked(main, _training(killed), cwd=tmp_path)
    while not (killed / CHECKPOINT).exists() and victim.running:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait().returncode == -signal.SIGKILL
    interrupted = torch.load(killed / CHECKPOINT, weights_only=True)
    assert interrupted["step"] < 8
    assert main(_training(killed)) == 0 == main(_training(whole))
    torch.set_num_threads(threads)
    expected, found = (
        torch.load(folder / CHECKPOINT, weights_only=True) for folder in (whole, killed)
    )
    assert found["step"] == expected["step"] == 8
    for key, value in expected["network"].items():
        assert torch.equal(found["network"][key], value), key
