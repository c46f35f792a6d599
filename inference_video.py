"""Video matting with a background plate: clip and plate in, subject with transparency out."""

import argparse
import inspect
import platform
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import torch
from torch import nn

from dataset import FlatColour, FrameSource, PairLoader, open_source, parse_colour
from model import (
    Backbone,
    DeviceError,
    Matter,
    MattingBase,
    MattingRefine,
    ModelType,
    Precision,
    RefineMode,
    default_sample_pixels,
    default_scale,
    load_network,
    resolve_device,
)
from model.weights import SHA256
from pipeline import Console, MattingResult, Run, read_flags
from writers import (
    ENCODERS,
    FORMATS,
    KINDS,
    Clip,
    FrameWriter,
    ImageSequenceWriter,
    Kind,
    RunFolder,
    VideoWriter,
    composer,
)

__all__ = [
    "ImageSequenceWriter",
    "MattingResult",
    "UsageError",
    "VideoWriter",
    "main",
    "matte_video",
    "parse_args",
]
__version__ = "0.1.0"

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
#: Frames per second of a folder of images, unless something else is said.
_IMAGE_RATE = 30
#: Flat background of composited videos.
_GREEN = (120, 255, 155)


class UsageError(ValueError):
    """Settings that do not go together, or a value out of its range."""


