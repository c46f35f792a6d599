"""How often the plate check names the fault of a plate, on drawn clips."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from tqdm import tqdm

from dataset import MemorySource, open_source
from drawing.arrays import Array
from drawing.moving import SIZE
from drawing.shots import FAULTS, make_shots
from drawing.travels import KINDS, MOTIONS, AnyMotion, Travel, make_travel
from plate import inspect_plate

#: Seed of the clips of the published table; nothing was tuned on it.
PUBLISHED_SEED = 2_000_000_071
#: What a plate may be: those of :mod:`drawing.shots`, the plate of one frame of a clip whose camera
#: moves, and a good one of a long clip whose camera stands still.
CLASSES = (*FAULTS, "moving", "good, long clip")
#: What the check may find.
VERDICTS = ("good", "scene", "moving", "camera", "exposure", "subject")
#: Frames of a clip whose camera moves, and of a long one.
_FRAMES = 60

#: What a motion has to change, in levels and as a share of the pixels, as in :mod:`drawing.shots`;
#: other clips are drawn again, with a number that much higher.
_MIN_LEVELS, _MIN_SHARE, _APART = 10, 0.02, 100_000

Verdicts = Counter[tuple[str, str]]


def judge(clip: tuple[int, int]) -> list[tuple[str, str]]:
    """Class and verdict for each plate of ``clip``, (seed, index)."""
    cv2.setNumThreads(1)
    return [(name, _verdict(frames, plate)) for name, frames, plate in _clips(*clip)]


def _clips(seed: int, index: int) -> Iterator[tuple[str, Array, Array]]:
    """By class, frames (T, H, W, 3) and a plate (H, W, 3)."""
    for shot in make_shots(seed, index):
        yield shot.fault, shot.frames, shot.plate
    motion, kind = MOTIONS[index % len(MOTIONS)], KINDS[index // len(MOTIONS) % len(KINDS)]
    moves: dict[str, AnyMotion] = {"moving": motion, "good, long clip": "still"}
    for name, move in moves.items():
        for attempt in range(100):
            number = index + attempt * _APART
            clip = make_travel(seed, number, move, kind, size=SIZE, frames=_FRAMES)
            if move == "still" or _leaves_a_trace(clip):
                break
        yield name, clip.frames, clip.plates[0]


def _leaves_a_trace(clip: Travel) -> bool:
    """Whether the motion of the camera changes what half of the frames show behind the subject."""
    change = (np.abs(plate.astype(int) - clip.plates[0]).max(axis=2) for plate in clip.plates)
    shares = [(one >= _MIN_LEVELS).mean() for one in change]
    return float(np.median(shares)) >= _MIN_SHARE


def _verdict(frames: Array, plate: Array) -> str:
    with TemporaryDirectory() as folder:
        for n, frame in enumerate(frames):
            cv2.imwrite(str(Path(folder) / f"{n:04d}.bmp"), frame[..., ::-1])
        src = open_source(folder, _ignore, hold=False)
        return inspect_plate(src, MemorySource(plate[None], "plate", still=True), SIZE).verdict


def _ignore(message: str) -> None:
    """Discard a warning."""


def confusion(seed: int, count: int, workers: int) -> Verdicts:
    """Count each (class, verdict) over the first ``count`` clips of the set ``seed``."""
    clips = [(seed, index) for index in range(count)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return Counter(x for found in tqdm(pool.map(judge, clips), total=count) for x in found)


def table(verdicts: Verdicts, columns: Sequence[str] = VERDICTS) -> str:
    """The confusion matrix as a Markdown table: rows are classes, columns are verdicts."""
    lines = [
        f"| plate | {' | '.join(columns)} | right |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for name in CLASSES:
        counts = [verdicts[name, said] for said in columns]
        right = verdicts[name, name.partition(",")[0]] / max(1, sum(counts))
        lines.append(f"| {name} | {' | '.join(map(str, counts))} | {100 * right:.1f} % |")
    return "\n".join(lines)
