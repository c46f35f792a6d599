"""Pools of samples: writing, ranking by difficulty, shrinking, and reading for training."""

import shutil
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from drawing.plate_defects import with_defects
from drawing.sample import make_sample
from model import MattingBase

from .data import Batch, resized, shrunk, to_tensors
from .network import Trainee, run
from .pools import Pool, save_items, write_pool

#: In a pool's folder: (N,), the mean absolute error of a network's alpha on each sample.
_ERRORS_FILE = "errors.npy"
#: Permutations of red, green and blue.
_CHANNEL_ORDERS = tuple(permutations(range(3)))


class SamplePool(Pool):
    """Samples that were drawn ahead.

    Args:
        folder: Written by :func:`write_samples`.
        hard: Pick samples more often the larger their error from :func:`write_errors` is: up to
            five times as often as those without an error.

    Raises:
        ValueError: As :class:`Pool`; or the errors do not match the samples.
    """

    _holds = frozenset(("src", "bgr", "fgr", "pha"))

    def __init__(self, folder: Path, *, hard: bool = False):
        super().__init__(folder)
        self._chances: NDArray[np.float64] | None = None
        if hard:
            path = folder / _ERRORS_FILE
            errors = np.load(path) if path.exists() else np.zeros(0)
            if len(errors) != len(self):
                raise ValueError(
                    f"{folder}: errors of {len(errors)} of {len(self)} samples found; run weigh"
                )
            self.identity += sha256(errors.tobytes()).hexdigest()
            chances = 1 + np.minimum(errors / errors.mean(), 4)
            self._chances = chances / chances.sum()

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """The ``count`` samples of step ``step``: float32 in [0, 1].

        Half of them are mirrored, and half have their channels permuted. Some plates get
        defects; see :mod:`drawing.plate_defects`.
        """
        rng = np.random.default_rng([seed, step, 5])
        edge_rng, spot_rng = (np.random.default_rng([seed, step, purpose]) for purpose in (7, 9))
        batch: list[Batch] = []
        for sample in self.pick(rng, count, self._chances):
            if rng.random() < 0.5:
                sample = {name: x.flip(2) for name, x in sample.items()}
            if rng.random() < 0.5:
                order = torch.tensor(_CHANNEL_ORDERS[rng.integers(len(_CHANNEL_ORDERS))])
                sample = {
                    name: x.index_select(0, order) if len(x) == 3 else x
                    for name, x in sample.items()
                }
            batch.append(with_defects(edge_rng, spot_rng, sample))
        return _batch_of(batch)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the samples, in pixels."""
        height, width = self[0]["pha"].shape[1:]
        return height, width


def _batch_of(samples: Sequence[Batch]) -> Batch:
    """Samples as one batch: float32 in [0, 1]."""
    return {
        name: torch.stack([sample[name] for sample in samples])
        .to(torch.float32, memory_format=torch.channels_last)
        .div_(255)
        for name in samples[0]
    }


def write_errors(network: MattingBase, folder: Path) -> Iterator[int]:
    """Save the mean absolute alpha error of the base of ``network`` for each sample of ``folder``.

    Args:
        network: A MattingRefine shrinks the samples for its base; a MattingBase sees them as they
            are.
        folder: Of a :class:`SamplePool`.

    Yields:
        The index of each finished sample.
    """
    pool, trainee = SamplePool(folder), Trainee(network.eval())
    errors = []
    for index in range(len(pool)):
        sample = _batch_of([pool[index]])
        with torch.inference_mode():
            (found,) = run(trainee, sample["src"], sample["bgr"], refined=False)
        true = resized(sample, found.pha.shape[2:])["pha"]
        errors.append(float((found.pha - true).abs().mean()))
        yield index
    np.save(folder / _ERRORS_FILE, np.array(errors))


def write_shrunk(pool: Path, folder: Path, *, by: int = 4) -> Iterator[int]:
    """Save the samples of ``pool`` in ``folder``, ``by`` times smaller, as the base sees them.

    The file of errors is copied, if there is one. Existing files are kept.

    Yields:
        The number of finished samples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = 0
    for path in sorted(pool.glob("*.safetensors")):
        samples = load_file(path)
        done += len(samples["pha"])
        if not (folder / path.name).exists():
            drawn = [_shrink_item(samples, index, by) for index in range(len(samples["pha"]))]
            save_items(folder / path.name, drawn)
        yield done
    if (pool / _ERRORS_FILE).exists():
        shutil.copy(pool / _ERRORS_FILE, folder)


def _shrink_item(samples: Batch, index: int, by: int) -> Batch:
    """One of ``samples``, (C, H / by, W / by), uint8."""
    batch = _batch_of([{name: x[index] for name, x in samples.items()}])
    height, width = batch["pha"].shape[2:]
    small = resized(batch, (height // by, width // by))
    return {name: x[0].mul(255).round().byte() for name, x in small.items()}


def write_samples(
    folder: Path,
    *,
    seed: int,
    first: int,
    samples: int,
    size: tuple[int, int],
    shrink: int = 1,
    **shares: float,
) -> Iterator[int]:
    """Draw samples for a :class:`SamplePool`.

    Args:
        folder, seed, first, samples: As in :func:`write_pool`.
        size: (height, width).
        shrink: Samples are drawn this many times larger, then shrunk.
        shares: As in :func:`drawing.sample.make_sample`.

    Yields:
        The index of each finished sample.

    Raises:
        ValueError: As :func:`write_pool`.
    """
    height, width = size

    def draw(index: int) -> list[Batch]:
        drawn = make_sample(seed, index, height * shrink, width * shrink, **shares)
        return [to_tensors(shrunk(drawn, shrink))]

    return write_pool(folder, draw, seed=seed, first=first, samples=samples)