def matte_video(
    *,
    video_src: str | Path,
    video_bgr: str | Path,
    output_dir: str | Path | None = None,
    video_target_bgr: str | None = None,
    video_resize: Sequence[int] | None = None,
    frame_rate: Fraction | float | None = None,
    preprocess_alignment: bool = False,
    model_checkpoint: str | Path | None = None,
    model_type: ModelType | None = None,
    model_backbone: Backbone | None = None,
    model_backbone_scale: float | None = None,
    model_refine_mode: RefineMode = "sampling",
    model_refine_sample_pixels: int | None = None,
    model_refine_threshold: float = 0.7,
    model_refine_kernel_size: int | None = None,
    output_types: Sequence[Kind] = ("com",),
    output_format: str = "video",
    image_extension: str | None = None,
    start_number: int = 0,
    crf: int = 18,
    overwrite: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
    batch_size: int = 1,
    network: nn.Module | None = None,
    writers: Mapping[Kind, FrameWriter] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> MattingResult:
    """Matte a clip.

    Every flag of the command line is a keyword of the same name; ``--help`` describes them. Beyond
    these:

    Args:
        network: Used instead of a checkpoint: maps ``src`` and ``bgr`` to an output such as that
            of :class:`model.MattingRefine` or :class:`model.MattingBase`.
        writers: Sinks by kind, used instead of files in ``output_dir``, and closed once the run has
            begun. Unless ``output_format`` is ``video``, ``com`` comes with alpha, as 4 channels.
        progress: Called after every batch with the frames done and the frames expected, if known.
            What it raises stops the run; everything written until then is closed and stays.

    Raises:
        UsageError: Settings do not go together.
        ValueError: The plate has another shape than the clip.
        OSError: Something cannot be read or written; the message names it.
        DeviceError: The device is not there, or too small.
    """
    settings = {k: v for k, v in locals().items() if k not in ("network", "writers", "progress")}
    _check(settings, own_writers=writers is not None)
    result = MattingResult()
    if unknown := [kind for kind in writers or () if kind not in KINDS]:
        raise UsageError(f"writers for {', '.join(unknown)}: expected some of {', '.join(KINDS)}")
    form = FORMATS[output_format]
    src, bgr, target = _open_sources(settings, result.warn)
    size = (video_resize[1], video_resize[0]) if video_resize else src.size
    run_on = resolve_device(device)
    if network is None:
        network = _load(settings, longer_side=max(size))
    kinds: list[Kind] = list(writers or dict.fromkeys(output_types))
    if "ref" in kinds and type(network) is MattingBase:
        raise UsageError("--output-types ref needs a network with a refiner (mattingrefine)")
    matter = Matter(network, run_on, precision=precision, warn=result.warn)
    loader = PairLoader(
        src,
        bgr,
        target=None if form.has_alpha else target or FlatColour(_GREEN, size),
        size=size if video_resize else None,
        batch_size=batch_size,
        align=preprocess_alignment,
        pin=run_on.type == "cuda",
        warn=result.warn,
    )
    clip = Clip(
        size=size,
        frame_rate=src.frame_rate or Fraction(frame_rate or _IMAGE_RATE),
        time_base=src.time_base,
        timestamps=loader.timestamps,
        audio=Path(video_src) if src.time_base else None,
        image_extension=image_extension,
        start_number=start_number,
        crf=crf,
        warn=result.warn,
    )
    folder: RunFolder | None = None
    opening: Iterable[tuple[Kind, FrameWriter]]
    if writers is not None:
        opening = writers.items()
    else:
        settings |= {"frame_rate": clip.frame_rate, "precision": matter.precision}
        facts = {"settings": settings, "device": str(run_on), "versions": _versions()}
        outputs = [form.plan(kind, clip) for kind in kinds]
        folder = RunFolder(
            Path(output_dir or ""),
            outputs,
            overwrite=overwrite,
            inputs=[
                Path(p) for p in (video_src, video_bgr, video_target_bgr, model_checkpoint) if p
            ],
            facts=facts,
        )
        result.outputs = [folder.root / output.path for output in outputs]
        opening = ((output.kind, form.open(output, folder.root, clip)) for output in outputs)
    if src.frame_rate and frame_rate:
        result.warn(f"--frame-rate has no effect on {src.name}, which has a rate of its own")
    composers = {kind: composer(kind, has_alpha=form.has_alpha) for kind in kinds}
    run = Run(loader, matter, composers, folder, result, src.length_hint, progress)
    run.matte(opening)
    return result


def _check(settings: Mapping[str, Any], *, own_writers: bool) -> None:
    """Refuse settings that cannot work, before anything is opened."""
    if settings["output_format"] not in FORMATS:
        names = ", ".join(FORMATS)
        raise UsageError(f"--output-format {settings['output_format']}: expected one of {names}")
    if settings["output_dir"] is None and not own_writers:
        raise UsageError("--output-dir is needed")
    unknown = [kind for kind in settings["output_types"] if kind not in KINDS]
    if unknown or not settings["output_types"]:
        raise UsageError(f"--output-types {' '.join(unknown)}: expected some of {', '.join(KINDS)}")
    extension = settings["image_extension"]
    if extension not in (None, *ENCODERS):
        raise UsageError(f"--image-extension {extension}: expected one of {', '.join(ENCODERS)}")
    has_alpha = FORMATS[settings["output_format"]].has_alpha
    if extension in ("jpg", "jpeg") and has_alpha and "com" in settings["output_types"]:
        raise UsageError(f"--image-extension {extension} holds no alpha, which com needs; use png")
    if "ref" in settings["output_types"] and settings["model_type"] == "mattingbase":
        raise UsageError("--output-types ref needs --model-type mattingrefine")
    scale, resize = settings["model_backbone_scale"], settings["video_resize"]
    pixels = settings["model_refine_sample_pixels"]
    for flag, value, fits, expected in (
        ("--device", settings["device"], _DEVICE.fullmatch, "auto, cpu, mps, cuda or cuda:N"),
        ("--batch-size", settings["batch_size"], lambda x: x >= 1, "1 or more"),
        ("--crf", settings["crf"], lambda x: 0 <= x <= 51, "0 to 51"),
        ("--start-number", settings["start_number"], lambda x: x >= 0, "0 or more"),
        ("--frame-rate", settings["frame_rate"], lambda x: x > 0, "more than 0"),
        ("--model-backbone-scale", scale, lambda x: 0 < x <= 0.5, "more than 0, up to 0.5"),
        ("--model-refine-sample-pixels", pixels, lambda x: x >= 0, "0 or more"),
        ("--video-resize", resize, lambda x: len(x) == 2 and min(x) >= 1, "WIDTH HEIGHT"),
    ):
        if value is not None and not fits(value):
            raise UsageError(f"{flag} {value}: expected {expected}")


def _open_sources(
    settings: Mapping[str, Any], warn: Callable[[str], None]
) -> tuple[FrameSource, FrameSource, FrameSource | None]:
    """The clip, its plate, and what to composite over (None for the flat colour)."""
    src = open_source(settings["video_src"], warn, hold=False)
    bgr = open_source(settings["video_bgr"], warn)
    text = settings["video_target_bgr"]
    if text is None:
        return src, bgr, None
    if FORMATS[settings["output_format"]].has_alpha:
        warn("--video-target-bgr has no effect on image sequences, which keep their alpha")
        return src, bgr, None
    if Path(text).exists():
        return src, bgr, open_source(text, warn)
    colour = parse_colour(str(text))
    if colour is None:
        raise UsageError(
            f"--video-target-bgr {text}: neither a file nor a colour such as #78ff9b, "
            "120,255,155 or teal"
        )
    return src, bgr, FlatColour(colour, src.size)


def _load(settings: dict[str, Any], *, longer_side: int) -> MattingBase:
    """Load the network, and note in ``settings`` what was left to the checkpoint or the size."""
    if settings["model_backbone_scale"] is None:
        settings["model_backbone_scale"] = default_scale(longer_side)
    if settings["model_refine_sample_pixels"] is None:
        settings["model_refine_sample_pixels"] = default_sample_pixels(longer_side)
    network = load_network(
        settings["model_checkpoint"],
        model_type=settings["model_type"],
        backbone=settings["model_backbone"],
        backbone_scale=settings["model_backbone_scale"],
        refine_mode=settings["model_refine_mode"],
        refine_sample_pixels=settings["model_refine_sample_pixels"],
        refine_threshold=settings["model_refine_threshold"],
        refine_kernel_size=settings["model_refine_kernel_size"],
    )
    settings["model_checkpoint"] = settings["model_checkpoint"] or "built-in"
    settings["model_type"] = type(network).__name__.lower()
    settings["model_backbone"] = network.backbone_name
    if isinstance(network, MattingRefine):
        settings["model_refine_kernel_size"] = network.refiner.kernel_size
    return network


def _versions() -> dict[str, str]:
    return {
        "bgmv2": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "av": av.__version__,
        "opencv": cv2.__version__,
        "built-in weights": SHA256,
    }


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; what it leaves out has the default of :func:`matte_video`."""
    signature = inspect.signature(matte_video).parameters.values()
    defaults = {p.name: p.default for p in signature if p.default is not p.empty}
    for keyword in ("network", "writers", "progress"):  # for programs only
        del defaults[keyword]
    return read_flags(sys.argv[1:] if argv is None else argv, defaults, version=__version__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0, 1 for a failure, 2 for settings that do not go together, 130 after
        Ctrl-C and 143 after SIGTERM.
    """
    args = vars(parse_args(argv))
    debug = args.pop("debug")
    console = Console()
    with console:
        try:
            result = matte_video(**args, progress=console.progress)
        except KeyboardInterrupt:
            console.say("stopped; what was written until now is kept")
            return 128 + (console.signal or signal.SIGINT)
        except Exception as error:
            if debug:
                traceback.print_exc()
            console.say(f"error: {_one_line(error)}")
            return 2 if isinstance(error, UsageError) else 1
    speed = result.frames / result.seconds
    outputs = ", ".join(str(path) for path in result.outputs)
    console.say(
        f"{result.frames} frames in {result.seconds:.1f} s ({speed:.1f} a second): {outputs}"
    )
    return 0


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, (OSError, ValueError, DeviceError)):
        return text
    return f"{type(error).__name__}: {text}; this is a defect, --debug shows where"


if __name__ == "__main__":
    sys.exit(main())
