"""``python -m training``: train the built-in model, export its weights, and measure."""

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from model import BACKBONES, DeviceError, MattingBase, MattingRefine, resolve_device

from . import plates, preflight
from .ahead import SamplePool, write_errors, write_samples, write_shrunk
from .network import PRECISIONS
from .recipe import Recipe
from .sample import CLEAN, GROUND, PLAIN
from .smoothing import flicker
from .trainer import Trainer
from .weights import export, mean_state, network_from, read_state, share_mean, with_rest
from .windows import SCALES, WindowPool, write_windows

SIZES = {"base": "256x160", "refine": "512x512"}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; sizes are WIDTHxHEIGHT."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for stage in ("base", "refine"):
        train = commands.add_parser(stage, help=f"train the {stage} stage, or go on with it")
        train.add_argument("folder", type=Path, help="holds the checkpoint, the log, pictures")
        train.add_argument("--init", type=Path, help="weights to start from")
        train.add_argument("--backbone", choices=BACKBONES, default="mobilenetv2")
        train.add_argument("--steps", type=int, default=2000)
        train.add_argument("--batch", type=int, default=12)
        train.add_argument("--size", type=_size, default=SIZES[stage])
        train.add_argument("--crop", type=float, default=1.0, help="samples are this much larger")
        train.add_argument("--shrink", type=int, default=1, help="see Recipe.shrink")
        train.add_argument("--plain", type=float, default=PLAIN, help="see Recipe.plain")
        train.add_argument("--alike", type=float, default=0, help="see Recipe.alike")
        train.add_argument("--shaded", type=float, default=0, help="see Recipe.shaded")
        train.add_argument("--ahead", type=Path, nargs="+", default=(), help="drawn by samples")
        train.add_argument("--hard", action="store_true", help="more of what weigh found hard")
        train.add_argument("--precision", choices=PRECISIONS, default="bf16")
        train.add_argument("--frozen", action="store_true", help="see Recipe.frozen")
        train.add_argument("--muon", action="store_true", help="see Recipe.muon")
        train.add_argument("--lr", type=float, default=1e-3)
        train.add_argument("--final-lr", type=float, default=1e-5)
        train.add_argument("--seed", type=int, default=1)
        train.add_argument("--device", default="cpu")
        train.add_argument("--threads", type=int, help="of the CPU, for the network")
        train.add_argument("--workers", type=int, default=1, help="processes that draw samples")
        train.add_argument("--save-every", type=int, default=100, metavar="STEPS")
        train.add_argument("--validate-every", type=int, default=500, metavar="STEPS")
        if stage == "refine":
            train.add_argument(
                "--windows", type=Path, nargs="+", default=(), help="learn from these instead"
            )
            train.add_argument("--base-rate", type=float, default=0.1, help="see Recipe.base_rate")
            train.add_argument("--spots", type=int, default=0, help="see Recipe.spots")
    samples = commands.add_parser("samples", help="draw samples ahead, for --ahead")
    samples.add_argument("--size", type=_size, default=SIZES["base"])
    samples.add_argument("--shrink", type=int, default=1, help="see Recipe.shrink")
    samples.add_argument("--plain", type=float, default=PLAIN, help="see Recipe.plain")
    samples.add_argument("--clean", type=float, default=CLEAN, help="share with an honest plate")
    samples.add_argument("--ground", type=float, default=GROUND, help="of the shaded: pale ground")
    windows = commands.add_parser("windows", help="cut windows out of samples, for refine")
    windows.add_argument("--init", type=Path, required=True, help="the weights that err in them")
    windows.add_argument(
        "--scale", type=float, choices=SCALES, default=0.25, help="what the base sees"
    )
    windows.add_argument("--threads", type=int, default=1)
    windows.add_argument("--ahead", type=Path, help="take samples that were drawn there")
    for drawn in (samples, windows):
        drawn.add_argument("folder", type=Path, help="is filled; goes on where it was interrupted")
        drawn.add_argument("--samples", type=int, default=1000)
        drawn.add_argument("--first", type=int, default=0, help="for processes side by side")
        drawn.add_argument("--alike", type=float, default=0, help="see Recipe.alike")
        drawn.add_argument("--shaded", type=float, default=0, help="see Recipe.shaded")
        drawn.add_argument("--seed", type=int, default=1)
    weigh = commands.add_parser("weigh", help="find out which samples drawn ahead are hard")
    weigh.add_argument("folder", type=Path, help="filled by samples")
    weigh.add_argument("--init", type=Path, required=True, help="the weights they are hard for")
    weigh.add_argument("--shrunk", action="store_true", help="samples as small as the base sees")
    weigh.add_argument("--threads", type=int, default=1)
    shrink = commands.add_parser("shrink", help="samples drawn ahead, as small as the base sees")
    shrink.add_argument("pool", type=Path, help="filled by samples")
    shrink.add_argument("folder", type=Path, help="is filled, for base --ahead")
    shrink.add_argument("--by", type=int, choices=(2, 4, 8), default=4, help="how many times")
    mean = commands.add_parser("mean", help="runs side by side go on from their mean weights")
    mean.add_argument("checkpoint", type=Path, nargs="+", help="at the same step; rewritten")
    export = commands.add_parser("export", help="write weights as float16 safetensors")
    export.add_argument("checkpoint", type=Path, nargs="+", help="of several, their mean")
    export.add_argument("weights", type=Path, help="a .safetensors file to write")
    export.add_argument(
        "--rest", type=Path, help="the refiner and its hidden channels, after stage base"
    )
    looking = commands.add_parser(
        "preflight", help="how often the look before a run names what is wrong with a plate"
    )
    looking.add_argument("--clips", type=int, default=200, help="each with a plate of each class")
    looking.add_argument("--seed", type=int, default=preflight.PUBLISHED_SEED)
    looking.add_argument("--workers", type=int, default=2, help="processes")
    smoothing = commands.add_parser("smoothing", help="what --smooth-alpha does to flicker")
    smoothing.add_argument("--clips", type=int, default=4, help="drawn ones, beside the sample")
    mending = commands.add_parser("plates", help="what wrong plates cost, as a table")
    mending.add_argument("--clips", type=int, default=24)
    mending.add_argument("--frames", type=int, default=9, help="of each clip")
    mending.add_argument("--size", type=_size, default="640x360")
    mending.add_argument("--device", default="cpu")
    return parser.parse_args(argv)


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(height), int(width)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = parse_args(argv)
    try:
        if args.command == "export":
            state = mean_state([read_state(path) for path in args.checkpoint])
            if args.rest:
                state = with_rest(state, read_state(args.rest))
            print(export(state, args.weights), args.weights)
        elif args.command == "mean":
            print("at step", share_mean(args.checkpoint))
        elif args.command == "preflight":
            print(preflight.table(preflight.confusion(args.seed, args.clips, args.workers)))
        elif args.command == "smoothing":
            print(flicker(args.clips))
        elif args.command in ("samples", "windows"):
            draw_ahead(args)
        elif args.command == "shrink":
            deque(tqdm(write_shrunk(args.pool, args.folder, by=args.by), mininterval=5), maxlen=0)
        elif args.command == "weigh":
            torch.set_num_threads(args.threads)
            network = _base(args.init) if args.shrunk else _refining(args.init)
            deque(tqdm(write_errors(network, args.folder), mininterval=5), maxlen=0)
        elif args.command == "plates":
            figures = plates.measure(
                clips=args.clips, frames=args.frames, size=args.size, device=args.device
            )
            print(plates.table(figures))
        else:
            train(args)
    except (OSError, ValueError, DeviceError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    return 0


def draw_ahead(args: argparse.Namespace) -> None:
    """Run ``samples`` or ``windows`` with parsed ``args``."""
    which = {"seed": args.seed, "first": args.first, "samples": args.samples}
    shares = {"alike": args.alike, "shaded": args.shaded}
    if args.command == "samples":
        shares |= {"plain": args.plain, "clean": args.clean, "ground": args.ground}
        done = write_samples(args.folder, size=args.size, shrink=args.shrink, **which, **shares)
    else:
        torch.set_num_threads(args.threads)
        drawn = SamplePool(args.ahead) if args.ahead else None
        network = _refining(args.init, args.scale)
        done = write_windows(network, args.folder, drawn=drawn, **which, **shares)
    deque(tqdm(done, total=args.samples, mininterval=5), maxlen=0)


def _refining(weights: Path, scale: float = 0.25) -> MattingRefine:
    network = network_from(read_state(weights), scale)
    if not isinstance(network, MattingRefine):
        raise ValueError(f"{weights}: has no refiner")
    return network


def _base(weights: Path) -> MattingBase:
    state = read_state(weights)
    return network_from({key: x for key, x in state.items() if not key.startswith("refiner.")})


def train(args: argparse.Namespace) -> None:
    """Run ``base`` or ``refine`` with parsed ``args``."""
    if args.threads:
        torch.set_num_threads(args.threads)
    windows = [WindowPool(folder) for folder in args.windows] if args.command == "refine" else []
    ahead = [SamplePool(folder, hard=args.hard) for folder in args.ahead]
    recipe = Recipe(
        stage=args.command,
        backbone=args.backbone,
        steps=args.steps,
        batch=args.batch,
        size=args.size,
        crop=args.crop,
        shrink=args.shrink,
        plain=args.plain,
        alike=args.alike,
        shaded=args.shaded,
        windows=sum(map(len, windows)),
        spots=args.spots if args.command == "refine" else 0,
        ahead=sum(map(len, ahead)),
        hard=args.hard,
        precision=args.precision,
        frozen=args.frozen,
        base_rate=args.base_rate if args.command == "refine" else Recipe.base_rate,
        muon=args.muon,
        lr=args.lr,
        final_lr=args.final_lr,
        seed=args.seed,
    )
    trainer = Trainer(
        recipe,
        args.folder,
        init=args.init,
        windows=windows,
        ahead=ahead,
        device=str(resolve_device(args.device)),
    )
    trainer.train(
        workers=args.workers, save_every=args.save_every, validate_every=args.validate_every
    )


if __name__ == "__main__":
    sys.exit(main())
