"""Video matting with a background plate: clip and plate in, subject with transparency out."""

import os
import signal
import sys

# As a program: until main() listens, Ctrl-C ends it there and then, without a traceback.
if os.path.basename(sys.argv[0]).split(".")[0] in ("inference_video", "inference-video") and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import logging
import platform
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

# Before PyTorch loads OpenMP, whose threads otherwise spin while they wait, and take the cores from
# those that decode and encode.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What OpenCV says of damaged files, in lines of its own; errors say it in one.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import av
import cv2
import torch
from torch import nn

from dataset import AutoPlate, PairLoader, PickedFrames
from model import DeviceError, Matter, MattingBase, resolve_device
from model.weights import SHA256
from pipeline import (
    PREVIEW_FRAMES,
    Console,
    Inputs,
    MattingResult,
    MendedPlate,
    Preview,
    Run,
    Settings,
    UsageError,
    alpha_steps,
    check_resumable,
    logger,
    look_first,
    made_from,
    open_inputs,
    open_network,
    pick_frames,
    read_flags,
    tidy_heap,
    with_mended_plate,
)
from writers import (
    KINDS,
    PLATE_NAME,
    PREVIEW_NAME,
    Clip,
    FrameWriter,
    ImageSequenceWriter,
    Kind,
    Output,
    RunFolder,
    VideoWriter,
    composer,
    listed_outputs,
    read_report,
    save_png,
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

#: Sinks by kind, opened as they are taken.
Sinks = Iterable[tuple[Kind, FrameWriter]]


def matte_video(
    *,
    network: nn.Module | None = None,
    writers: Mapping[Kind, FrameWriter] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    **flags: Any,
) -> MattingResult:
    """Matte a clip.

    Every flag of the command line is a keyword of the same name: :class:`pipeline.Settings` lists
    them with their defaults, ``--help`` describes them. Beyond these:

    Args:
        network: Used instead of a checkpoint: maps ``src`` and ``bgr`` to an output such as that
            of :class:`model.MattingRefine` or :class:`model.MattingBase`.
        writers: Sinks by kind, used instead of files in ``output_dir``, and closed once the run has
            begun. Unless ``output_format`` is ``video``, ``com`` comes with alpha, as 4 channels.
        progress: Called before anything is removed or written, after every batch, and now and then
            while one is waited for, with the frames done and the frames expected, if known.
            What it raises stops the run; everything written until then is closed and stays.

    Raises:
        UsageError: Settings do not go together.
        ValueError: The plate has another shape than the clip, or does not fit it and ``strict``.
        OSError: Something cannot be read or written; the message names it.
        DeviceError: The device is not there, or too small.
    """
    settings = Settings(**flags)
    settings.check()
    if settings.output_dir is None and writers is None:
        raise UsageError("--output-dir is needed")
    if (settings.preview_only or settings.resume) and writers is not None:
        flag = "--preview-only" if settings.preview_only else "--resume"
        raise UsageError(f"{flag} writes to a folder; give output_dir and no writers")
    if unknown := [kind for kind in writers or () if kind not in KINDS]:
        raise UsageError(f"writers for {', '.join(unknown)}: expected some of {', '.join(KINDS)}")
    result = MattingResult()
    files_read = settings.files_read()
    inputs = open_inputs(settings, result.warn)
    run_on = resolve_device(settings.device)
    with ThreadPoolExecutor(1) as aside:  # either takes about as long as the other
        looking = aside.submit(look_first, settings, inputs, result.warn)
        if network is None:
            settings, network = open_network(settings, longer_side=max(inputs.size))
        matter = Matter(network, run_on, precision=settings.precision, warn=result.warn)
    result.preflight = looking.result()
    kinds: list[Kind] = list(writers or dict.fromkeys(settings.output_types))
    if "ref" in kinds and type(network) is MattingBase:
        raise UsageError("--output-types ref needs a network with a refiner (mattingrefine)")
    inputs = with_mended_plate(settings, inputs, matter, result.warn)
    steps = alpha_steps(settings, inputs.size, result.warn)
    if settings.preview_only:
        kinds, inputs = [], pick_frames(inputs, PREVIEW_FRAMES)
    logger.debug("network: the %s path, %s, on %s", matter.path, matter.precision, run_on)
    loader = PairLoader(
        inputs.src,
        inputs.bgr,
        target=inputs.target,
        size=inputs.size if settings.video_resize else None,
        batch_size=settings.batch_size,
        align=settings.align,
        match=settings.match_plate,
        pin=run_on.type == "cuda",
        warn=result.warn,
    )
    clip = Clip(
        size=inputs.size,
        frame_rate=inputs.frame_rate,
        time_base=inputs.src.time_base,
        origin=inputs.src.origin,
        timestamps=loader.timestamps,
        audio=Path(settings.video_src) if inputs.src.time_base else None,
        image_extension=settings.image_extension,
        start_number=settings.start_number,
        crf=settings.crf,
        on_card=settings.on_card,
        warn=result.warn,
    )
    composers = {kind: composer(kind, has_alpha=settings.form.has_alpha) for kind in kinds}
    run = Run(loader, matter, composers, None, result, inputs.src.length_hint, progress)
    run.steps = steps
    if progress is not None and not settings.resume:
        progress(0, inputs.src.length_hint)  # the last moment to stop before files are removed
    if writers is not None:
        opening: Sinks = writers.items()
    else:
        settings = replace(settings, frame_rate=clip.frame_rate, precision=matter.precision)
        facts = {"settings": asdict(settings), "device": str(run_on), "versions": _versions()}
        opening = _open_folder(run, settings, clip, inputs, facts, files_read)
    if isinstance(inputs.bgr, AutoPlate | MendedPlate):
        run.prepare = partial(_find_plate, inputs.bgr, run)
    run.matte(opening)
    return result


def _open_folder(
    run: Run,
    settings: Settings,
    clip: Clip,
    inputs: Inputs,
    facts: dict[str, Any],
    files_read: Sequence[Path],
) -> Sinks:
    """Give the run its folder and its contact sheet; the sinks open one by one, when it begins."""
    root = Path(settings.output_dir or "")
    outputs = [settings.form.plan(kind, clip) for kind in run.composers]
    if settings.form.resumable:
        for output in outputs:
            output.made_from = made_from(settings, output)
    if settings.resume:
        check_resumable(root, outputs, listed_outputs(read_report(root)))
    side = [Output("preview", PREVIEW_NAME)]
    if isinstance(inputs.bgr, AutoPlate | MendedPlate):
        side.append(Output("plate", PLATE_NAME))
    run.folder = folder = RunFolder(
        root,
        [*outputs, *side],
        overwrite=settings.overwrite,
        resume=settings.resume,
        inputs=files_read,
        facts=facts,
    )
    done = folder.done // settings.batch_size * settings.batch_size  # whole batches
    run.result.frames = run.result.resumed = done
    clip = replace(clip, done=done)
    named = [o for o in folder.outputs if settings.preview_only or o.kind != "preview"]
    run.result.outputs = [folder.root / output.path for output in named]
    names = inputs.src.numbers if isinstance(inputs.src, PickedFrames) else ()
    run.preview = Preview((inputs.src.length_hint or done) - done, names)
    return (
        (kind, settings.form.open(output, folder.root, clip))
        for kind, output in zip(run.composers, outputs, strict=True)
    )


def _find_plate(plate: AutoPlate | MendedPlate, run: Run) -> None:
    """Find the plate before the first frame, and save it to the run's folder.

    One that is there stays: the run is resumed, and somebody may have painted over it.
    """
    done = run.result.resumed
    found = plate.find(lambda: run.progress(done, run.expected) if run.progress else None)
    if isinstance(plate, MendedPlate):
        run.result.mending = {"share": round(plate.share, 4)}
    path = run.folder.root / PLATE_NAME if run.folder is not None else None
    if path is not None and not path.exists():
        save_png(path, found)


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
    """Read the command line; what it leaves out has the default of :class:`pipeline.Settings`."""
    defaults = {f.name: f.default for f in fields(Settings) if f.default is not MISSING}
    return read_flags(sys.argv[1:] if argv is None else argv, defaults, version=__version__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0, 1 for a failure, 2 for settings that do not go together, 130 after
        Ctrl-C and 143 after SIGTERM.
    """
    tidy_heap()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # errors say in one line what is wrong
    args = vars(parse_args(argv))
    debug = args.pop("debug")
    console = Console(level=logging.DEBUG if debug else logging.WARNING)
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
    outputs = ", ".join(str(path) for path in result.outputs)
    console.say(
        f"{result.frames - result.resumed} frames in {result.seconds:.1f} s "
        f"({result.speed:.1f} a second): {outputs}"
    )
    console.say(result.bottleneck)
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
