"""Settings: everything that a user can set, each declared once.

The command line, the checks, what ``--resume`` compares, the files that a run reads and the table
of flags in the docs follow from the declarations. This module is read for ``--help``, which does
not wait for PyTorch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_type_hints

from dataset.coding import Matrix, Range
from media import FrameRange
from model.names import HD_LIMIT, Backbone, ModelType, Precision, RefineMode
from plate.names import AlignMode, plate_file
from writers.formats import (
    FORMATS,
    IMAGE_EXTENSIONS,
    IMAGE_SEQUENCES,
    OUTPUT_FORMATS,
    Alpha,
    Depth,
    ExrCompression,
    Format,
    Kind,
    default_extension,
)
from writers.formats import (
    format_list as format_list,
)

from .checks import check_together
from .declaration import A_NUMBER, Rule, Setting, flag, matching, within

_input, _network = partial(flag, "input"), partial(flag, "network")
_output, _machine = partial(flag, "output"), partial(flag, "machine")


def _parse_rate(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{text!r} is not a number of frames per second") from error


def _parse_workers(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: expected 1 or more, or auto") from error


def _parse_scale(text: str) -> float | str:
    try:
        return text if text == "auto" else float(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: expected a number up to 0.5, or auto") from error


def _is_scale(value: float | str) -> bool:
    return value == "auto" if isinstance(value, str) else 0 < value <= 0.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One field for each flag of the command line; a field's metadata describes it.

    None means that the clip, the checkpoint or the kind of output decides.

    Raises:
        UsageError: A value is out of its range, or two do not go together.
    """

    video_src: str | Path = field(
        metadata=_input(
            "the clip: a video or a folder of images; - reads NUT, Matroska or Y4M from a pipe",
            metavar="PATH",
            reads=True,
        )
    )
    video_bgr: str | Path = field(
        metadata=_input(
            "the plate, the same scene without the subject: an image, or a video or a folder of "
            "images with one plate a frame, of which the last one holds; CLIP@TIME, as in "
            "shot.mp4@00:00:02.5, is one frame of a clip; auto makes a plate from a clip in which "
            "the subject moves about, while the camera stands still, turns or zooms, and saves it "
            "as plate.png; auto:CLIP makes it from another clip of the same place, such as the "
            "whole of which this one is a cut",
            metavar="PATH|CLIP@TIME|auto|auto:CLIP",
            reads=True,
        )
    )
    video_target_bgr: str | Path | None = field(
        default=None,
        metadata=_input(
            "what a composited video shows behind the subject: an image or a video (scaled to "
            "cover the frame; a short one loops), or a colour such as #78ff9b, 120,255,155 or teal",
            metavar="PATH|COLOUR",
            default="120,255,155",
            affects="video",
            reads=True,
        ),
    )
    input_colorspace: str = field(
        default="auto",
        metadata=_input(
            "colour space of the clip and the plate: srgb, linear, or one of OpenColorIO such as "
            "'ARRI LogC4' or 'S-Log3 S-Gamut3.Cine'; auto takes floats (EXR, TIFF) as linear and "
            "all others as sRGB or as their profile says",
            metavar="NAME",
        ),
    )
    input_matrix: Matrix = field(
        default="auto",
        metadata=_input(
            "matrix of the clip, and of a plate that is a video; auto takes that of the tags, "
            "without tags the one in which background and plate agree, and else BT.709 from 720 "
            "lines up and BT.601 below"
        ),
    )
    input_range: Range = field(
        default="auto",
        metadata=_input(
            "range of their levels; auto likewise, and else limited",
        ),
    )
    frames: FrameRange | None = field(
        default=None,
        metadata=_input(
            "only these frames: 1001-1100, 1001-1100x5 (every fifth), 1-20,40-60, or times such as "
            "00:00:02.5-00:00:04; a sequence has its own numbers, a video counts from "
            "--start-number; each frame is the same as in a run over the whole clip",
            metavar="RANGE",
            default="all",
            parse=FrameRange.parse,
            affects="nothing",
        ),
    )
    input_alpha: Literal["ignore", "multiply"] = field(
        default="ignore",
        metadata=_input(
            "alpha of the clip: ignore it, or multiply the alpha that is found by it, so that "
            "colours which it hides stay hidden"
        ),
    )
    video_resize: tuple[int, int] | None = field(
        default=None,
        metadata=_input(
            "resize the clip and the plate first", metavar=("WIDTH", "HEIGHT"), rule=within(1)
        ),
    )
    preprocess_alignment: bool | AlignMode = field(
        default=False,
        metadata=_input(
            "align the plate with each frame, for a camera that was moved or hand-held; static "
            "aligns it once for the whole clip, for a tripod that was bumped before or after it",
            bare="frame",
        ),
    )
    match_plate: bool = field(
        default=False,
        metadata=_input("bring the plate to the exposure and white balance of each frame"),
    )
    mend_plate: bool = field(
        default=False,
        metadata=_input(
            "repair the plate: matte up to 48 frames first, two or three times, put what they show "
            "where nobody stands in place of what is wrong, and save the result as plate.png"
        ),
    )
    garbage_matte: str | Path | None = field(
        default=None,
        metadata=_input(
            "black where there is background for certain, and white where the network decides: an "
            "image, or one for each frame of the clip (a folder, a pattern or a video)",
            metavar="PATH",
            reads=True,
        ),
    )
    core_matte: str | Path | None = field(
        default=None,
        metadata=_input(
            "white where there is the subject for certain, and black where the network decides: an "
            "image, or one for each frame; closes holes in the subject, and leaves its edge alone",
            metavar="PATH",
            reads=True,
        ),
    )
    preflight: bool = field(
        default=True,
        metadata=_input("leave out the check of plate and clip before the run", affects="nothing"),
    )
    strict: bool = field(
        default=False,
        metadata=_input(
            "stop, before anything is written, where that check would warn", affects="nothing"
        ),
    )
    frame_rate: Fraction | float | str | None = field(
        default=None,
        metadata=_input(
            "frames per second of a folder of images, which has no rate of its own; 24000/1001 is "
            "fine",
            metavar="FPS",
            default="30",
            parse=_parse_rate,
            rule=Rule(lambda x: Fraction(1, 1000) <= x <= 1000, "0.001 to 1000"),
            affects="video",
        ),
    )

    model_checkpoint: str | Path | None = field(
        default=None,
        metadata=_network(
            "weights: a state dict, TorchScript or safetensors",
            metavar="PATH",
            default="the built-in ones",
            reads=True,
        ),
    )
    model_type: ModelType | None = field(
        default=None,
        metadata=_network("mattingbase leaves the refiner out", default="as the checkpoint"),
    )
    model_backbone: Backbone | None = field(
        default=None, metadata=_network("checked against the checkpoint, if given")
    )
    region: Literal["full", "auto"] = field(
        default="full",
        metadata=_network(
            "where the network looks: at the full frame, or, with auto, only at boxes around what "
            "a first look finds in it and not in the plate; elsewhere alpha is 0"
        ),
    )
    model_backbone_scale: float | str | None = field(
        default=None,
        metadata=_network(
            "size at which the base network sees the frame, relative to it; auto, the default of "
            "--region auto, takes the largest at which the boxes of a frame cost about as much as "
            "a full frame",
            metavar="SCALE|auto",
            default=f"0.25 up to a longer side of {HD_LIMIT} px, 0.125 above",
            parse=_parse_scale,
            rule=Rule(_is_scale, "auto, or more than 0, up to 0.5"),
        ),
    )
    model_refine_mode: RefineMode = field(
        default="sampling",
        metadata=_network("refine a number of pixels, those above a predicted error, or all"),
    )
    model_refine_sample_pixels: int | None = field(
        default=None,
        metadata=_network(
            "pixels to refine in a frame",
            metavar="N",
            default=f"80000 up to a longer side of {HD_LIMIT} px, 320000 above",
            rule=within(0),
        ),
    )
    model_refine_threshold: float = field(
        default=0.7,
        metadata=_network(
            "predicted error above which thresholding refines", metavar="ERROR", rule=A_NUMBER
        ),
    )
    model_refine_kernel_size: Literal[1, 3] | None = field(
        default=None, metadata=_network("checked against the checkpoint, if given")
    )

    output_dir: str | Path | None = field(
        default=None,
        metadata=_output(
            "folder for everything that is written; - writes nut to a pipe",
            metavar="PATH",
            affects="nothing",
        ),
    )
    output_types: Sequence[Kind] = field(
        default=("com",),
        metadata=_output(
            "com: the subject cut out, or composited where the format holds no alpha; pha: alpha; "
            "fgr: the subject's colours; err: the predicted error; ref: what was refined",
            metavar="KIND",
            affects="nothing",
        ),
    )
    output_format: str = field(
        default="video",
        metadata=_output(
            "what to write: an image for each frame, or a video; video (H.264), hevc and av1 hold "
            "no alpha, the others do",
            choices=OUTPUT_FORMATS,
            affects="nothing",
        ),
    )
    image_extension: str | None = field(
        default=None,
        metadata=_output(
            "format of all images; png is lossless",
            choices=IMAGE_EXTENSIONS,
            default="png for com, jpg for the others",
        ),
    )
    bit_depth: Depth | None = field(
        default=None,
        metadata=_output(
            "bits of a level, or half or full floats",
            default="8; half for exr; 16 for a clip of more than 8 bits where the format holds it",
        ),
    )
    alpha: Alpha | None = field(
        default=None,
        metadata=_output(
            "whether the colours of com are multiplied by alpha",
            default="premultiplied for exr, straight for the others",
        ),
    )
    exr_compression: ExrCompression = field(
        default="zip",
        metadata=_output("compression of EXR files; dwaa and dwab lose a little"),
    )
    start_number: int | None = field(
        default=None,
        metadata=_output(
            "number of the first frame of the clip",
            metavar="N",
            default="that of a sequence, 0 for a video",
            rule=within(0),
        ),
    )
    output_name: str | None = field(
        default=None,
        metadata=_output(
            "name of each output in the folder: {kind} and {ext} stand for its kind and its "
            "extension, #### for the number with at least so many digits",
            metavar="NAME",
            default="{kind}/#####.{ext} for images, {kind}.{ext} for videos",
        ),
    )
    crf: int = field(
        default=18,
        metadata=_output(
            "quality of videos, from 0 (lossless) to 51 (worst)",
            metavar="N",
            rule=within(0, 51),
            affects="video",
        ),
    )
    despeckle: bool | float = field(
        default=False,
        metadata=_output(
            "remove small connected components of alpha, up to that much of the frame (0.1 if no "
            "number is given)",
            metavar="PERCENT",
            bare=0.1,
            rule=within(0, 100, " percent of the frame"),
        ),
    )
    fgr: Literal["network", "estimate"] | None = field(
        default=None,
        metadata=_output(
            "the subject's colours where alpha is partial: as the network finds them, or estimated "
            "from the frame, its plate and alpha",
            default="estimate with the built-in weights, else network",
        ),
    )
    smooth_alpha: bool = field(
        default=False,
        metadata=_output(
            "average alpha over time where nothing moves, so that edges do not flicker"
        ),
    )
    preview_only: bool = field(
        default=False,
        metadata=_output(
            "matte five frames across the clip, write preview.png, and stop", affects="nothing"
        ),
    )
    plate_only: bool = field(
        default=False,
        metadata=_output(
            "make, repair or align the plate, save it as plate.png, and stop; runs into the same "
            "folder that would do the same take it",
            affects="nothing",
        ),
    )
    overwrite: bool = field(
        default=False,
        metadata=_output(
            "remove what an earlier run wrote to the folder, and nothing else", affects="nothing"
        ),
    )
    resume: bool = field(
        default=False,
        metadata=_output(
            "continue where an earlier run into the folder stopped; for image sequences, and for "
            "videos of --frames, which it makes again if they are incomplete",
            affects="nothing",
        ),
    )

    device: str = field(
        default="auto",
        metadata=_machine(
            "auto (cuda, then mps, then cpu), cpu, mps, cuda or cuda:N",
            metavar="NAME",
            rule=matching(r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, mps, cuda or cuda:N"),
            affects="nothing",
        ),
    )
    workers: int | str | None = field(
        default=None,
        metadata=_machine(
            "spread the run over so many processes, each with its share of the cores or its GPU; "
            "auto is one for each GPU, or one for every four cores",
            metavar="N|auto",
            parse=_parse_workers,
            rule=Rule(lambda x: x == "auto" or (x != str(x) and x >= 1), "1 or more, or auto"),
            affects="nothing",
        ),
    )
    ray_address: str | None = field(
        default=None,
        metadata=_machine(
            "spread the run over the machines of this Ray cluster; they need the same version of "
            "the program, and the files that it reads under the same paths",
            metavar="HOST:PORT|auto",
            rule=matching(
                r"auto|[^/\s]+:\d{1,5}", "HOST:PORT, or auto for a cluster on this machine"
            ),
            affects="nothing",
        ),
    )
    devices: str | None = field(
        default=None,
        metadata=_machine(
            "spread the run over these devices of this machine, with a process for each: "
            "cuda:0,cuda:1 or, for every CUDA device, all",
            metavar="NAMES",
            rule=matching(
                r"all|(cpu|cuda:\d+)(,(cpu|cuda:\d+))*", "all, or names such as cuda:0,cuda:1"
            ),
            affects="nothing",
        ),
    )
    precision: Precision = field(
        default="auto",
        metadata=_machine(
            "type of the convolutions; auto is fp16 on CUDA, bf16 on CPUs made for it, and else "
            "fp32"
        ),
    )
    batch_size: int = field(
        default=1,
        metadata=_machine(
            "frames that pass the network together",
            metavar="N",
            rule=within(1),
            affects="nothing",
        ),
    )
    hwaccel: Literal["none", "auto"] = field(
        default="none",
        metadata=_machine(
            "auto lets an NVIDIA card decode the clip and encode videos, where it can; such a card "
            "hides corrupted blocks silently",
            affects="nothing",
        ),
    )

    def __post_init__(self) -> None:
        for name, setting in declared_settings(type(self)).items():
            object.__setattr__(self, name, setting.checked(getattr(self, name)))
        check_together(self)

    @property
    def align(self) -> AlignMode | None:
        """How to align the plate, if at all."""
        return self.preprocess_alignment or None  # type: ignore[return-value]

    @property
    def on_card(self) -> bool:
        """Whether an NVIDIA card decodes and encodes video, where it can."""
        return self.hwaccel == "auto"

    def format_of(self, kind: Kind) -> Format:
        """The format that a kind of output is written in."""
        if self.output_format != IMAGE_SEQUENCES:
            return FORMATS[self.output_format]
        return FORMATS[self.image_extension or default_extension(kind, self.bit_depth)]

    def options_of(self, kind: Kind, *, deep: bool) -> dict[str, Any]:
        """The options of the format of a kind, with its defaults in place of None.

        Args:
            kind: The kind.
            deep: The clip has more than 8 bits a level.
        """
        form = self.format_of(kind)
        options = {name: getattr(self, name) for name in form.options}
        if "bit_depth" in options:
            options["bit_depth"] = form.depth_for(self.bit_depth, deep=deep)
        if "alpha" in options:
            options["alpha"] = self.alpha or form.alpha
        return options

    @property
    def keeps_alpha(self) -> bool:
        """Whether ``com`` keeps its alpha, rather than being composited over a target."""
        return self.format_of("com").alpha is not None

    def flags_without_effect(self) -> list[str]:
        """Flags that differ from their defaults and have no effect in the chosen format."""
        images = {"image_extension"}
        known = images.union(*(form.options for form in FORMATS.values()))
        taken = images if self.output_format == IMAGE_SEQUENCES else set()
        taken = taken.union(*(self.format_of(kind).options for kind in self.output_types))
        return [
            setting.option
            for name, setting in declared_settings(type(self)).items()
            if name in known - taken
            and setting.flag.affects != "nothing"
            and getattr(self, name) != setting.default
        ]

    @property
    def formats_in_words(self) -> str:
        """The flag and the names of the formats that are written."""
        names = dict.fromkeys(self.format_of(kind).name for kind in self.output_types)
        is_images = self.output_format == IMAGE_SEQUENCES
        return f"--{'image-extension' if is_images else 'output-format'} {' and '.join(names)}"

    def files_read(self) -> list[Path]:
        """What the run reads, and so must not be removed."""
        return [path for path in map(self.file_of, self.file_settings()) if path is not None]

    @classmethod
    def file_settings(cls) -> list[str]:
        """Names of the settings that may name a file."""
        return [name for name, setting in declared_settings(cls).items() if setting.flag.reads]

    def file_of(self, name: str) -> Path | None:
        """The file or folder that a setting names; None without one."""
        value = getattr(self, name)
        if name == "video_bgr":
            return plate_file(value)
        return None if value is None else Path(value)


def declared_settings(kind: Any) -> dict[str, Setting]:
    """The settings declared in a class, by name."""
    hints = get_type_hints(kind)
    return {f.name: Setting(f, hints[f.name]) for f in fields(kind) if "flag" in f.metadata}


def as_dict(settings: Settings) -> dict[str, Any]:
    """The values of all settings, by name."""
    return {name: getattr(settings, name) for name in declared_settings(type(settings))}
