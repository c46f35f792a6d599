"""``python -m training``: train the built-in model, export its weights, and measure."""

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from model import DeviceError, MattingBase, MattingRefine, resolve_device

from . import (
    moving_table,
    plate_table,
    preflight_table,
    region_table,
    stipple_table,
    untagged_table,
)
from .flags import parse_args
from .recipe import Recipe
from .sample_pool import SamplePool, write_errors, write_samples, write_shrunk
from .smoothing_table import flicker
from .trainer import Trainer
from .weights import export, mean_state, network_from, read_state, share_mean, with_rest
from .windows import WindowPool, write_windows


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
            print(
                preflight_table.table(
                    preflight_table.confusion(args.seed, args.clips, args.workers)
                )
            )
        elif args.command == "smoothing":
            print(flicker(args.clips))
        elif args.command == "stipple":
            for line in stipple_table.table(args.weights, frames=args.frames, clips=args.clip):
                print(line, flush=True)
        elif args.command in ("samples", "windows"):
            write_ahead(args)
        elif args.command == "shrink":
            deque(tqdm(write_shrunk(args.pool, args.folder, by=args.by), mininterval=5), maxlen=0)
        elif args.command == "weigh":
            torch.set_num_threads(args.threads)
            network = _base_network(args.init) if args.shrunk else _refine_network(args.init)
            deque(tqdm(write_errors(network, args.folder), mininterval=5), maxlen=0)
        elif args.command == "plates":
            figures = plate_table.measure(
                clips=args.clips, frames=args.frames, size=args.size, device=args.device
            )
            print(plate_table.table(figures))
        elif args.command == "moving":
            found = moving_table.measure(
                clips=args.clips, frames=args.frames, size=args.size, device=args.device
            )
            print(moving_table.table(found))
        elif args.command == "untagged":
            print(
                untagged_table.table(untagged_table.measure(clips=args.clips, device=args.device))
            )
        elif args.command == "region":
            kinds = region_table.clips_by_kind(
                samples=args.samples,
                size=args.size,
                clips=args.clips,
                events=args.events,
                frames=args.frames,
            )
            print(region_table.table(region_table.measure(kinds)))
        else:
            train(args)
    except (OSError, ValueError, DeviceError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    return 0


def write_ahead(args: argparse.Namespace) -> None:
    """Run ``samples`` or ``windows`` with parsed ``args``."""
    which = {"seed": args.seed, "first": args.first, "samples": args.samples}
    shares = {"alike": args.alike, "shaded": args.shaded}
    if args.command == "samples":
        shares |= {"plain": args.plain, "clean": args.clean, "ground": args.ground}
        shares["filmed"] = args.filmed
        done = write_samples(args.folder, size=args.size, shrink=args.shrink, **which, **shares)
    else:
        torch.set_num_threads(args.threads)
        drawn = SamplePool(args.ahead) if args.ahead else None
        network = _refine_network(args.init, args.scale)
        done = write_windows(network, args.folder, drawn=drawn, **which, **shares)
    deque(tqdm(done, total=args.samples, mininterval=5), maxlen=0)


def _refine_network(weights: Path, scale: float = 0.25) -> MattingRefine:
    network = network_from(read_state(weights), scale)
    if not isinstance(network, MattingRefine):
        raise ValueError(f"{weights}: no refiner found")
    return network


def _base_network(weights: Path) -> MattingBase:
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
        dots=args.dots if args.command == "refine" else 0,
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
