"""How often the preflight names what is wrong with a plate, on clips drawn for that."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cv2
from tqdm import tqdm

from plate import diagnose

from .shots import FAULTS, Fault, make_shots

#: The clips of the published table come from this seed, on which nothing was tuned.
PUBLISHED_SEED = 2_000_000_071

Verdicts = Counter[tuple[Fault, str]]


def judge(clip: tuple[int, int]) -> list[tuple[Fault, str]]:
    """What each plate of a clip, named by seed and index, is, and what it is taken for."""
    cv2.setNumThreads(1)
    return [
        (shot.fault, diagnose(list(shot.frames), [shot.plate]).verdict)
        for shot in make_shots(*clip)
    ]


def confusion(seed: int, count: int, workers: int) -> Verdicts:
    """How often each class of plates is taken for which, over ``count`` clips of a set."""
    clips = [(seed, index) for index in range(count)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return Counter(x for found in tqdm(pool.map(judge, clips), total=count) for x in found)


def table(verdicts: Verdicts, columns: Sequence[str] = FAULTS) -> str:
    """A confusion matrix in Markdown: rows are what is, columns what was said."""
    lines = [
        f"| plate | {' | '.join(columns)} | right |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for fault in FAULTS:
        counts = [verdicts[fault, said] for said in columns]
        right = verdicts[fault, fault] / max(1, sum(counts))
        lines.append(f"| {fault} | {' | '.join(map(str, counts))} | {100 * right:.1f} % |")
    return "\n".join(lines)
