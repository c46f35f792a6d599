"""``python -m training.evaluate``: measure a checkpoint and the baselines."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from drawing.arrays import Array, to_uint8
from drawing.sample import make_sample
from model import MattingBase, MattingRefine
from pipeline import Despeckler

from .baselines import best_threshold, closed_form, difference, key
from .data import VALIDATION_SEED
from .metrics import conn, dtssd, grad, mad, mse, sad
from .weights import network_from, read_state

METRICS: dict[str, Callable[[Array, Array], float]] = {
    "MAD": mad,
    "MSE": mse,
    "SAD": sad,
    "Grad": grad,
    "Conn": conn,
}


class Triple(NamedTuple):
    """A frame and its plate (H, W, 3), the true alpha (H, W), uint8; ``clean`` as in a Sample."""

    src: Array
    bgr: Array
    pha: Array
    clean: bool = False


def folder_triples(folder: Path) -> Iterator[Triple]:
    """Images of the same name in ``src``, ``bgr`` and ``pha`` under ``folder``, in order.

    Raises:
        FileNotFoundError: There is no image, or one lacks its plate or its alpha.
    """
    frames = sorted(path for path in (folder / "src").glob("*") if path.is_file())
    if not frames:
        raise FileNotFoundError(f"no images in {folder / 'src'}")
    for path in frames:
        plate, alpha = (next((folder / n).glob(f"{path.stem}.*"), None) for n in ("bgr", "pha"))
        if plate is None or alpha is None:
            raise FileNotFoundError(f"{path} has no plate or no alpha beside it")
        yield Triple(_read(path), _read(plate), _read(alpha)[..., 0])


def clip_triples(clip: Path, plate: Path, alpha: Path) -> Iterator[Triple]:
    """The frames of a clip with one plate and a clip of their alpha.

    Raises:
        ValueError: The clips differ in length.
    """
    bgr = _read(plate)
    for src, pha in zip(_frames(clip), _frames(alpha), strict=True):
        yield Triple(src, bgr, pha[..., 0])


def generated_triples(count: int, size: tuple[int, int]) -> Iterator[Triple]:
    """The first ``count`` validation samples; ``size`` is (height, width)."""
    for index in range(count):
        sample = make_sample(VALIDATION_SEED, index, *size)
        src, bgr, pha = (to_uint8(x) for x in (sample.src, sample.bgr, sample.pha))
        yield Triple(src, bgr, pha, sample.clean)


def _read(path: Path) -> Array:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"{path} is not an image")
    return np.asarray(image)[..., ::-1]


def _frames(path: Path) -> Iterator[Array]:
    video = cv2.VideoCapture(str(path))
    while True:
        found, frame = video.read()
        if not found:
            return
        yield np.asarray(frame)[..., ::-1]


@torch.inference_mode()
def predict(network: MattingBase, triple: Triple) -> Array:
    """Alpha (H, W) in [0, 1]. A network without refiner sees a quarter-size copy."""
    src, bgr = (
        torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None].float() / 255
        for x in (triple.src, triple.bgr)
    )
    if isinstance(network, MattingRefine):
        return network(src, bgr).pha[0, 0].numpy()
    small = [
        torch.nn.functional.interpolate(x, scale_factor=0.25, mode="bilinear") for x in (src, bgr)
    ]
    pha = network(*small).pha
    return torch.nn.functional.interpolate(pha, src.shape[2:], mode="bilinear")[0, 0].numpy()


def evaluate(
    triples: Sequence[Triple],
    network: MattingBase | None = None,
    *,
    baselines: bool = True,
    closed_form_count: int = 0,
    clip: bool = False,
    despeckle: float = 0,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the name of each method and its mean metrics, as soon as they are known.

    Args:
        triples: What to measure on.
        network: In evaluation mode; None measures only the baselines.
        baselines: Also measure the baselines.
        closed_form_count: Number of first triples to measure closed-form matting on; 0: none.
        clip: The triples are consecutive frames: also measure flicker.
        despeckle: Also measure the network with specks up to this percentage of the frame removed.
    """
    some = triples[:closed_form_count]
    if network is not None:
        found = [predict(network, triple) for triple in tqdm(triples, "network")]
        yield "network", _figures(found, triples, clip=clip)
        if closed_form_count:
            yield f"network, first {closed_form_count}", _figures(found, some, clip=clip)
        if despeckle:
            found = [_despeckled(pha, despeckle) for pha in found]
            yield "network, despeckled", _figures(found, triples, clip=clip)
    if baselines:
        apart = [difference(triple.src, triple.bgr) for triple in triples]
        threshold = best_threshold(apart, [triple.pha for triple in triples])
        name = f"difference > {threshold}"
        keyed = [key(x, threshold) for x in apart]
        yield name, _figures(keyed, triples, clip=clip)
        if closed_form_count:
            yield f"{name}, first {closed_form_count}", _figures(keyed, some, clip=clip)
            pairs = tqdm(list(zip(some, keyed, strict=False)), "closed form")
            matted = [closed_form(triple.src, k) for triple, k in pairs]
            yield "closed form", _figures(matted, some, clip=clip)


