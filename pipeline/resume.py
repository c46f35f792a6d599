"""Continuing a run that was stopped or killed: are its frames those that this run would make?"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from dataset import frames_in
from media import UsageError
from model.weights import SHA256
from writers import FORMATS, Output

from .settings import Settings, declared_settings

#: Hexadecimal digits of a file's fingerprint.
_DIGITS = 8
#: What earlier versions did that did not have these flags.
_BEFORE = {"bit_depth": 8, "alpha": "straight"}


def made_from(settings: Settings, output: Output, options: dict[str, Any]) -> dict[str, Any]:
    """The settings and files that the frames of an output depend on, as JSON holds them.

    Args:
        settings: With what the checkpoint, the clip and the device decided.
        output: The output, as planned.
        options: Those of its format.
    """
    deciding = {
        name: setting
        for name, setting in declared_settings(type(settings)).items()
        if setting.flag.affects == "frames"
    }
    formats = {name for form in FORMATS.values() for name in form.options}
    flags: dict[str, Any] = {
        name: options.get(name) if name in formats else getattr(settings, name) for name in deciding
    }
    paths = {name: settings.file_of(name) for name, one in deciding.items() if one.flag.reads}
    flags |= {name: _resolved(flags[name]) for name, path in paths.items() if path is not None}
    flags["image_extension"] = output.extension
    besides = settings.files_read()
    files = {
        str(path.resolve()): _fingerprint(path, besides)
        for path in paths.values()
        if path is not None and path.exists()
    }
    flags["model_checkpoint"] = flags["model_checkpoint"] or "built-in"
    weights = SHA256 if settings.model_checkpoint is None else None
    facts = {"flags": flags, "files": files, "weights": weights}
    return dict(json.loads(json.dumps(facts, default=str)))


def _resolved(value: str | Path) -> str:
    """A path as it is called from any folder; other values stay."""
    return str(Path(value).resolve() if Path(value).exists() else value)


def _fingerprint(path: Path, besides: Sequence[Path]) -> str:
    """Changes with a file's name, size or time; of a folder, eight digits for each frame."""
    files = frames_in(path, besides)[0] if path.is_dir() else [path]
    facts = (f"{file.name}/{file.stat().st_size}/{file.stat().st_mtime_ns}" for file in files)
    return "".join(f"{crc32(os.fsencode(fact)):0{_DIGITS}x}" for fact in facts)


def check_resumable(root: Path, planned: Sequence[Output], earlier: Sequence[Output]) -> None:
    """Refuse to continue with frames that were made from something else.

    Images after those frames may have changed, as one that could not be read may be mended, unless
    each frame was made from all of them.

    Args:
        root: The folder that holds the frames.
        planned: The outputs of this run.
        earlier: Those of the earlier run.

    Raises:
        UsageError: An input or a setting that the frames depend on has changed.
    """
    for output in planned:
        for before in earlier:
            if before.kind == output.kind and before.extension and output.made_from:
                frames = before.finished(root)
                _compare(before.made_from or {}, output.made_from, frames)


def _compare(before: dict[str, Any], now: dict[str, Any], frames: int) -> None:
    flags, files = before.get("flags"), before.get("files")
    if not isinstance(flags, dict) or not isinstance(files, dict):
        raise UsageError(
            "--resume: run.json does not say what its frames were made from; --overwrite?"
        )
    defaults = {name: setting.default for name, setting in declared_settings(Settings).items()}
    defaults |= _BEFORE
    for name, value in now["flags"].items():
        # An earlier version may not have had the flag.
        earlier = flags.get(name, None if value is None else defaults.get(name))
        if earlier != value and not (earlier in (None, False) and value in (None, False)):
            raise UsageError(
                f"--resume: --{name.replace('_', '-')} is {_in_words(value)}, and was "
                f"{_in_words(earlier)} in the earlier run; give that again, or --overwrite"
            )
    each_from_all = (
        now["flags"]["video_bgr"] == "auto"
        or now["flags"]["preprocess_alignment"] == "static"
        or now["flags"]["mend_plate"]
    )
    end = None if each_from_all else _DIGITS * max(frames, 1)
    for path, fingerprint in now["files"].items():
        if str(files.get(path))[:end] != fingerprint[:end]:
            raise UsageError(f"--resume: {path} has changed since the earlier run; --overwrite?")
    if before.get("weights") != now["weights"]:
        raise UsageError("--resume: the built-in weights have changed since then; --overwrite?")


def _in_words(value: object) -> str:
    return {"None": "not given", "True": "on", "False": "off"}.get(str(value), str(value))
