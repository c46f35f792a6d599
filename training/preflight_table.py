"""How often the plate check names the fault of a plate, on drawn clips."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cv2
from tqdm import tqdm

from drawing.shots import FAULTS, Fault, make_shots
from plate import diagnose

#: Seed of the clips of the published table; nothing was tuned on it.
PUBLISHED_SEED = 2_000_000_071

Verdicts = Counter[tuple[Fault, str]]


def judge(clip: tuple[int, int]) -> list[tuple[Fault, str]]:
    """Fault and verdict for each plate of ``clip``, (seed, index)."""
    cv2.setNumThreads(1)
    return [
        (shot.fault, diagnose(list(shot.frames), [shot.plate]).verdict)
        for shot in make_shots(*clip)
    ]


def confusion(seed: int, count: int, workers: int) -> Verdicts:
    """Count each (fault, verdict) over the first ``count`` clips of the set ``seed``."""
    clips = [(seed, index) for index in range(count)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return Counter(x for found in tqdm(pool.map(judge, clips), total=count) for x in found)


def table(verdicts: Verdicts, columns: Sequence[str] = FAULTS) -> str:
    """The confusion matrix as a Markdown table: rows are faults, columns are verdicts."""
    lines = [
        f"| plate | {' | '.join(columns)} | right |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for fault in FAULTS:
        counts = [verdicts[fault, said] for said in columns]
        right = verdicts[fault, fault] / max(1, sum(counts))
        lines.append(f"| {fault} | {' | '.join(map(str, counts))} | {100 * right:.1f} % |")
    return "\n".join(lines)
