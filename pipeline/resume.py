"""Going on with a run that was stopped or killed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dataset import images_in, plate_file
from model.weights import SHA256
from writers import Output

from .settings import Settings, UsageError

#: Settings that images don't depend on.
_FREE = (
    *("output_dir", "output_types", "output_format", "overwrite", "resume", "crf"),
    *("frame_rate", "video_target_bgr", "device", "batch_size", "hwaccel"),
    *("preflight", "strict", "preview_only"),
)
#: Those that name files.
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
    flags |= {"preprocess_alignment": settings.align, "image_extension": output.extension}
    weights = SHA256 if settings.model_checkpoint == "built-in" else None
    files = replace(settings, video_target_bgr=None).files_read()
    there = dict(_fingerprint(path) for path in files if path.exists())
    facts = {"flags": flags, "files": there, "weights": weights}
    return dict(json.loads(json.dumps(facts, default=str)))


def _named(value: Any) -> Any:
    """The value of a flag, whatever folder the program was called from."""
    is_path = isinstance(value, str | Path) and Path(value).exists()
    return str(Path(value).resolve()) if is_path else value


def _fingerprint(path: Path) -> tuple[str, list[int]]:
    """A path, and how to tell that what is there has changed: its bytes and its last change."""
    parts = [file.stat() for file in (images_in(path) if path.is_dir() else [path])]
    return str(path.resolve()), [
        sum(part.st_size for part in parts),
        max((part.st_mtime_ns for part in parts), default=0),
    ]


def check_resumable(planned: Sequence[Output], earlier: Sequence[Output]) -> None:
    """Refuse to go on with frames that were made in another way.

    Raises:
        UsageError: An input or a setting that decides what frames look like is another now.
    """
    for output in planned:
        for before in earlier:
            if before.kind == output.kind and before.extension and output.made_from:
                _compare(before.made_from or {}, output.made_from)


def _compare(before: dict[str, Any], now: dict[str, Any]) -> None:
    flags, files = before.get("flags"), before.get("files")
    if not isinstance(flags, dict) or not isinstance(files, dict):
        raise UsageError("--resume: run.json does not say what its frames are from; --overwrite?")
    for name, value in now["flags"].items():
        if name not in flags or flags[name] != value:
            raise UsageError(
                f"--resume: --{name.replace('_', '-')} is {_said(value)}, and was "
                f"{_said(flags.get(name))} in the earlier run; give that again, or --overwrite"
            )
    for path, fingerprint in now["files"].items():
        if files.get(path) != fingerprint:
            raise UsageError(f"--resume: {path} has changed since the earlier run; --overwrite?")
    if before.get("weights") != now["weights"]:
        raise UsageError("--resume: the built-in weights were others then; --overwrite?")


def _said(value: object) -> str:
    return {"None": "not given", "True": "on", "False": "off"}.get(str(value), str(value))
