"""``python -m training.foreground``: measure the foreground where alpha is partial."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dataset import MemorySource, open_source
from drawing.arrays import Array, to_uint8
from drawing.furry import draw_furry
from drawing.sample import make_sample
from model import DetailPrediction, EstimatedPrediction, Prediction, Predictor, load_network
from pipeline import DeviceFeed, PairLoader

from .data import VALIDATION_SEED

SAMPLES = Path(__file__).parent.parent / "samples"
#: The errors are measured where the true alpha is between these.
LEAST_ALPHA, MOST_ALPHA = 0.1, 0.98
#: Backgrounds of the composites.
BACKGROUNDS = {"green": (120, 255, 155), "white": (255, 255, 255)}
#: Fewer pixels of partial alpha say nothing about a frame.
_MIN_PIXELS = 50


class Truth(NamedTuple):
    """A frame and its plate (H, W, 3), uint8, and the true alpha (H, W) and foreground (H, W, 3).

    ``ways`` are keywords of the loader that bring the plate to the frame.
    """

    src: Array
    bgr: Array
    pha: Array
    fgr: Array
    ways: dict[str, Any]


class Seen(NamedTuple):
    """What a method is given: frame and plate (1, 3, H, W), and the prediction."""

    src: Tensor
    bgr: Tensor
    matte: Prediction | DetailPrediction


#: Maps what is seen to a foreground (3, H, W) in [0, 1].
Method = Callable[[Seen], Tensor]


def _multi_level(src: Tensor, pha: Tensor) -> Tensor:
    """The multi-level estimate of PyMatting, of (3, H, W) and (H, W)."""
    from pymatting import estimate_foreground_ml

    image = src.permute(1, 2, 0).numpy().astype(np.float64)
    found = estimate_foreground_ml(image, pha.numpy().astype(np.float64))
    return torch.from_numpy(np.float32(found)).permute(2, 0, 1)


def _multi_level_with_plate(seen: Seen) -> Tensor:
    """The same of what is left without the plate, so that the background is known: black."""
    pha = seen.matte.pha[0]
    rest = seen.src[0] - (1 - pha) * seen.bgr[0]
    return _multi_level(rest.clamp(0, 1), pha[0])


METHODS: dict[str, Method] = {
    "network": lambda seen: seen.matte.fgr[0],
    "PyMatting": lambda seen: _multi_level(seen.src[0], seen.matte.pha[0, 0]),
    "PyMatting, plate": _multi_level_with_plate,
    "estimate": lambda seen: EstimatedPrediction(seen.matte, seen.src, seen.bgr).fgr[0],
}


def drawn(size: tuple[int, int]) -> Iterator[Truth]:
    """The validation samples, as they are: some of their plates are wrong."""
    for index in range(10**6):
        s = make_sample(VALIDATION_SEED, index, *size)
        yield Truth(to_uint8(s.src), to_uint8(s.bgr), s.pha, s.fgr, {})


def sample_clip(size: tuple[int, int]) -> Iterator[Truth]:
    """Every sixth frame of the sample clip, in its own size."""
    make = import_module("samples.make")
    cutout = np.asarray(cv2.imread(str(SAMPLES / "astronaut.png"), cv2.IMREAD_UNCHANGED)) / 255
    cutout = np.dstack([cutout[..., 2::-1] * cutout[..., 3:], cutout[..., 3]])
    plate = next(iter(open_source(SAMPLES / "plate.png", print))).image
    every = islice(enumerate(open_source(SAMPLES / "clip.mp4", print)), 0, make.FRAMES, 6)
    for number, frame in every:
        subject = make.place(cutout, number)
        pha = subject[..., 3].astype(np.float32)
        fgr = subject[..., :3] / np.maximum(subject[..., 3:], 1e-3)
        yield Truth(frame.image, plate, pha, fgr.clip(0, 1).astype(np.float32), {})


def furry(size: tuple[int, int], *, right: bool) -> Iterator[Truth]:
    """Drawn furry animals; a wrong plate is aligned and matched."""
    ways: dict[str, Any] = {} if right else {"align": "frame", "match": True}
    for index in range(10**6):
        f = draw_furry(index, *size)[0 if right else 1]
        yield Truth(f.src, f.bgr, f.pha, f.fgr, ways)


def folder_truths(folder: Path, ways: dict[str, Any]) -> Iterator[Truth]:
    """Images of the same name in ``src``, ``bgr``, ``pha`` and ``fgr`` under ``folder``, in order.

    Raises:
        FileNotFoundError: There is no image, or one lacks another.
    """
    frames = sorted(path for path in (folder / "src").glob("*") if path.is_file())
    if not frames:
        raise FileNotFoundError(f"no images in {folder / 'src'}")
    for path in frames:
        images = []
        for name in ("src", "bgr", "pha", "fgr"):
            found = next((folder / name).glob(f"{path.stem}.*"), None)
            image = None if found is None else cv2.imread(str(found), cv2.IMREAD_COLOR)
            if image is None:
                raise FileNotFoundError(f"{folder / name}: no image {path.stem}")
            images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        src, bgr, pha, fgr = images
        yield Truth(src, bgr, pha[..., 0] / np.float32(255), fgr / np.float32(255), ways)


SETS: dict[str, Callable[[tuple[int, int]], Iterator[Truth]]] = {
    "samples": drawn,
    "sample clip": sample_clip,
    "furry, right plate": lambda size: furry(size, right=True),
    "furry, wrong plate": lambda size: furry(size, right=False),
}


def look(predictor: Predictor, truth: Truth, *, true_alpha: bool) -> Seen:
    """The plate as the program brings it to the frame, and its prediction."""
    src, bgr = (
        MemorySource(truth.src[None], "clip"),
        MemorySource(truth.bgr[None], "plate", still=True),
    )
    with PairLoader(src, bgr, warn=lambda message: None, **truth.ways) as loader:
        (batch,) = loader
    frames = DeviceFeed(predictor.device)(batch)
    matte = predictor(frames.src, frames.bgr)
    if true_alpha:
        matte = matte.with_pha(torch.from_numpy(truth.pha)[None, None].to(matte.pha))
    plate = frames.bgr.float() / (1 if frames.bgr.is_floating_point() else 255)
    return Seen(frames.src.float() / 255, plate, matte)


def errors(truth: Truth, seen: Seen, fgr: Tensor) -> dict[str, float] | None:
    """Mean absolute errors in levels of the foreground and of composites, where alpha is partial.

    Where alpha is 1, every method is given the colours of the frame.

    Returns:
        None where hardly any alpha is partial.
    """
    where = (truth.pha > LEAST_ALPHA) & (truth.pha < MOST_ALPHA)
    if where.sum() < _MIN_PIXELS:
        return None
    pha = seen.matte.pha[0, 0].numpy()[where, None]
    frame, found = (x.permute(1, 2, 0).numpy()[where] for x in (seen.src[0], fgr))
    found = np.where(pha >= 1, frame, found)
    true, true_pha = truth.fgr[where], truth.pha[where, None]
    figures = {"foreground": found - true}
    for name, colour in BACKGROUNDS.items():
        other = np.array(colour, np.float32) / 255
        figures[name] = pha * (found - other) - true_pha * (true - other)
    return {name: float(255 * np.abs(x).mean()) for name, x in figures.items()}


def measure(
    truths: Iterator[Truth], predictor: Predictor, methods: Sequence[str], *, true_alpha: bool
) -> dict[str, dict[str, float]]:
    """The errors of each method, averaged over frames."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for truth in truths:
        seen = look(predictor, truth, true_alpha=true_alpha)
        for name in methods:
            found = errors(truth, seen, METHODS[name](seen))
            if found is not None:
                rows[name].append(found)
    return {
        name: {key: float(np.mean([row[key] for row in some])) for key in some[0]}
        for name, some in rows.items()
        if some
    }