def _despeckled(pha: Array, percent: float) -> Array:
    alphas = torch.from_numpy(pha)[None, None]
    return Despeckler(percent / 100 * pha.size)(alphas, alphas)[0, 0].numpy()


def _figures(found: list[Array], triples: Sequence[Triple], *, clip: bool) -> dict[str, float]:
    truths = [triple.pha.astype(np.float32) / 255 for triple in triples]
    found = found[: len(truths)]
    pairs = list(zip(found, truths, strict=True))
    figures = {
        name: float(np.mean([metric(pha, true) for pha, true in pairs]))
        for name, metric in METRICS.items()
    }
    clean = [mad(*pair) for pair, t in zip(pairs, triples, strict=True) if t.clean]
    if clean:
        figures["MAD clean"] = float(np.mean(clean))
    if clip:
        figures["dtSSD"] = dtssd(np.stack(found), np.stack(truths))
    return figures


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "folder", type=Path, nargs="?", help="has src, bgr and pha; default: validation samples"
    )
    parser.add_argument(
        "--clip", type=Path, nargs=3, metavar=("SRC", "PLATE", "ALPHA"), help="measure on a clip"
    )
    parser.add_argument("--samples", type=int, default=100, help="number of validation samples")
    parser.add_argument(
        "--size", default="1024x576", help="size of validation samples, WIDTHxHEIGHT"
    )
    parser.add_argument(
        "--backbone-scale", type=float, default=0.25, metavar="SCALE", help="(default: 0.25)"
    )
    parser.add_argument(
        "--despeckle",
        type=float,
        default=0,
        metavar="PERCENT",
        help="also measure the network with this flag of the program",
    )
    parser.add_argument(
        "--closed-form",
        type=int,
        default=0,
        metavar="N",
        help="also measure it on the first N",
    )
    parser.add_argument("--only", choices=("network", "baselines"), help="default: both")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = parse_args(argv)
    try:
        if args.clip and args.folder:
            raise ValueError("give a folder or --clip, not both")
        if args.closed_form and find_spec("pymatting") is None:
            raise ValueError("--closed-form needs PyMatting: pip install '.[training]'")
        if not 0 <= args.despeckle <= 100:
            raise ValueError(f"--despeckle {args.despeckle}: expected 0 to 100 percent")
        network = None
        if args.only != "baselines":
            network = network_from(read_state(args.checkpoint), args.backbone_scale)
        width, height = (int(side) for side in args.size.split("x"))
        if args.clip:
            triples = clip_triples(*args.clip)
        elif args.folder:
            triples = folder_triples(args.folder)
        else:
            triples = generated_triples(args.samples, (height, width))
        figures = evaluate(
            list(tqdm(triples, "images")),
            network,
            baselines=args.only != "network",
            closed_form_count=args.closed_form,
            clip=bool(args.clip),
            despeckle=args.despeckle,
        )
        for method, values in figures:
            row = (f"{name} {value:.2f}" for name, value in values.items())
            print(f"{method:20}", *row, sep="  ", flush=True)
    except (OSError, ValueError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
