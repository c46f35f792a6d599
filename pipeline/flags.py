"""The flags of the command line."""

import argparse
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NoReturn

from dataset import ALIGN_MODES
from model import BACKBONES, HD_LIMIT, MODEL_TYPES, PRECISIONS, REFINE_MODES
from writers import ENCODERS, FORMATS, KINDS

from .settings import DESPECKLE, HWACCELS

#: The flags of the paper's script. Any abbreviation that was unambiguous among them stays so.
_ORIGINAL_FLAGS = (
    "--model-type",
    "--model-backbone",
    "--model-backbone-scale",
    "--model-checkpoint",
    "--model-refine-mode",
    "--model-refine-sample-pixels",
    "--model-refine-threshold",
    "--model-refine-kernel-size",
    "--video-src",
    "--video-bgr",
    "--video-target-bgr",
    "--video-resize",
    "--device",
    "--preprocess-alignment",
    "--output-dir",
    "--output-types",
    "--output-format",
)


def read_flags(
    argv: Sequence[str], defaults: Mapping[str, Any], *, version: str
) -> argparse.Namespace:
    """Read a command line; exits with status 2 if it is wrong.

    Args:
        argv: The arguments.
        defaults: Values of the flags that are left out, by name.
        version: What ``--version`` prints.
    """
    parser = _Parser(
        prog="inference-video",
        description="Cut a subject out of a clip, given the empty scene (the plate).",
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bgmv2 {version}")
    parser.add_argument(
        "--debug",
        action="store_true",
        help="show the traceback of an error, and which form of the network is used",
    )
    _add_input_flags(parser.add_argument_group("input"))
    _add_model_flags(parser.add_argument_group("network"))
    _add_output_flags(parser.add_argument_group("output"))
    _add_device_flags(parser.add_argument_group("machine"))
    parser.set_defaults(**defaults)
    return parser.parse_args([_unabbreviated(argument) for argument in argv])


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (--help describes every flag)\n")


def _frame_rate(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames a second") from error


class _HelpFormatter(argparse.HelpFormatter):
    """Says the default behind every flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        is_switch = action.nargs == 0 or action.default is False
        if text and not is_switch and action.default not in (None, argparse.SUPPRESS):
            default = action.default
            text += f" (default: {' '.join(default) if isinstance(default, tuple) else default})"
        return text


def _add_input_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--video-src", required=True, metavar="PATH", help="the clip: a video or a folder of images"
    )
    group.add_argument(
        "--video-bgr",
        required=True,
        metavar="PATH|CLIP@TIME|auto",
        help="the plate, the same scene without the subject: an image, or a video or a folder of "
        "images with one plate a frame, of which the last one holds; CLIP@TIME, as in "
        "shot.mp4@00:00:02.5, is one frame of a clip; auto makes a plate from a clip in which the "
        "camera stands still and the subject moves about, and saves it as plate.png",
    )
    group.add_argument(
        "--video-target-bgr",
        metavar="PATH|COLOUR",
        help="what a composited video shows behind the subject: an image or a video (fitted by "
        "cover; a short one loops), or a colour such as #78ff9b, 120,255,155 or teal (default: "
        "120,255,155)",
    )
    group.add_argument(
        "--video-resize",
        nargs=2,
        type=int,
        metavar=("WIDTH", "HEIGHT"),
        help="resize the clip and the plate first",
    )
    group.add_argument(
        "--preprocess-alignment",
        nargs="?",
        const=True,
        choices=ALIGN_MODES,
        help="lay the plate over each frame, for a camera that was moved or hand-held; static "
        "finds one place for the whole clip, for a tripod that was bumped before or after it",
    )
    group.add_argument(
        "--match-plate",
        action="store_true",
        help="bring the plate to the exposure and white balance of each frame",
    )
    group.add_argument(
        "--mend-plate",
        action="store_true",
        help="matte up to 48 frames first, two or three times, replace what is wrong in the plate "
        "by what they show where nobody stands, and save it as plate.png",
    )
    group.add_argument(
        "--garbage-matte",
        metavar="PATH",
        help="an image that is black where there is background for certain, and white where the "
        "network decides",
    )
    group.add_argument(
        "--no-preflight",
        action="store_false",
        dest="preflight",
        help="leave out the look at plate and clip before the run",
    )
    group.add_argument(
        "--strict",
        action="store_true",
        help="stop, before anything is written, at what that look would warn of",
    )
    group.add_argument(
        "--frame-rate",
        type=_frame_rate,
        metavar="FPS",
        help="of a folder of images, which has none of its own; 24000/1001 is fine (default: 30)",
    )


def _add_model_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model-checkpoint",
        metavar="PATH",
        help="weights: a state dict, TorchScript or safetensors (default: the built-in ones)",
    )
    group.add_argument(
        "--model-type",
        choices=MODEL_TYPES,
        help="mattingbase leaves the refiner out (default: as the checkpoint)",
    )
    group.add_argument(
        "--model-backbone", choices=BACKBONES, help="checked against the checkpoint, if given"
    )
    group.add_argument(
        "--model-backbone-scale",
        type=float,
        metavar="SCALE",
        help="size at which the base network sees the frame (default: 0.25 up to a longer side of "
        f"{HD_LIMIT} px, 0.125 above)",
    )
    group.add_argument(
        "--model-refine-mode",
        choices=REFINE_MODES,
        help="refine a number of pixels, those above a predicted error, or all",
    )
    group.add_argument(
        "--model-refine-sample-pixels",
        type=int,
        metavar="N",
        help=f"pixels to refine in a frame (default: 80000 up to a longer side of {HD_LIMIT} px, "
        "320000 above)",
    )
    group.add_argument(
        "--model-refine-threshold",
        type=float,
        metavar="ERROR",
        help="predicted error above which thresholding refines",
    )
    group.add_argument(
        "--model-refine-kernel-size",
        type=int,
        choices=(1, 3),
        help="checked against the checkpoint, if given",
    )


def _add_output_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output-dir", required=True, metavar="PATH", help="folder for everything that is written"
    )
    group.add_argument(
        "--output-types",
        nargs="+",
        choices=KINDS,
        metavar="KIND",
        help="com: the subject cut out (images) or composited (video); pha: alpha; fgr: the "
        "subject's colours; err: the predicted error; ref: what was refined",
    )
    group.add_argument(
        "--despeckle",
        nargs="?",
        const=True,
        type=float,
        metavar="PERCENT",
        help="remove bits of alpha that hang together with nothing larger, up to that much of the "
        f"frame ({DESPECKLE} if no number is given)",
    )
    group.add_argument(
        "--smooth-alpha",
        action="store_true",
        help="average alpha over time where nothing moves, so that edges don't flicker",
    )
    group.add_argument(
        "--preview-only",
        action="store_true",
        help="matte five frames across the clip, write preview.png, and stop",
    )
    group.add_argument("--output-format", choices=tuple(FORMATS), help="what to write")
    group.add_argument(
        "--image-extension",
        choices=tuple(ENCODERS),
        help="of all images; png is lossless (default: png for com, jpg for the others)",
    )
    group.add_argument("--start-number", type=int, metavar="N", help="number of the first image")
    group.add_argument(
        "--crf", type=int, metavar="N", help="quality of videos, from 0 (lossless) to 51 (worst)"
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="remove what an earlier run wrote to the folder, and nothing else",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on where an earlier run into the folder stopped; for image sequences",
    )


def _add_device_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device", metavar="NAME", help="auto (cuda, then mps, then cpu), cpu, mps, cuda or cuda:N"
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the convolutions; auto is fp16 on CUDA, bf16 on CPUs made for it, and else fp32",
    )
    group.add_argument(
        "--batch-size", type=int, metavar="N", help="frames that go through the network together"
    )
    group.add_argument(
        "--hwaccel",
        choices=HWACCELS,
        help="auto has an NVIDIA card decode the clip and encode videos, where it can; such a card "
        "conceals damage within a picture without a word",
    )


def _unabbreviated(argument: str) -> str:
    """Complete a shortened flag of the paper's script, which a newer one might make ambiguous."""
    flag, equals, value = argument.partition("=")
    if not flag.startswith("--") or len(flag) < 3 or flag in _ORIGINAL_FLAGS:
        return argument
    meant = [name for name in _ORIGINAL_FLAGS if name.startswith(flag)]
    return meant[0] + equals + value if len(meant) == 1 else argument