def table(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures by set and method as a Markdown table: foreground, and over green and white."""
    methods = list(next(iter(figures.values())))
    lines = [f"| | {' | '.join(methods)} |", "| --- |" + " --- |" * len(methods)]
    for name, row in figures.items():
        cells = (", ".join(f"{x:.2f}" for x in row[method].values()) for method in methods)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.foreground", description=__doc__)
    parser.add_argument(
        "folder", type=Path, nargs="?", help="has src, bgr, pha and fgr; default: drawn sets"
    )
    parser.add_argument("--align", action="store_true", help="align the plates of the folder")
    parser.add_argument("--match", action="store_true", help="match the plates of the folder")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    parser.add_argument("--first", type=int, default=0, help="first frame of each set")
    parser.add_argument("--frames", type=int, default=20, help="frames of each set (default: 20)")
    parser.add_argument("--size", default="1280x720", help="of drawn frames, WIDTHxHEIGHT")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all there are")
    parser.add_argument("--true-alpha", action="store_true", help="instead of the network's")
    parser.add_argument("--weights", type=Path, help="default: the built-in ones")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = parse_args(argv)
    try:
        predictor = Predictor(load_network(args.weights), torch.device("cpu"), warn=print)
        has_pymatting = find_spec("pymatting") is not None
        known = [name for name in METHODS if has_pymatting or not name.startswith("PyMatting")]
        methods = args.methods or known
        width, height = (int(side) for side in args.size.split("x"))
        sets = {name: SETS[name]((height, width)) for name in args.sets}
        if args.folder:
            ways = {"align": "frame" if args.align else None, "match": args.match}
            sets = {str(args.folder): folder_truths(args.folder, ways)}
        figures = {}
        for name, truths in sets.items():
            some = islice(truths, args.first, args.first + args.frames)
            figures[name] = measure(
                tqdm(some, name, disable=None), predictor, methods, true_alpha=args.true_alpha
            )
        print(table({name: row for name, row in figures.items() if row}))
    except (OSError, ValueError) as error:
        print(f"foreground: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
