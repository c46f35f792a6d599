"""What training learns from, drawn ahead: in files of a few dozen samples, and picked from there.

Drawing takes longer than learning. Drawn ahead, a sample can be shown more than once, and a step
takes the same ones whenever it runs.
"""

import os
import shutil
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate, permutations
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from model import MattingBase

from .data import VALIDATION_SEED, Batch, resized, shrunk, to_tensors
from .network import Trainee, run
from .sample import make_sample
from .spoil import spoilt

#: Samples are saved by so many.
A_FILE = 50
#: Beside them, how much of each a network got wrong: (N,), mean absolute errors of alpha.
_ERRORS = "errors.npy"
#: Orders of red, green and blue.
_ORDERS = tuple(permutations(range(3)))


def write_ahead(
    folder: Path, draw: Callable[[int], list[Batch]], *, seed: int, first: int, samples: int
) -> Iterator[int]:
    """Save what ``draw`` makes of the samples ``first`` to ``first + samples - 1`` of ``seed``.

    Files that are there already stay: after an interruption, it goes on behind them.

    Args:
        folder: Created if need be.
        draw: From the index of a sample to what is kept of it, all of the same shapes.
        seed: Names the set of samples.
        first: The first sample; processes side by side take different ones.
        samples: How many, in whole files.

    Yields:
        The number of each sample that is done.

    Raises:
        ValueError: The seed is that of the validation samples, or files are not whole.
    """
    if seed == VALIDATION_SEED:
        raise ValueError(f"seed {seed} is that of the validation samples")
    if first % A_FILE or samples % A_FILE:
        raise ValueError(f"--first {first} --samples {samples}: not in files of {A_FILE}")
    folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    for begin in range(first, first + samples, A_FILE):
        path = folder / f"{seed:06d}_{begin:06d}.safetensors"
        if path.exists():
            continue
        drawn: list[Batch] = []
        for index in range(begin, begin + A_FILE):
            drawn += draw(index)
            yield index
        if not drawn:
            continue
        _save(path, drawn)


def _save(path: Path, drawn: Sequence[Batch]) -> None:
    """Save samples or windows as one file, whole or not at all."""
    partial = path.with_suffix(".partial")
    save_file({name: torch.stack([x[name] for x in drawn]) for name in drawn[0]}, partial)
    os.replace(partial, path)


class Pool:
    """What was drawn ahead into a folder.

    Raises:
        ValueError: Nothing was, or things of another kind or of several sizes.
    """

    _holds: frozenset[str]

    def __init__(self, folder: Path):
        paths = sorted(folder.glob("*.safetensors"))
        self._files = [load_file(path) for path in paths]
        if not self._files:
            raise ValueError(f"{folder}: nothing was drawn ahead there; see python -m training -h")
        kinds = {tuple((name, *x.shape[1:]) for name, x in sorted(f.items())) for f in self._files}
        if len(kinds) > 1 or set(self._files[0]) != self._holds:
            raise ValueError(
                f"{folder}: holds not just {' '.join(sorted(self._holds))} of one size"
            )
        self._ends = list(accumulate(len(file["pha"]) for file in self._files))
        names = [path.name for path in paths]
        #: Tells these from others.
        self.identity = sha256(repr((names, sorted(kinds), self._ends)).encode()).hexdigest()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Batch:
        number = bisect(self._ends, index)
        file = self._files[number]
        place = index - self._ends[number]  # counted from the file's end
        return {name: x[place] for name, x in file.items()}

    def pick(
        self, rng: np.random.Generator, count: int, chances: NDArray[np.float64] | None = None
    ) -> list[Batch]:
        """Draw ``count`` at random, with ``chances`` (N,), none twice where there are so many."""
        picked = np.sort(rng.choice(len(self), count, replace=count > len(self), p=chances))
        return [self[index] for index in picked.tolist()]


class SamplePool(Pool):
    """Samples that were drawn ahead.

    Args:
        folder: Where.
        hard: Pick those more often that :func:`write_errors` found hard, up to five times as often
            as those without an error.

    Raises:
        ValueError: As :class:`Pool`; or the errors of other samples, or none, are there.
    """

    _holds = frozenset(("src", "bgr", "fgr", "pha"))

    def __init__(self, folder: Path, *, hard: bool = False):
        super().__init__(folder)
        self._chances: NDArray[np.float64] | None = None
        if hard:
            errors = np.load(folder / _ERRORS) if (folder / _ERRORS).exists() else np.zeros(0)
            if len(errors) != len(self):
                raise ValueError(f"{folder}: {len(errors)} of {len(self)} errors are known there")
            self.identity += sha256(errors.tobytes()).hexdigest()
            chances = 1 + np.minimum(errors / errors.mean(), 4)
            self._chances = chances / chances.sum()

    def batch(self, seed: int, step: int, count: int) -> Batch:
        """The samples of step ``step``: float32 in [0, 1].

        Half of them are mirrored, half have their channels in any order. The plates of a few do not
        reach as far as the frame, as those that were laid over it may not, and those of others have
        a spot painted over, as those that were worked out from a clip.
        """
        rng = np.random.default_rng([seed, step, 5])
        short, painted = (np.random.default_rng([seed, step, purpose]) for purpose in (7, 9))
        batch: list[Batch] = []
        for sample in self.pick(rng, count, self._chances):
            if rng.random() < 0.5:
                sample = {name: x.flip(2) for name, x in sample.items()}
            if rng.random() < 0.5:
                order = torch.tensor(_ORDERS[rng.integers(len(_ORDERS))])
                sample = {
                    name: x.index_select(0, order) if len(x) == 3 else x
                    for name, x in sample.items()
                }
            batch.append(spoilt(short, painted, sample))
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
    """Save how much alpha the base of ``network`` gets wrong in each sample of ``folder``.

    Args:
        network: A MattingRefine shrinks the samples for its base; to another they are shown whole.
        folder: Of a :class:`SamplePool`.

    Yields:
        The number of each sample that is done.
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
    np.save(folder / _ERRORS, np.array(errors))


def write_shrunk(pool: Path, folder: Path, *, by: int = 4) -> Iterator[int]:
    """Save the samples of ``pool`` in ``folder``, ``by`` times smaller, as the base sees them.

    How hard they are stays known, if it is. Files that are there already stay.

    Yields:
        The number of samples that are done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = 0
    for path in sorted(pool.glob("*.safetensors")):
        samples = load_file(path)
        done += len(samples["pha"])
        if not (folder / path.name).exists():
            drawn = [_smaller(samples, index, by) for index in range(len(samples["pha"]))]
            _save(folder / path.name, drawn)
        yield done
    if (pool / _ERRORS).exists():
        shutil.copy(pool / _ERRORS, folder)


def _smaller(samples: Batch, index: int, by: int) -> Batch:
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
    """Draw samples ahead, for a :class:`SamplePool`: ``size`` is (height, width); see ``Recipe``.

    The other arguments, what is yielded and what is raised are those of :func:`write_ahead`;
    ``shares`` are those of :func:`training.sample.make_sample`.
    """
    height, width = size

    def draw(index: int) -> list[Batch]:
        drawn = make_sample(seed, index, height * shrink, width * shrink, **shares)
        return [to_tensors(shrunk(drawn, shrink))]

    return write_ahead(folder, draw, seed=seed, first=first, samples=samples)
