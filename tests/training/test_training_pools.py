"""Pools of samples drawn ahead, and training on them."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from drawing import plate_defects
from model import MattingRefine
from model.weights import BUILTIN
from training import pools as pool_files
from training.__main__ import main
from training.data import VALIDATION_SEED, Samples
from training.recipe import Recipe
from training.sample_pool import SamplePool
from training.trainer import CHECKPOINT, Trainer
from training.weights import export, network_from, read_state

LARGE, SMALL = (64, 96), (32, 48)


@pytest.fixture
def pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(pool_files, "ITEMS_PER_FILE", 3)
    folders = [tmp_path / "small", tmp_path / "large"]
    for folder, size in zip(folders, (SMALL, LARGE), strict=True):
        assert main(drawing(folder, size)) == 0
    return folders


def drawing(folder: Path, size: tuple[int, int], seed: int = 3) -> list[str]:
    options = f"--size {size[1]}x{size[0]} --samples 6 --shrink 2 --plain 0.3 --seed {seed}"
    return ["samples", str(folder), *options.split()]


def test_samples_are_those_of_a_step_mirrored_or_with_permuted_channels(pools, monkeypatch) -> None:
    monkeypatch.setattr(plate_defects, "EDGE_SHARE", 0)
    monkeypatch.setattr(plate_defects, "SPOT_SHARE", 0)
    fresh = Samples(3, batch=6, first=0, last=1, size=SMALL, shrink=2, plain=0.3)
    pool = SamplePool(pools[0])
    assert len(pool) == 6 and pool.size == SMALL
    for index in range(6):
        for name, image in fresh[index].items():
            assert torch.equal(pool[index][name], image)
    batch = pool.batch(seed=1, step=0, count=6)
    same = mirrored = exchanged = 0
    for step in range(4):
        batch = pool.batch(seed=1, step=step, count=6)
        assert batch["src"].shape == (6, 3, *SMALL) and batch["pha"].shape == (6, 1, *SMALL)
        for index in range(6):
            whole = pool[index]
            shown = {name: (255 * x[index]).round().byte() for name, x in batch.items()}
            flip = not torch.equal(shown["pha"], whole["pha"])
            given = {name: x.flip(2) if flip else x for name, x in shown.items()}
            assert torch.equal(given["pha"], whole["pha"])
            order = next(
                order
                for order in permutations(range(3))
                if torch.equal(given["src"], whole["src"][list(order)])
            )
            for name in ("bgr", "fgr"):
                assert torch.equal(given[name], whole[name][list(order)])
            same += not flip and order == (0, 1, 2)
            mirrored += flip
            exchanged += order != (0, 1, 2)
    assert same and mirrored and exchanged


def plates(folder: Path, count: int, monkeypatch) -> tuple[torch.Tensor, torch.Tensor]:
    """The plates of a step with defects, and without; everything else is the same."""
    pool = SamplePool(folder)
    some, again = (pool.batch(seed=1, step=step, count=count) for step in (0, 0))
    assert all(torch.equal(x, again[name]) for name, x in some.items())
    monkeypatch.setattr(plate_defects, "EDGE_SHARE", 0)
    monkeypatch.setattr(plate_defects, "SPOT_SHARE", 0)
    whole = pool.batch(seed=1, step=0, count=count)
    assert all(torch.equal(whole[name], some[name]) for name in ("src", "fgr", "pha"))
    return some["bgr"], whole["bgr"]


def test_some_plates_lose_an_edge(pools, monkeypatch) -> None:
    monkeypatch.setattr(plate_defects, "SPOT_SHARE", 0)
    edges = set()
    for bgr, plate in zip(*plates(pools[1], 400, monkeypatch), strict=True):
        differs = (bgr != plate).any(0)
        if not differs.any():
            continue
        rows, columns = (torch.nonzero(differs.any(axis)).flatten() for axis in (1, 0))
        length, found = (LARGE[1], columns) if columns.numel() < rows.numel() else (LARGE[0], rows)
        assert found.numel() <= max(1, 0.06 * length)
        axis = 2 if found is columns else 1
        assert found.min() == 0 or found.max() == length - 1
        edges.add((axis, bool(found.min() == 0)))
        edge = 0 if found.min() == 0 else length - 1
        beyond = bgr.index_select(axis, found)
        assert torch.equal(beyond, bgr.select(axis, edge).unsqueeze(axis).expand_as(beyond))
    assert len(edges) == 4


def test_some_plates_have_one_painted_spot(pools, monkeypatch) -> None:
    monkeypatch.setattr(plate_defects, "EDGE_SHARE", 0)
    some, whole = plates(pools[1], 200, monkeypatch)
    painted = (some != whole).any(dim=1)
    sizes = painted.sum(dim=(1, 2))[painted.any(dim=(1, 2))]
    assert 20 < len(sizes) < 90, "about a third of 200, except plates without structure"
    assert sizes.max() < 0.5 * painted[0].numel()


def test_interrupted_drawing_resumes(pools, capsys) -> None:
    first, second = sorted(pools[0].iterdir())
    contents = second.read_bytes()
    second.rename(second.with_suffix(".partial"))
    first.write_bytes(b"not touched")
    assert main(drawing(pools[0], SMALL)) == 0
    assert first.read_bytes() == b"not touched" and second.read_bytes() == contents
    assert main(drawing(pools[0] / "other", SMALL, VALIDATION_SEED)) == 1
    assert "validation" in capsys.readouterr().err


def test_steps_cycle_through_the_folders_and_take_as_many_pixels(pools, tmp_path) -> None:
    recipe = Recipe("base", steps=4, batch=4, size=SMALL, ahead=12)
    drawn = [SamplePool(folder) for folder in pools]
    supplied = list(Trainer(recipe, tmp_path / "run", ahead=drawn)._batches(0))
    assert [x["src"].shape for x in supplied] == 2 * [(4, 3, *SMALL), (1, 3, *LARGE)]
    for step, batch in enumerate(supplied):
        expected = drawn[step % 2].batch(recipe.seed, step, len(batch["src"]))
        assert all(torch.equal(x, expected[name]) for name, x in batch.items())


def test_hard_samples_are_shown_more_often(pools, tmp_path, capsys) -> None:
    torch.manual_seed(1)
    network = MattingRefine("mobilenetv2").eval()
    weights = tmp_path / "weights.safetensors"
    export(network.state_dict(), weights)
    run = ["base", str(tmp_path / "run"), "--hard", "--steps", "1", "--ahead", str(pools[0])]
    assert main(run) == 1
    assert f"{pools[0]}: errors of 0 of 6 samples found" in capsys.readouterr().err
    assert main(["weigh", str(pools[0]), "--init", str(weights)]) == 0
    errors = np.load(pools[0] / "errors.npy")
    pool = SamplePool(pools[0], hard=True)
    network = network_from(read_state(weights))
    for index, error in enumerate(errors):
        src, bgr, pha = (pool[index][name][None] / 255 for name in ("src", "bgr", "pha"))
        with torch.inference_mode():
            found = network(src, bgr).pha_sm
        true = torch.nn.functional.interpolate(pha, found.shape[2:], mode="bilinear")
        assert abs((found - true).abs().mean().item() - error) < 0.005
    assert main(["weigh", str(pools[0]), "--init", str(weights), "--shrunk"]) == 0
    network = network_from({k: x for k, x in read_state(weights).items() if "refiner" not in k})
    whole = np.load(pools[0] / "errors.npy")
    assert not np.allclose(whole, errors, atol=0.01)
    for index, error in enumerate(whole):
        src, bgr, pha = (pool[index][name][None] / 255 for name in ("src", "bgr", "pha"))
        with torch.inference_mode():
            assert abs((network(src, bgr).pha - pha).abs().mean().item() - error) < 0.005
    assert main(["shrink", str(pools[0]), str(tmp_path / "shrunk")]) == 0
    assert (np.load(tmp_path / "shrunk" / "errors.npy") == whole).all()
    small, src = SamplePool(tmp_path / "shrunk"), pool[5]["src"]
    assert len(small) == 6 and small.size == (SMALL[0] // 4, SMALL[1] // 4)
    refining = network_from(read_state(weights))
    assert isinstance(refining, MattingRefine)
    seen = refining._shrink(src[None].float())[0]
    assert (small[5]["src"].float() - seen).abs().max() <= 0.5
    assert main(["shrink", str(pools[0]), str(tmp_path / "half"), "--by", "2"]) == 0
    assert SamplePool(tmp_path / "half").size == (SMALL[0] // 2, SMALL[1] // 2)
    np.save(pools[0] / "errors.npy", np.array([0, 0, 0, 0, 0, 1.0]))
    pool, last = SamplePool(pools[0], hard=True), pool[5]["pha"].sum() / 255
    shown = [pool.batch(seed=1, step=step, count=1)["pha"].sum() for step in range(100)]
    assert 35 < sum(abs(x - last) < 0.01 for x in shown) < 65  # a probability of 5 / 10
    assert main([*run, "--size", "48x32", "--validate-every", "0"]) == 0
    with pytest.raises(ValueError, match="drawn ahead"):
        Recipe("base", hard=True)


def test_an_interrupted_run_resumes_to_the_same_weights(pools, tmp_path, capsys) -> None:
    command = ["--size", "48x32", "--batch", "8", "--precision", "fp32", "--ahead", *pools]
    options = [str(x) for x in (*command, "--validate-every", 0, "--threads", 1, "--steps", 4)]
    assert main(["base", str(tmp_path / "whole"), *options]) == 0
    recipe = Recipe("base", steps=4, batch=8, size=SMALL, precision="fp32", ahead=12)
    trainer = Trainer(recipe, tmp_path / "parts", ahead=[SamplePool(pool) for pool in pools])
    for _, batch in zip(range(2), trainer._batches(0), strict=False):
        trainer._train_step(batch)
        trainer.step += 1
    trainer.save()
    assert main(["base", str(tmp_path / "parts"), *options]) == 0
    whole, parts = (read_state(tmp_path / run / CHECKPOINT) for run in ("whole", "parts"))
    assert all(torch.equal(x, parts[name]) for name, x in whole.items())
    log = (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["step"] == 4
    assert main(["base", str(tmp_path / "other"), "--ahead", str(tmp_path / "whole")]) == 1
    assert "no samples or windows found" in capsys.readouterr().err
    with pytest.raises(ValueError, match="the 5 samples that the recipe expects"):
        Trainer(Recipe("base", ahead=5), tmp_path / "more", ahead=trainer.ahead)
    with pytest.raises(ValueError, match="started with other samples"):
        Trainer(recipe, tmp_path / "parts", ahead=trainer.ahead[::-1])


def test_pools_hold_one_kind_of_one_size(pools, tmp_path, capsys) -> None:
    for argv, said in (
        (
            ["windows", str(tmp_path / "w"), "--init", str(BUILTIN), "--samples", "2"],
            "multiples of 3",
        ),
        ([*drawing(pools[0], LARGE), "--first", "6"], ""),
        (["base", str(tmp_path / "run"), "--ahead", str(pools[0])], "of one size"),
        (
            ["refine", str(tmp_path / "run"), "--windows", str(pools[1])],
            "expected only bgr features",
        ),
        (
            ["base", str(tmp_path / "run"), "--ahead", str(pools[1]), "--alike", "0.3"],
            "when samples are drawn ahead",
        ),
    ):
        assert (main(argv) == 0) == (not said)
        assert said in capsys.readouterr().err
    with pytest.raises(ValueError, match="samples of 96x64: expected multiples of 4, at least 140"):
        recipe = Recipe("refine", spots=2, ahead=6, size=LARGE)
        Trainer(recipe, tmp_path / "spots", ahead=[SamplePool(pools[1])])
