"""Going on with a run that was stopped or killed."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from dataset import frames_in, plate_file
from model.weights import SHA256
from writers import Output

from .settings import Settings, UsageError

#: Settings that images don't depend on.
_FREE = (
    *("output_dir", "output_types", "output_format", "overwrite", "resume", "crf"),
    *("frame_rate", "video_target_bgr", "device", "batch_size", "hwaccel"),
    *("preflight", "strict", "preview_only"),
)
#: Hexadecimal digits that tell a file from another.
_DIGITS = 8
#: Settings that name files.
_PATHS = ("video_src", "video_bgr", "garbage_matte", "model_checkpoint")


def made_from(settings: Settings, output: Output) -> dict[str, Any]:
    """What makes the frames of an output what they are, as JSON holds it.

    Args:
        settings: With what the checkpoint, the clip and the device decided.
        output: The output, as planned.
    """
    flags = {name: x for name, x in asdict(settings).items() if name not in _FREE}
    flags |= {name: _named(flags[name]) for name in _PATHS}
    if plate_file(settings.video_bgr) is None:
        flags["video_bgr"] = settings.video_bgr
    flags |= {
        "preprocess_alignment": settings.align,
        "despeckle": settings.speck,
        "image_extension": output.extension,
    }
    weights = SHA256 if settings.model_checkpoint == "built-in" else None
    files = replace(settings, video_target_bgr=None).files_read()
    there = {str(path.resolve()): _fingerprint(path, files) for path in files if path.exists()}
    facts = {"flags": flags, "files": there, "weights": weights}
    return dict(json.loads(json.dumps(facts, default=str)))


def _named(value: Any) -> Any:
    """The value of a flag, whatever folder the program was called from."""
    is_path = isinstance(value, str | Path) and Path(value).exists()
    return str(Path(value).resolve()) if is_path else value


def _fingerprint(path: Path, besides: Sequence[Path]) -> str:
    """What tells that something else is there now: of a folder, eight digits for each frame."""
    files = frames_in(path, besides)[0] if path.is_dir() else [path]
    facts = (f"{file.name}/{file.stat().st_size}/{file.stat().st_mtime_ns}" for file in files)
    return "".join(f"{crc32(os.fsencode(fact)):0{_DIGITS}x}" for fact in facts)


def check_resumable(root: Path, planned: Sequence[Output], earlier: Sequence[Output]) -> None:
    """Refuse to go on with frames that were made in another way.

    Images behind those frames may be others now, as one that could not be read may be mended, if
    no frame was made from all of them.

    Args:
        root: The folder that holds the frames.
        planned: The outputs of this run.
        earlier: Those of the run before.

    Raises:
        UsageError: An input or a setting that decides what frames look like is another now.
    """
    for output in planned:
        for before in earlier:
            if before.kind == output.kind and before.extension and output.made_from:
                frames = before.finished(root)
                _compare(before.made_from or {}, output.made_from, frames)


def _compare(before: dict[str, Any], now: dict[str, Any], frames: int) -> None:
    flags, files = before.get("flags"), before.get("files")
    if not isinstance(flags, dict) or not isinstance(files, dict):
        raise UsageError("--resume: run.json does not say what its frames are from; --overwrite?")
    for name, value in now["flags"].items():
        if name not in flags or flags[name] != value:
            raise UsageError(
                f"--resume: --{name.replace('_', '-')} is {_said(value)}, and was "
                f"{_said(flags.get(name))} in the earlier run; give that again, or --overwrite"
            )
    from_all = (
        flags["video_bgr"] == "auto"
        or flags["preprocess_alignment"] == "static"
        or flags["mend_plate"]
    )
    end = None if from_all else _DIGITS * max(frames, 1)
    for path, fingerprint in now["files"].items():
        if str(files.get(path))[:end] != fingerprint[:end]:
            raise UsageError(f"--resume: {path} has changed since the earlier run; --overwrite?")
    if before.get("weights") != now["weights"]:
        raise UsageError("--resume: the built-in weights were others then; --overwrite?")


def _said(value: object) -> str:
    return {"None": "not given", "True": "on", "False": "off"}.get(str(value), str(value))
