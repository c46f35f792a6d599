"""Settings that do not go together."""

from pathlib import Path
from typing import TYPE_CHECKING

from media import UsageError
from plate.names import is_auto
from writers.formats import FORMATS, IMAGE_SEQUENCES, Depth
from writers.naming import place_output

from .pipes import STDIN, check_pipes

if TYPE_CHECKING:
    from .settings import Settings


def check_together(settings: "Settings") -> None:
    """Check that settings go together.

    Raises:
        UsageError: Two of them do not.
    """
    for kind in settings.output_types:
        form = settings.format_of(kind)
        if settings.bit_depth not in (None, *form.depths):
            raise UsageError(
                f"--bit-depth {settings.bit_depth}: {form.name} holds {form.bits_in_words}; "
                f"{_holding(settings.bit_depth)}"
            )
        if kind == "com" and form.is_images and not form.alpha:
            others = ", ".join(one.name for one in FORMATS.values() if one.is_images and one.alpha)
            raise UsageError(
                f"--image-extension {form.name} holds no alpha, which com needs; use one of "
                f"{others}"
            )
    if "ref" in settings.output_types and settings.model_type == "mattingbase":
        raise UsageError("--output-types ref needs --model-type mattingrefine")
    if Path(settings.video_src).exists() and _same(settings.video_src, settings.video_bgr):
        raise UsageError(
            f"--video-bgr {settings.video_bgr}: is the clip itself; give the empty scene, or auto"
        )
    if settings.strict and not settings.preflight:
        raise UsageError("--strict needs the check that --no-preflight leaves out; give one")
    if settings.plate_only:
        _check_plate_only(settings)
    if settings.output_name is not None:
        _check_name(settings, settings.output_name)
    check_pipes(settings)
    _check_workers(settings)
    if settings.resume:
        _check_resume(settings)


def _check_plate_only(settings: "Settings") -> None:
    if not (is_auto(settings.video_bgr) or settings.mend_plate or settings.align == "static"):
        raise UsageError(
            "--plate-only needs a plate to make (--video-bgr auto), to repair (--mend-plate) "
            "or to align (--preprocess-alignment static)"
        )
    for name in ("frames", "preview_only", "resume"):
        if getattr(settings, name):
            other = f"--{name.replace('_', '-')}"
            raise UsageError(f"--plate-only has nothing to do with {other}; give one of them")


def _check_name(settings: "Settings", name: str) -> None:
    if len(settings.output_types) > 1 and "{kind}" not in name:
        raise UsageError(f"--output-name {name}: needs {{kind}}, as there are several kinds")
    for kind in settings.output_types:
        form = settings.format_of(kind)
        try:
            place_output(name, kind, form)
        except ValueError as error:
            raise UsageError(f"--output-name {name}: {error}") from error


def _check_resume(settings: "Settings") -> None:
    if not settings.format_of("com").is_images and settings.frames is None:
        raise UsageError("--resume works only with image sequences, or with --frames")
    if settings.overwrite:
        raise UsageError("--resume keeps what --overwrite removes; give one of them")
    if settings.preview_only:
        raise UsageError("--preview-only has nothing to --resume; give one of them")


def _check_workers(settings: "Settings") -> None:
    asked = {
        "--workers": settings.workers,
        "--ray-address": settings.ray_address,
        "--devices": settings.devices,
    }
    given = [flag for flag, value in asked.items() if value is not None]
    if not given:
        return
    if "--devices" in given and len(given) > 1:
        raise UsageError(f"--devices has one worker for each; leave out {given[0]}")
    if str(settings.video_src) == STDIN:
        raise UsageError(f"{given[0]}: workers cannot read standard input; save the clip to a file")
    if settings.device not in ("auto", "cpu", "cuda"):
        other = f"--devices {settings.device}" if settings.device != "mps" else "--device cpu"
        raise UsageError(f"{given[0]} does not go with --device {settings.device}; give {other}")
    if "--devices" in given and settings.device != "auto":
        raise UsageError("--devices names the devices; leave out --device")


def _holding(depth: Depth | None) -> str:
    """The image formats that hold a depth, as advice."""
    names = [one.name for one in FORMATS.values() if one.is_images and depth in one.depths]
    return f"use {IMAGE_SEQUENCES} with {' or '.join(names)}"


def _same(one: str | Path, other: str | Path) -> bool:
    return Path(one).resolve() == Path(other).resolve()
