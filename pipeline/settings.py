"""What a user can set, and which values cannot work."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from dataset import ALIGN_MODES, AlignMode, plate_file
from model import MODEL_TYPES, PRECISIONS, Backbone, ModelType, Precision, RefineMode
from writers import ENCODERS, FORMATS, KINDS, Format, Kind

HWACCELS = ("none", "auto")
#: Percent of the frame up to which bits of alpha are specks, if no other is given.
DESPECKLE = 0.1

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class UsageError(ValueError):
    """Settings that do not go together, or a value out of its range."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One field for each flag of the command line; ``--help`` describes them.

    Where None stands, the value is found out from the clip, the checkpoint or the kind of output.
    """

    video_src: str | Path
    video_bgr: str | Path
    output_dir: str | Path | None = None
    video_target_bgr: str | None = None
    video_resize: Sequence[int] | None = None
    frame_rate: Fraction | float | str | None = None
    preprocess_alignment: bool | AlignMode = False  # True is "frame"
    match_plate: bool = False
    mend_plate: bool = False
    garbage_matte: str | Path | None = None
    despeckle: bool | float = False  # True is DESPECKLE; percent of the frame
    smooth_alpha: bool = False
    preflight: bool = True
    strict: bool = False
    preview_only: bool = False
    model_checkpoint: str | Path | None = None
    model_type: ModelType | None = None
    model_backbone: Backbone | None = None
    model_backbone_scale: float | None = None
    model_refine_mode: RefineMode = "sampling"
    model_refine_sample_pixels: int | None = None
    model_refine_threshold: float = 0.7
    model_refine_kernel_size: int | None = None
    output_types: Sequence[Kind] = ("com",)
    output_format: str = "video"
    image_extension: str | None = None
    start_number: int = 0
    crf: int = 18
    overwrite: bool = False
    resume: bool = False
    device: str = "auto"
    precision: Precision = "auto"
    batch_size: int = 1
    hwaccel: str = "none"

    def __post_init__(self) -> None:
        """Take whole numbers of any kind, NumPy's too, and a rate as the command line writes it."""
        for name in ("model_refine_sample_pixels", "start_number", "crf", "batch_size"):
            if isinstance(value := getattr(self, name), Integral):
                object.__setattr__(self, name, int(value))
        if self.video_resize is not None:
            sides = (int(x) if isinstance(x, Integral) else x for x in self.video_resize)
            object.__setattr__(self, "video_resize", tuple(sides))
        if isinstance(self.frame_rate, str):
            with suppress(ValueError, ZeroDivisionError):
                object.__setattr__(self, "frame_rate", Fraction(self.frame_rate))

    @property
    def form(self) -> Format:
        """The output format."""
        return FORMATS[self.output_format]

    @property
    def align(self) -> AlignMode | None:
        """How to align the plate, if at all."""
        mode = self.preprocess_alignment
        return "frame" if mode is True else mode or None

    @property
    def speck(self) -> float:
        """Percent of the frame up to which bits of alpha are removed."""
        return DESPECKLE if self.despeckle is True else self.despeckle

    @property
    def on_card(self) -> bool:
        """Whether an NVIDIA card decodes and encodes video, where it can."""
        return self.hwaccel == "auto"

    def idle(self) -> list[str]:
        """Flags that were given and change nothing in the output format."""
        if self.form.has_alpha:
            return ["--crf"] if self.crf != Settings.crf else []
        given = {"--image-extension": self.image_extension, "--start-number": self.start_number}
        return [flag for flag, value in given.items() if value]

    def files_read(self) -> list[Path]:
        """What must not be removed, as the run reads it."""
        paths = (
            self.video_src,
            plate_file(self.video_bgr),
            self.video_target_bgr,
            self.garbage_matte,
            self.model_checkpoint,
        )
        return [Path(path) for path in paths if path]

    def check(self) -> None:
        """Refuse what cannot work, before anything is opened.

        Raises:
            UsageError: A value is out of its range, or two do not go together.
        """
        if self.output_format not in FORMATS:
            raise _refusal("--output-format", self.output_format, _one_of(FORMATS))
        unknown = [kind for kind in self.output_types if kind not in KINDS]
        if unknown or not self.output_types:
            raise _refusal("--output-types", " ".join(unknown), f"some of {', '.join(KINDS)}")
        if self.align not in (None, *ALIGN_MODES):
            raise _refusal("--preprocess-alignment", self.align, _one_of(ALIGN_MODES))
        extension = self.image_extension
        if extension not in (None, *ENCODERS):
            raise _refusal("--image-extension", extension, _one_of(ENCODERS))
        if extension in ("jpg", "jpeg") and self.form.has_alpha and "com" in self.output_types:
            raise UsageError(
                f"--image-extension {extension} holds no alpha, which com needs; use png"
            )
        if self.hwaccel not in HWACCELS:
            raise _refusal("--hwaccel", self.hwaccel, _one_of(HWACCELS))
        if "ref" in self.output_types and self.model_type == "mattingbase":
            raise UsageError("--output-types ref needs --model-type mattingrefine")
        given = {
            "--video-src": self.video_src,
            "--video-bgr": self.video_bgr,
            "--video-target-bgr": self.video_target_bgr,
            "--output-dir": self.output_dir,
            "--garbage-matte": self.garbage_matte,
            "--model-checkpoint": self.model_checkpoint,
        }
        for flag, path in given.items():  # an empty path would mean the current folder
            if path is not None and not str(path):
                raise UsageError(f"{flag} is empty; give a path")
        if Path(self.video_src).exists() and _same(self.video_src, self.video_bgr):
            raise UsageError(
                f"--video-bgr {self.video_bgr}: is the clip itself; give the empty scene, or auto"
            )
        if self.strict and not self.preflight:
            raise UsageError("--strict is about the look that --no-preflight leaves out; give one")
        if self.resume:
            self._check_resume()
        for flag, value, fits, expected in self._ranges():
            if value is not None and not fits(value):
                raise _refusal(flag, value, expected)

    def _check_resume(self) -> None:
        if not self.form.resumable:
            raise UsageError(
                f"--resume: {self.output_format} cannot be gone on with, image sequences can"
            )
        if self.overwrite:
            raise UsageError("--resume keeps what --overwrite removes; give one of them")
        if self.preview_only:
            raise UsageError("--preview-only has nothing to --resume; give one of them")
        if self.smooth_alpha:
            raise UsageError("--smooth-alpha needs all frames before; it does not go with --resume")

    def _ranges(self) -> list[tuple[str, Any, Callable[[Any], object], str]]:
        """Flags whose value, if there is one, has to fit: flag, value, whether it fits, range."""
        scale, pixels = self.model_backbone_scale, self.model_refine_sample_pixels
        threshold, resize = self.model_refine_threshold, self.video_resize
        return [
            ("--device", self.device, _DEVICE.fullmatch, "auto, cpu, mps, cuda or cuda:N"),
            ("--batch-size", self.batch_size, _whole(1), "1 or more"),
            ("--crf", self.crf, _whole(0, 51), "0 to 51"),
            ("--start-number", self.start_number, _whole(0), "0 or more"),
            (
                "--frame-rate",
                self.frame_rate,
                lambda x: isinstance(x, Real) and Fraction(1, 1000) <= x <= 1000,
                "0.001 to 1000",
            ),
            (
                "--despeckle",
                self.despeckle,
                lambda x: isinstance(x, int | float) and 0 <= x <= 100,
                "0 to 100 percent of the frame",
            ),
            ("--precision", self.precision, PRECISIONS.__contains__, _one_of(PRECISIONS)),
            ("--model-type", self.model_type, MODEL_TYPES.__contains__, _one_of(MODEL_TYPES)),
            ("--model-backbone-scale", scale, lambda x: 0 < x <= 0.5, "more than 0, up to 0.5"),
            ("--model-refine-sample-pixels", pixels, _whole(0), "0 or more"),
            ("--model-refine-threshold", threshold, isfinite, "a number"),
            (
                "--video-resize",
                resize,
                lambda x: len(x) == 2 and all(map(_whole(1), x)),
                "WIDTH HEIGHT",
            ),
        ]


def _whole(least: int, most: float = inf) -> Callable[[Any], bool]:
    """Whether a value is a whole number of a range."""
    return lambda x: isinstance(x, int) and least <= x <= most


def _same(one: str | Path, other: str | Path) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _refusal(flag: str, value: object, expected: str) -> UsageError:
    return UsageError(f"{flag} {value}: expected {expected}")


def _one_of(names: Sequence[str] | dict[str, Any]) -> str:
    return f"one of {', '.join(names)}"
