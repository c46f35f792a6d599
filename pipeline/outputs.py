"""The outputs of a run: which there are, the folder they go to, and the sinks that write them."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import torch

from dataset import FrameSource, VideoSource
from model.weights import SHA256
from writers import (
    Clip,
    FrameWriter,
    Kind,
    Output,
    RunFolder,
    SideKind,
    listed_outputs,
    plan_output,
    preview_name,
    read_reports,
    timecodes_name,
)

from .frames import FrameNumbers
from .inputs import Inputs
from .resume import check_resumable, made_from
from .settings import Settings, as_dict
from .version import __version__


def plan_outputs(
    settings: Settings, kinds: Sequence[Kind], inputs: Inputs, frames: FrameNumbers
) -> dict[Kind, Output]:
    """The outputs by kind.

    Args:
        settings: Their formats, names and options.
        kinds: The kinds.
        inputs: What they are made from.
        frames: The frames of the run.

    Raises:
        WriteError: A format does not hold frames of that size.
    """
    outputs: dict[Kind, Output] = {}
    for kind in kinds:
        form = settings.format_of(kind)
        output = plan_output(
            kind,
            form,
            inputs.size,
            name=settings.output_name,
            digits=frames.numbering.digits,
            label=frames.label,
        )
        options = settings.options_of(kind, deep=inputs.src.deep)
        output.made_from = made_from(settings, output, options, inputs.src, frames)
        outputs[kind] = output
    return outputs


def open_folder(
    settings: Settings,
    outputs: Mapping[Kind, Output],
    frames: FrameNumbers,
    src: FrameSource,
    *,
    plate_files: Mapping[SideKind, str],
    begin: Fraction | None,
    frame_rate: Fraction,
    device: str,
) -> RunFolder:
    """The folder of a run, with room for its outputs.

    Args:
        settings: With what the checkpoint, the clip and the device decided.
        outputs: What the run writes.
        frames: The frames of the run.
        src: The clip.
        plate_files: Names of the files that it keeps of the plate.
        begin: Time at which its frames begin, in seconds; None without a clock.
        frame_rate: Frames per second of the outputs.
        device: Where the network runs.

    Raises:
        UsageError: The run is to resume another one, whose frames were made from something else.
        OutputsExistError, WriteError: As :class:`writers.RunFolder`.
    """
    root = Path(settings.output_dir or "")
    planned = list(outputs.values())
    if settings.resume:
        reports = read_reports(root).values()
        earlier = [output for report in reports for output in listed_outputs(report)]
        check_resumable(root, planned, earlier, src, frames)
    side = [] if settings.plate_only else [Output("preview", preview_name(frames.label))]
    side += [Output(kind, name) for kind, name in plate_files.items()]
    if isinstance(src, VideoSource) and any(output.extension for output in planned):
        side.append(Output("timecodes", timecodes_name(frames.label)))
    resolved = {
        **as_dict(settings),
        "frame_rate": frame_rate,
        "model_checkpoint": settings.model_checkpoint or "built-in",
    }
    facts: dict[str, Any] = {"settings": resolved, "device": device, "versions": _versions()}
    if not frames.is_whole:
        facts |= {"range": frames.text, "clip": frames.clip, "rate": str(frame_rate)}
    if begin is not None:
        facts |= {"begin": str(begin), "origin": str(src.origin)}
    return RunFolder(
        root,
        [*planned, *side],
        label=frames.label,
        numbers=frames.numbers,
        overwrite=settings.overwrite,
        resume=settings.resume,
        inputs=settings.files_read(),
        facts=facts,
    )


def open_sinks(
    settings: Settings, outputs: Mapping[Kind, Output], root: Path, clip: Clip, *, deep: bool
) -> Iterator[tuple[Kind, FrameWriter]]:
    """The sinks by kind, each opened when it is taken.

    Args:
        settings: Give each format its options.
        outputs: What the sinks write.
        root: The run's folder.
        clip: What the sinks need to know of the clip.
        deep: The clip has more than 8 bits a level.
    """
    for kind, output in outputs.items():
        form = settings.format_of(kind)
        options = settings.options_of(kind, deep=deep)
        sink = form.open(output, root, clip, options)
        alpha = (settings.alpha or form.alpha) if kind == "com" else None
        output.holds = {**sink.holds, "alpha": alpha if form.alpha else None}
        yield kind, sink


def _versions() -> dict[str, str]:
    return {
        "bgmv2": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "av": av.__version__,
        "opencv": cv2.__version__,
        "built-in weights": SHA256,
    }
