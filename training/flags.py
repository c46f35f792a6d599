"""The command line of ``python -m training``; sizes are WIDTHxHEIGHT there."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from drawing.sample import CLEAN_SHARE, GROUND_SHARE, PLAIN_SHARE
from model import BACKBONES
from model.weights import BUILTIN

from .network import PRECISIONS
from .preflight_table import PUBLISHED_SEED
from .windows import SCALES

SIZES = {"base": "256x160", "refine": "512x512"}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; sizes become (height, width)."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train the built-in model, export its weights, and measure.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for stage in ("base", "refine"):
        _add_stage(commands, stage)
    _add_drawn(commands)
    _add_pools(commands)
    _add_weights(commands)
    _add_tables(commands)
    return parser.parse_args(argv)


Commands = argparse._SubParsersAction


def _add_stage(commands: Commands, stage: str) -> None:
    train = commands.add_parser(stage, help=f"train the {stage} stage, or resume its training")
    add = train.add_argument
    add("folder", type=Path, help="for the checkpoint, the log and validation images")
    add("--init", type=Path, help="initial weights")
    add("--backbone", choices=BACKBONES, default="mobilenetv2")
    add("--steps", type=int, default=2000)
    add("--batch", type=int, default=12)
    add("--size", type=_size, default=SIZES[stage])
    add("--crop", type=float, default=1.0, help="draw samples this many times larger, then crop")
    add("--shrink", type=int, default=1, help="see Recipe.shrink")
    add("--plain", type=float, default=PLAIN_SHARE, help="see Recipe.plain")
    add("--alike", type=float, default=0, help="see Recipe.alike")
    add("--shaded", type=float, default=0, help="see Recipe.shaded")
    add("--ahead", type=Path, nargs="+", default=(), help="folders written by samples")
    add("--hard", action="store_true", help="prefer samples that weigh found to be hard")
    add("--precision", choices=PRECISIONS, default="bf16")
    add("--frozen", action="store_true", help="see Recipe.frozen")
    add("--muon", action="store_true", help="see Recipe.muon")
    add("--lr", type=float, default=1e-3)
    add("--final-lr", type=float, default=1e-5)
    add("--seed", type=int, default=1)
    add("--device", default="cpu")
    add("--threads", type=int, help="CPU threads of the network")
    add("--workers", type=int, default=1, help="processes that draw samples")
    add("--save-every", type=int, default=100, metavar="STEPS")
    add("--validate-every", type=int, default=500, metavar="STEPS")
    if stage == "refine":
        add("--windows", type=Path, nargs="+", default=(), help="train on folders of windows")
        add("--base-rate", type=float, default=0.1, help="see Recipe.base_rate")
        add("--spots", type=int, default=0, help="see Recipe.spots")
        add("--dots", type=float, default=0, help="see Recipe.dots")


def _add_drawn(commands: Commands) -> None:
    samples = commands.add_parser("samples", help="draw samples ahead of training, for --ahead")
    samples.add_argument("--size", type=_size, default=SIZES["base"])
    samples.add_argument("--shrink", type=int, default=1, help="see Recipe.shrink")
    samples.add_argument("--plain", type=float, default=PLAIN_SHARE, help="see Recipe.plain")
    samples.add_argument(
        "--clean", type=float, default=CLEAN_SHARE, help="share with an accurate plate"
    )
    samples.add_argument(
        "--ground", type=float, default=GROUND_SHARE, help="share of the shaded ones on pale ground"
    )
    samples.add_argument(
        "--filmed", type=float, default=0, help="share of the others from a compressed clip"
    )
    windows = commands.add_parser("windows", help="cut windows out of samples, for refine")
    windows.add_argument(
        "--init", type=Path, required=True, help="weights whose errors decide where to cut"
    )
    windows.add_argument(
        "--scale", type=float, choices=SCALES, default=0.25, help="backbone scale of the base"
    )
    windows.add_argument("--threads", type=int, default=1)
    windows.add_argument("--ahead", type=Path, help="cut from the samples in this folder")
    for drawn in (samples, windows):
        drawn.add_argument("folder", type=Path, help="output; files already there are kept")
        drawn.add_argument("--samples", type=int, default=1000)
        drawn.add_argument("--first", type=int, default=0, help="index of the first sample")
        drawn.add_argument("--alike", type=float, default=0, help="see Recipe.alike")
        drawn.add_argument("--shaded", type=float, default=0, help="see Recipe.shaded")
        drawn.add_argument("--seed", type=int, default=1)


def _add_pools(commands: Commands) -> None:
    weigh = commands.add_parser("weigh", help="measure how hard each sample of a folder is")
    weigh.add_argument("folder", type=Path, help="written by samples")
    weigh.add_argument("--init", type=Path, required=True, help="weights to measure with")
    weigh.add_argument("--shrunk", action="store_true", help="samples have the base's input size")
    weigh.add_argument("--threads", type=int, default=1)
    shrink = commands.add_parser("shrink", help="shrink samples to the input size of the base")
    shrink.add_argument("pool", type=Path, help="written by samples")
    shrink.add_argument("folder", type=Path, help="output, for base --ahead")
    shrink.add_argument("--by", type=int, choices=(2, 4, 8), default=4, help="shrink factor")


def _add_weights(commands: Commands) -> None:
    mean = commands.add_parser("mean", help="set parallel runs to the mean of their weights")
    mean.add_argument(
        "checkpoint", type=Path, nargs="+", help="rewritten; all must be at the same step"
    )
    export = commands.add_parser("export", help="write weights as float16 safetensors")
    export.add_argument("checkpoint", type=Path, nargs="+", help="several are averaged")
    export.add_argument("weights", type=Path, help="the .safetensors file to write")
    export.add_argument(
        "--rest", type=Path, help="after stage base: weights with the refiner to join"
    )


def _add_tables(commands: Commands) -> None:
    preflight = commands.add_parser(
        "preflight", help="how often the plate check names the fault of a plate, as a table"
    )
    preflight.add_argument("--clips", type=int, default=200, help="each has a plate of each class")
    preflight.add_argument("--seed", type=int, default=PUBLISHED_SEED)
    preflight.add_argument("--workers", type=int, default=2, help="processes")
    smoothing = commands.add_parser("smoothing", help="what --smooth-alpha does, as a table")
    smoothing.add_argument("--clips", type=int, default=4, help="drawn clips of each kind")
    dots = commands.add_parser("stipple", help="dots in the edges of mattes, as a table")
    dots.add_argument("weights", type=Path, nargs="?", default=BUILTIN)
    dots.add_argument("--frames", type=int, default=12, help="frames of each kind")
    dots.add_argument(
        "--clip", type=Path, nargs=2, action="append", default=[], metavar=("SRC", "PLATE"),
        help="also measure on a clip",
    )  # fmt: skip
    plates = commands.add_parser("plates", help="the error that wrong plates cause, as a table")
    plates.add_argument("--clips", type=int, default=24)
    plates.add_argument("--frames", type=int, default=9, help="frames of each clip")
    plates.add_argument("--size", type=_size, default="640x360")
    plates.add_argument("--device", default="cpu")
    moving = commands.add_parser("moving", help="the error with plates of moving cameras")
    moving.add_argument("--clips", type=int, default=4, help="of each motion and parallax")
    moving.add_argument("--frames", type=int, default=48, help="frames of each clip")
    moving.add_argument("--size", type=_size, default="640x360")
    moving.add_argument("--device", default="cpu")
    untagged = commands.add_parser("untagged", help="what plates tell of clips without colour tags")
    untagged.add_argument("--clips", type=int, default=200)
    untagged.add_argument("--device", default="cpu")
    region = commands.add_parser("region", help="what --region auto costs and gains, as a table")
    region.add_argument("--samples", type=int, default=500, help="validation samples")
    region.add_argument("--size", type=_size, default="1024x576", help="of the samples")
    region.add_argument("--clips", type=int, default=24, help="drawn clips with each plate")
    region.add_argument("--events", type=int, default=2, help="drawn clips of each event")
    region.add_argument("--frames", type=int, default=9, help="frames of each drawn clip")


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(height), int(width)
