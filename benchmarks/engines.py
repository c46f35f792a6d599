"""``python -m benchmarks.engines``: the convolutions of the base here and in OpenVINO.

Both run the same layers on one thread, in turn, in one process. The floor is the time in which the
machine's matrix product does as many multiplications. It needs ``pip install openvino``.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from model import Backbone, Precision, Predictor

from .machine import describe, sentence
from .weights import checkpoint, load

#: (height, width) of what the base looks at: a quarter of HD, and an eighth of 4K.
_SIZES = {"hd and 4k": (270, 480), "hd at 0.5": (540, 960)}
_SIDE = 2048


class Row(NamedTuple):
    """Medians of processor time in milliseconds."""

    backbone: Backbone
    size: str
    precision: Precision
    ours: float
    openvino: float
    floor: float
    difference: float


class Layers(nn.Module):
    """The layers of the base, from frame and plate to what the refiner reads."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, pair: Tensor) -> Tensor:
        deep, *skips = self.network.backbone(pair)
        out: Tensor = self.network.decoder([self.network.aspp(deep), *skips])
        return out


def measure(backbone: Backbone, size: str, precision: Precision, rounds: int) -> Row:
    """Time one network at one size, both ways and the matrix product in turn."""
    from openvino import Core, convert_model

    with tempfile.TemporaryDirectory() as folder:
        network = load(checkpoint(Path(folder), backbone), backbone, (1080, 1920))
    pair = torch.rand(1, 6, *_SIZES[size])
    plain = Layers(_fast(network, "fp32", packed=False))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        wanted = plain(pair)
    model = convert_model(plain, example_input=pair, input=[1, *pair.shape[1:]])
    hints = {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision]}
    hints |= {"INFERENCE_NUM_THREADS": "1", "NUM_STREAMS": "1"}
    request = Core().compile_model(model, "CPU", hints).create_infer_request()
    ours = Layers(_fast(network, precision, packed=True))
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    given = pair.to(dtype).contiguous(memory_format=torch.channels_last)
    square = torch.rand(_SIDE, _SIDE).to(dtype)

    def here() -> None:
        with torch.inference_mode():
            ours(given)

    ways: list[Callable[[], Any]] = [
        here,
        lambda: request.infer([pair.numpy()]),
        lambda: square @ square,
    ]
    spent: list[list[float]] = [[], [], []]
    for number in range(2 + rounds):
        for way, times in zip(ways, spent, strict=True):
            started = time.process_time()
            way()
            if number >= 2:  # the first calls prepare
                times.append(1000 * (time.process_time() - started))
    mine, theirs, product = map(statistics.median, spent)
    found = torch.from_numpy(next(iter(request.infer([pair.numpy()]).values())))
    return Row(
        backbone,
        size,
        precision,
        mine,
        theirs,
        product * counter.get_total_flops() / (2 * _SIDE**3),
        float((found - wanted).abs().max()),
    )


def _fast(network: nn.Module, precision: Precision, *, packed: bool) -> nn.Module:
    """The fast form of a network; not packed, it consists of PyTorch's own layers."""
    from model.fast import FastMattingRefine

    if not packed:
        return FastMattingRefine(network).eval()  # type: ignore[arg-type]
    return Predictor(network, torch.device("cpu"), precision=precision, warn=print).network


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| base | size | precision | ours, ms | OpenVINO, ms | floor, ms | OpenVINO differs by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        height, width = _SIZES[row.size]
        lines.append(
            f"| {row.backbone} | {width}x{height} ({row.size}) | {row.precision} | {row.ours:.0f} "
            f"| {row.openvino:.0f} | {row.floor:.0f} | {row.difference:.0e} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time the base here and in OpenVINO.")
    parser.add_argument("--backbones", nargs="+", default=["mobilenetv2", "resnet50"])
    parser.add_argument("--sizes", nargs="+", choices=_SIZES, default=list(_SIZES))
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32"])
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = [
        measure(backbone, size, precision, args.rounds)
        for backbone in args.backbones
        for size in args.sizes
        for precision in args.precisions
    ]
    print(table(rows))
    print()
    print(sentence(describe(torch.device("cpu"))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
