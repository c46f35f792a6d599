"""``python -m benchmarks``: time the network and whole runs against a baseline script."""

import argparse
import datetime
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

from model import BACKBONES, DeviceError, Precision, resolve_device

from . import memory, precision, scaling, tables, workers
from .machine import describe
from .network import time_networks
from .whole import OUTPUTS, ROOT, Case, compare

PARTS = ("network", "whole", "precision", "memory", "scaling", "workers")
SIZES = {"hd": (1080, 1920), "4k": (2160, 3840)}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: network whole)")
    add("--sizes", nargs="+", default=["hd", "4k"], help="hd, 4k or WIDTHxHEIGHT")
    add(
        "--frames",
        type=int,
        help="frames of a clip (default: hd 120, 4k 40; with CUDA 300 and 150)",
    )
    add("--pairs", type=int, default=5, help="alternating runs of baseline and program")
    add("--repeats", type=int, default=15, help="timed frames per network")
    add("--outputs", nargs="+", choices=tuple(OUTPUTS), default=list(OUTPUTS))
    add(
        "--backbones",
        nargs="+",
        choices=BACKBONES,
        help="(default: network all, whole mobilenetv2)",
    )
    add(
        "--precisions",
        nargs="+",
        choices=get_args(Precision),
        help="(default: network all that the device supports, whole auto)",
    )
    add("--clip", type=Path, default=ROOT / "samples/clip.mp4", help="clip of the part precision")
    add(
        "--plate", type=Path, default=ROOT / "samples/plate.png", help="plate of the part precision"
    )
    add("--device", default="auto")
    add("--folder", type=Path, help="for clips and outputs (default: a temporary one)")
    add("--exact", action="store_true", help="use a lossless clip, which both decoders read alike")
    add("--docs", type=Path, default=ROOT / "docs", help="folder for the page and plot of scaling")
    add("--json", type=Path, help="write all figures to this file")
    add("--save", type=Path, help="append the tables to this file, such as benchmarks/RESULTS.md")
    args = parser.parse_args(argv)
    args.parts = args.parts or ["network", "whole"]
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"{', '.join(unknown)}: expected some of {', '.join(PARTS)}")
    try:
        args.sizes = {name: _size(name) for name in args.sizes}
    except ValueError as error:
        parser.error(str(error))
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = parse_args(argv)
    try:
        return _measure(args, sys.argv[1:] if argv is None else argv)
    except (OSError, ValueError, DeviceError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def _measure(args: argparse.Namespace, argv: Sequence[str]) -> int:
    device = resolve_device(args.device)
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(argv),
        "machine": describe(device),
    }
    place = nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory()
    with place as folder:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if "network" in args.parts:
            _say("network")
            report["network"] = time_networks(
                folder,
                device,
                backbones=args.backbones or list(reversed(BACKBONES)),
                sizes=args.sizes,
                precisions=[p for p in args.precisions or () if p != "auto"]
                or _precisions(device.type),
                repeats=args.repeats,
                say=_say,
            )
        if "whole" in args.parts:
            report["whole"] = [
                _whole(case, folder, str(device), args.exact) for case in _cases(args, device)
            ]
        if "precision" in args.parts:
            frames = args.frames or 8
            halves = [p for p in args.precisions or ["bf16", "fp16"] if p in {"bf16", "fp16"}]
            report["precision"] = precision.measure(
                args.clip, args.plate, device, frames=frames, halves=halves
            )
        if "memory" in args.parts:
            report["memory"] = memory.measure(args.sizes, folder, args.frames or 1000, _say)
        if "scaling" in args.parts:
            longest = args.frames or 3000
            report["scaling"] = scaling.measure(folder, str(device), _say, longest=longest)
        if "workers" in args.parts:
            frames = args.frames or 360
            report["workers"] = workers.measure(folder, _say, frames=frames, repeats=args.pairs)
    text = tables.markdown(report)
    print(text)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    if args.save:
        with args.save.open("a", encoding="utf-8") as file:
            file.write("\n" + text)
    if "scaling" in report:
        scaling.write_docs(report, tables.scaling(report["scaling"]), args.docs)
    return 0


def _whole(case: Case, folder: Path, device: str, exact: bool) -> dict[str, Any]:
    _say(f"{case.size[1]}x{case.size[0]} {case.outputs} {case.backbone} {case.precision}")
    return compare(case, folder, device, exact=exact, say=_say)


def _cases(args: argparse.Namespace, device: Any) -> list[Case]:
    lengths = (120, 40) if device.type == "cpu" else (300, 150)
    return [
        Case(
            size, args.frames or lengths[max(size) > 2880], outputs, backbone, precision, args.pairs
        )
        for backbone in args.backbones or ["mobilenetv2"]
        for precision in args.precisions or ["auto"]
        for size in args.sizes.values()
        for outputs in args.outputs
    ]


def _precisions(device: str) -> list[Precision]:
    return ["fp32", "bf16"] if device == "cpu" else ["fp32", "fp16", "bf16"]


def _size(name: str) -> tuple[int, int]:
    """(height, width) of a size name."""
    if name in SIZES:
        return SIZES[name]
    width, by, height = name.partition("x")
    if not (width.isdecimal() and by and height.isdecimal()):
        raise ValueError(f"--sizes {name}: expected hd, 4k or WIDTHxHEIGHT")
    return int(height), int(width)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
