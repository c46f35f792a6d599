"""Clips from standard input, and the subject to standard output."""

from typing import TYPE_CHECKING

from media import UsageError
from writers.formats import STDOUT, STDOUT_FORMAT

if TYPE_CHECKING:
    from .settings import Settings

#: What users give for standard input.
STDIN = "-"


def writes_to_stdout(settings: "Settings") -> bool:
    """Whether the run writes to standard output, and to no folder."""
    return str(settings.output_dir) == STDOUT


def check_pipes(settings: "Settings") -> None:
    """Check that a pipe can do what the settings ask for.

    Raises:
        UsageError: It cannot.
    """
    if str(settings.video_src) == STDIN:
        twice = {
            "--video-bgr auto": settings.video_bgr == "auto",
            "--mend-plate": settings.mend_plate,
            "--preprocess-alignment static": settings.align == "static",
            "--preview-only": settings.preview_only,
            "--plate-only": settings.plate_only,
            "--frames": settings.frames is not None,
            "--resume": settings.resume,
            "--strict": settings.strict,
        }
        for flag, is_given in twice.items():
            if is_given:
                raise UsageError(
                    f"{flag} reads the clip more than once, and standard input can be read only "
                    "once; save the clip to a file"
                )
    if writes_to_stdout(settings):
        if settings.output_format != STDOUT_FORMAT:
            raise UsageError(
                f"--output-dir -: standard output takes --output-format {STDOUT_FORMAT} only"
            )
        if len(settings.output_types) != 1:
            raise UsageError("--output-dir -: standard output takes one of --output-types only")
        folder = {
            "--overwrite": settings.overwrite,
            "--resume": settings.resume,
            "--preview-only": settings.preview_only,
            "--plate-only": settings.plate_only,
        }
        for flag, is_given in folder.items():
            if is_given:
                raise UsageError(f"{flag} needs a folder, and --output-dir - is standard output")
