"""Training data computed ahead of training, in files of a few dozen items, and pools that read it.

Drawing a sample takes longer than a training step on it. Samples drawn ahead can be shown more
than once, and a step takes the same ones whenever it runs.
"""

import os
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from .data import VALIDATION_SEED, Batch

#: Samples in each file.
ITEMS_PER_FILE = 50


def write_pool(
    folder: Path, draw: Callable[[int], list[Batch]], *, seed: int, first: int, samples: int
) -> Iterator[int]:
    """Save items of the samples ``first`` to ``first + samples - 1`` of ``seed``.

    Existing files are kept, so that an interrupted run continues after them.

    Args:
        folder: Created if necessary.
        draw: From the index of a sample to the items to keep of it, all of the same shapes.
        seed: Identifies the set of samples.
        first: The first sample; parallel processes take different ones.
        samples: Number of samples; with ``first``, a multiple of ``ITEMS_PER_FILE``.

    Yields:
        The index of each finished sample.

    Raises:
        ValueError: The seed is that of the validation samples, or the samples do not fill files.
    """
    if seed == VALIDATION_SEED:
        raise ValueError(f"seed {seed} is that of the validation samples")
    if first % ITEMS_PER_FILE or samples % ITEMS_PER_FILE:
        raise ValueError(
            f"--first {first} --samples {samples}: expected multiples of {ITEMS_PER_FILE}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    for begin in range(first, first + samples, ITEMS_PER_FILE):
        path = folder / f"{seed:06d}_{begin:06d}.safetensors"
        if path.exists():
            continue
        drawn: list[Batch] = []
        for index in range(begin, begin + ITEMS_PER_FILE):
            drawn += draw(index)
            yield index
        if not drawn:
            continue
        save_items(path, drawn)


def save_items(path: Path, drawn: Sequence[Batch]) -> None:
    """Save samples or windows as one file, completely or not at all."""
    partial = path.with_suffix(".partial")
    save_file({name: torch.stack([x[name] for x in drawn]) for name in drawn[0]}, partial)
    os.replace(partial, path)


class Pool:
    """The items in a folder, read into memory.

    Args:
        folder: Written by :func:`write_pool`.

    Attributes:
        identity: A hash of the file names, shapes and counts; tells this pool from others.

    Raises:
        ValueError: The folder holds no items, items of another kind, or items of several sizes.
    """

    _holds: frozenset[str]

    def __init__(self, folder: Path):
        paths = sorted(folder.glob("*.safetensors"))
        self._files = [load_file(path) for path in paths]
        if not self._files:
            raise ValueError(f"{folder}: no samples or windows found; see python -m training -h")
        kinds = {tuple((name, *x.shape[1:]) for name, x in sorted(f.items())) for f in self._files}
        if len(kinds) > 1 or set(self._files[0]) != self._holds:
            raise ValueError(
                f"{folder}: expected only {' '.join(sorted(self._holds))}, of one size"
            )
        self._ends = list(accumulate(len(file["pha"]) for file in self._files))
        names = [path.name for path in paths]
        self.identity = sha256(repr((names, sorted(kinds), self._ends)).encode()).hexdigest()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Batch:
        number = bisect(self._ends, index)
        file = self._files[number]
        place = index - self._ends[number]  # negative: counted from the file's end
        return {name: x[place] for name, x in file.items()}

    def pick(
        self, rng: np.random.Generator, count: int, chances: NDArray[np.float64] | None = None
    ) -> list[Batch]:
        """Pick ``count`` items with probabilities ``chances`` (N,), without repeats if possible."""
        picked = np.sort(rng.choice(len(self), count, replace=count > len(self), p=chances))
        return [self[index] for index in picked.tolist()]
