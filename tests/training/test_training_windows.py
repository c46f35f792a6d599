"""Windows for the refiner: their content, their files, and training on them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from drawing import plate_defects
from drawing.sample import make_sample
from model.weights import BUILTIN
from training import pools, windows
from training.__main__ import main
from training.data import VALIDATION_SEED, Batch, to_tensors
from training.network import run
from training.recipe import Recipe
from training.trainer import Trainer
from training.weights import export, network_from, read_state
from training.windows import WindowPool, cut_features, cut_windows, refine_windows

HEIGHT, WIDTH = 192, 320


def refining(scale: float):
    network = network_from(read_state(BUILTIN), scale)
    network.refiner.sample_pixels = round(80_000 / (1024 * 576) * HEIGHT * WIDTH)
    return network


@pytest.fixture(scope="module")
def network():
    return refining(0.25)


@pytest.fixture(scope="module")
def sample() -> Batch:
    return to_tensors(make_sample(3, 0, HEIGHT, WIDTH))


def batch_of(cut: list[Batch]) -> Batch:
    batch = {name: torch.stack([window[name] for window in cut]).float() for name in cut[0]}
    return {k: x / 255 if k in ("src", "bgr", "fgr", "pha") else x for k, x in batch.items()}


def place_of(window: Batch, sample: Batch) -> tuple[int, int]:
    """Row and column of a window in its sample, in pixels."""
    for row in range(0, HEIGHT - 63, 4):
        for column in range(0, WIDTH - 63, 4):
            found = sample["src"][:, row : row + 64, column : column + 64]
            if torch.equal(found, window["src"][:, 6:-6, 6:-6]):
                return row, column
    raise AssertionError("the window shows no part of the sample")


@pytest.mark.parametrize("scale", [0.25, 0.375, 0.5])
def test_the_refiner_gives_the_same_result_in_a_window_as_in_the_frame(sample, scale):
    network = refining(scale)
    cut = cut_windows(network, sample, 3, np.random.default_rng(0))
    assert len(cut) == 3
    with torch.inference_mode():
        found = refine_windows(network, batch_of(cut))
        whole = network(sample["src"][None] / 255, sample["bgr"][None] / 255)
    for number, window in enumerate(cut):
        row, column = place_of(window, sample)
        part = ..., slice(row, row + 64), slice(column, column + 64)
        small = ..., slice(row // 4, row // 4 + 16), slice(column // 4, column // 4 + 16)
        assert torch.equal(window["fgr"], sample["fgr"][part])
        assert torch.equal(window["pha"], sample["pha"][part])
        assert torch.equal(window["ref"][0].bool(), whole.ref_sm[0, 0][small].bool())
        refined = window["ref"].repeat_interleave(4, 1).repeat_interleave(4, 2).bool()[0]
        assert refined.sum() >= 6 * 16
        for name in ("pha", "fgr"):
            difference = getattr(whole, name)[0][part] - getattr(found, name)[number]
            assert difference[:, refined].abs().max() < 1e-3, "features are kept in float16"


def test_where_nothing_is_refined_no_window_is_cut(network, sample):
    still = sample | {"src": torch.full_like(sample["src"], 90)}
    still["bgr"] = still["src"]
    with torch.inference_mode():
        pair = still["src"][None] / 255
        chosen = int(network(pair, pair).ref_sm.sum())
    cut = cut_windows(network, still, 9, np.random.default_rng(0))
    assert all(window["ref"].sum() >= 6 for window in cut)
    assert len(cut) <= chosen / 6


def test_features_are_cut_as_slices_are_with_their_gradients():
    features = torch.randn(2, 5, 40, 60, generator=torch.Generator().manual_seed(1))
    places = [(1, 4, 5), (0, 20, 40), (1, 9, 12)]
    one, other = (features.clone().requires_grad_() for _ in range(2))
    cut = cut_features(one, places)
    sliced = torch.stack([other[n, :, y - 4 : y + 20, x - 4 : x + 20] for n, y, x in places])
    assert torch.equal(cut, sliced)
    finer = cut_features(features, [(1, 2, 5), (0, 2, 9)], 0.5)
    assert torch.equal(finer, torch.stack([features[1, ..., 6:46], features[0, ..., 14:54]]))
    weight = torch.randn(cut.shape, generator=torch.Generator().manual_seed(2))
    (cut * weight).sum().backward()
    (sliced * weight).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(windows, "SAMPLE_SIZES", ((HEIGHT, WIDTH),))
    monkeypatch.setattr(pools, "ITEMS_PER_FILE", 2)
    assert main(cutting(tmp_path / "pool", 4)) == 0
    return tmp_path / "pool"


def cutting(folder: Path, samples: int) -> list[str]:
    init = ["--init", str(BUILTIN)]
    return ["windows", str(folder), *init, "--samples", str(samples), "--seed", "3"]


def test_windows_can_be_cut_out_of_samples_drawn_ahead(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pools, "ITEMS_PER_FILE", 2)
    monkeypatch.setattr(plate_defects, "EDGE_SHARE", 0)
    monkeypatch.setattr(plate_defects, "SPOT_SHARE", 0)
    size = f"--size {WIDTH}x{HEIGHT}"
    assert main(["samples", str(tmp_path / "drawn"), *f"{size} --samples 2 --seed 5".split()]) == 0
    command = [*cutting(tmp_path / "cut", 2), "--ahead", str(tmp_path / "drawn")]
    assert main(command) == 0
    pool = WindowPool(tmp_path / "cut")
    samples = [to_tensors(make_sample(5, index, HEIGHT, WIDTH)) for index in range(2)]
    network = network_from(read_state(BUILTIN))
    expected = [
        window
        for index, sample in enumerate(samples)
        for window in cut_windows(network, sample, 4, np.random.default_rng([3, index, 3]))
    ]
    assert len(pool) == len(expected) >= 2
    for index, window in enumerate(expected):
        assert all(torch.equal(x, pool[index][name]) for name, x in window.items())
    assert main([*command, "--first", "2"]) == 1
    assert "2 samples were drawn ahead, 4 are needed" in capsys.readouterr().err
    monkeypatch.setattr(plate_defects, "SPOT_SHARE", 1)
    painted = [*cutting(tmp_path / "painted", 2), "--ahead", str(tmp_path / "drawn")]
    assert main(painted) == 0
    plates = [
        torch.cat([x["bgr"].flatten() for x in map(WindowPool(tmp_path / cut).__getitem__, (0, 1))])
        for cut in ("cut", "painted")
    ]
    assert not torch.equal(*plates), "plates with painted spots"


def test_in_spots_base_and_refiner_learn_together(network, sample, tmp_path):
    recipe = Recipe("refine", steps=2, size=(HEIGHT, WIDTH), spots=3, precision="fp32", frozen=True)
    trainer = Trainer(recipe, tmp_path / "run", init=BUILTIN)
    trainer.trainee.train()
    trainer.network.eval()
    batch = {name: x[None].float() / 255 for name, x in sample.items()}
    together = trainer._loss_in_spots(batch)
    cut = cut_windows(network, sample, 3, np.random.default_rng([recipe.seed, 0, 6]))
    with torch.no_grad():
        coarse = run(trainer.trainee, batch["src"], batch["bgr"], precision="fp32", refined=False)
        apart = trainer._compare(coarse, batch) + trainer._loss_in_windows(batch_of(cut))
    assert together.item() == pytest.approx(float(apart), rel=1e-3), "features kept in float16"
    together.backward()
    still = [name for name, x in trainer.network.named_parameters() if not x.grad.abs().sum()]
    assert not still

    before = {name: x.clone() for name, x in trainer.network.state_dict().items()}
    trainer.train(workers=0, validate_every=0)
    after = trainer.network.state_dict()
    moved = {name for name, x in after.items() if not torch.equal(x, before[name])}
    assert moved == {name for name, _ in trainer.network.named_parameters()}


def test_training_in_spots_resumes_to_the_same_weights(sample, tmp_path):
    recipe = Recipe("refine", steps=3, size=(HEIGHT, WIDTH), batch=1, spots=3, precision="fp32")
    whole = Trainer(recipe, tmp_path / "whole", init=BUILTIN)
    whole.train(workers=0, validate_every=0)
    first = Trainer(recipe, tmp_path / "parts", init=BUILTIN)
    first._train_step(next(first._batches(0)))
    first.step += 1
    first.save()
    second = Trainer(recipe, tmp_path / "parts")
    assert second.step == 1
    second.train(workers=0, validate_every=0)
    for name, x in whole.network.state_dict().items():
        assert torch.equal(x, second.network.state_dict()[name]), name


@pytest.mark.parametrize("other", [{"stage": "base"}, {"stage": "refine", "windows": 1}])
def test_spots_are_for_the_refine_stage_without_windows(other):
    with pytest.raises(ValueError, match="spots"):
        Recipe(**other, base_rate=0, spots=1)


def test_windows_are_the_same_after_an_interruption(pool, capsys):
    first, second = sorted(pool.iterdir())
    contents = first.read_bytes(), second.read_bytes()
    assert contents[0] != contents[1]
    second.rename(pool / "000003_000002.partial")
    first.write_bytes(b"not touched")
    assert main(cutting(pool, 4)) == 0
    assert first.read_bytes() == b"not touched" and second.read_bytes() == contents[1]
    assert main(["windows", str(pool / "none"), "--init", str(pool / "none.pth")]) == 1
    assert "none.pth" in capsys.readouterr().err


def test_the_refiner_trains_in_windows_and_the_bases_output_stays(pool, tmp_path, sample):
    options = "--batch 8 --steps 16 --lr 2e-3 --precision fp32 --validate-every 0 --threads 1"
    start, state = tmp_path / "start.safetensors", read_state(BUILTIN)
    export({**state, "refiner.conv4.weight": state["refiner.conv4.weight"] / 2}, start)  # to learn
    command = ["refine", str(tmp_path / "run"), "--init", str(start), "--windows", str(pool)]
    assert main([*command, *options.split(), "--base-rate", "0"]) == 0
    before, after = (
        network_from(read_state(path)) for path in (start, tmp_path / "run/checkpoint.pt")
    )
    cut = WindowPool(pool).batch(seed=0, step=0, count=16)

    def wrong(network) -> float:
        with torch.inference_mode():
            return float((refine_windows(network, cut).pha - cut["pha"]).abs().mean())

    assert wrong(after) < 0.8 * wrong(before)
    src, bgr = sample["src"][None] / 255, sample["bgr"][None] / 255
    with torch.inference_mode():
        theirs, ours = before(src, bgr), after(src, bgr)
    assert torch.allclose(theirs.pha_sm, ours.pha_sm, atol=1e-3)
    assert not torch.allclose(theirs.pha, ours.pha, atol=1e-2)


def test_the_windows_of_a_step_depend_on_the_seed_and_the_step_alone(pool):
    kept = WindowPool(pool)
    one, again, other = (kept.batch(1, step, 5)["pha"] for step in (7, 7, 8))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert len(kept.batch(1, 0, len(kept) + 5)["pha"]) == len(kept) + 5


def test_steps_cycle_through_the_pools(pool, tmp_path, capsys):
    finer = tmp_path / "finer"
    assert main([*cutting(finer, 4), "--scale", "0.5"]) == 0
    pools = WindowPool(pool), WindowPool(finer)
    assert [x[0]["features"].shape[1:] for x in pools] == [(24, 24), (40, 40)]
    folder, init = ["refine", str(tmp_path / "run")], ["--init", str(BUILTIN)]
    options = "--batch 3 --steps 4 --precision fp32 --validate-every 0 --threads 1 --base-rate 0"
    command = [*folder, *init, "--windows", str(pool), str(finer), *options.split()]
    assert main(command) == 0
    recipe = Recipe(
        "refine", batch=3, steps=4, precision="fp32", base_rate=0, windows=sum(map(len, pools))
    )
    trainer = Trainer(recipe, tmp_path / "other", init=BUILTIN, windows=pools)
    seen = [len(batch["features"][0, 0]) for batch in trainer._batches(0)]
    assert seen == [24, 40, 24, 40]
    assert main([*command[:-1], "0", "--windows", str(pool)]) == 1
    assert "another recipe" in capsys.readouterr().err
    with pytest.raises(ValueError, match="windows are cut at"):
        cut_features(torch.zeros(1, 1, 99, 99), [(0, 4, 4)], 0.3)


def test_settings_that_exclude_each_other_are_refused(pool, tmp_path, capsys):
    assert main(["refine", str(tmp_path / "a"), "--windows", str(tmp_path)]) == 1
    assert "no samples or windows found" in capsys.readouterr().err
    unseen = [*cutting(tmp_path / "c", 4)[:-1], str(VALIDATION_SEED)]
    assert main(unseen) == 1 and "validation" in capsys.readouterr().err
    with pytest.raises(ValueError, match="base rate of 0"):
        Recipe("refine", windows=8)
    recipe = Recipe("refine", windows=len(WindowPool(pool)) + 1, base_rate=0)
    with pytest.raises(ValueError, match="windows that the recipe expects"):
        Trainer(recipe, tmp_path / "b", windows=[WindowPool(pool)])
