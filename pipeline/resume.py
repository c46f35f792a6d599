"""Continuing a run that was stopped or killed: are its frames those that this run would make?"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dataset import FrameSource, ImageFolder, frames_in
from media import UsageError
from model.weights import SHA256
from plate.names import auto_clip, is_auto
from writers import FORMATS, Output

from .frames import FrameNumbers
from .image_blocks import checksum, have_changed, image_blocks
from .settings import Settings, declared_settings

#: Settings that may name a sequence of images by a pattern, and nothing but files.
MAY_BE_PATTERNS = ("video_src", "garbage_matte", "core_matte")
#: What earlier versions did that did not have these flags.
_BEFORE = {"bit_depth": 8, "alpha": "straight", "region": "full"}


def made_from(
    settings: Settings,
    output: Output,
    options: dict[str, Any],
    src: FrameSource,
    frames: FrameNumbers,
) -> dict[str, Any]:
    """The settings and files that the frames of an output depend on, as JSON holds them.

    Args:
        settings: With what the checkpoint, the clip and the device decided.
        output: The output, as planned.
        options: Those of its format.
        src: The clip.
        frames: The frames of the run.
    """
    kinds = ("frames",) if output.extension else ("frames", "video")
    deciding = [
        name
        for name, setting in declared_settings(type(settings)).items()
        if setting.flag.affects in kinds
    ]
    facts = facts_of_files(settings, deciding, src, frames)
    formats = {name for form in FORMATS.values() for name in form.options}
    for name in formats & facts["flags"].keys():
        facts["flags"][name] = _as_json(options.get(name))
    facts["flags"]["image_extension"] = output.extension
    return facts


def facts_of_files(
    settings: Settings, names: Iterable[str], src: FrameSource, frames: FrameNumbers | None = None
) -> dict[str, Any]:
    """Some settings, and the files that they name, as JSON holds them.

    Args:
        settings: With what the checkpoint, the clip and the device decided.
        names: Those of the settings.
        src: The clip.
        frames: The frames that the result depends on; by default all of them.
    """
    deciding = {name: declared_settings(type(settings))[name] for name in names}
    flags: dict[str, Any] = {name: getattr(settings, name) for name in deciding}
    paths = {name: settings.file_of(name) for name, one in deciding.items() if one.flag.reads}
    flags |= {name: _resolved(flags[name]) for name, path in paths.items() if path is not None}
    besides = settings.files_read()
    files = {
        str(path.resolve()): _fingerprint(path, besides)
        for name, path in paths.items()
        if path is not None
        and (path.exists() or name in MAY_BE_PATTERNS)
        and not (name == "video_src" and not path.is_file())
    }
    images: list[dict[str, str]] = []
    if isinstance(src, ImageFolder):
        clip = ""
        if frames is None or _is_made_from_all(settings):
            clip = checksum(src.paths)
        else:
            places = range(src.length()) if frames.is_whole else frames.places.some
            images = image_blocks(src, places, frames.numbering)
        files[str(Path(settings.video_src).resolve())] = clip
    weights = None
    if "model_checkpoint" in flags:
        flags["model_checkpoint"] = flags["model_checkpoint"] or "built-in"
        weights = SHA256 if settings.model_checkpoint is None else None
    facts = {"flags": flags, "files": files, "weights": weights}
    return dict(_as_json(facts | ({"images": images} if images else {})))


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _resolved(value: str | Path) -> str:
    """A path as it is called from any folder; other values stay."""
    if clip := auto_clip(value):
        return f"auto:{clip.resolve()}"
    return str(Path(value).resolve() if Path(value).exists() else value)


def _is_made_from_all(settings: Settings) -> bool:
    """Whether each frame depends on all frames of the clip."""
    return bool(is_auto(settings.video_bgr) or settings.align == "static" or settings.mend_plate)


def _fingerprint(path: Path, besides: Sequence[Path]) -> str:
    """Changes with a file's name, size or time; of a sequence, with those of any image in it."""
    return checksum([path] if path.is_file() else frames_in(path, besides)[0])


def check_resumable(
    root: Path,
    planned: Sequence[Output],
    earlier: Sequence[Output],
    src: FrameSource,
    frames: FrameNumbers,
) -> None:
    """Refuse to continue with frames that were made from something else.

    Images after those frames may have changed, as one that could not be read may be mended, unless
    each frame was made from all of them.

    Args:
        root: The folder that holds the frames.
        planned: The outputs of this run.
        earlier: Those of the earlier run.
        src: The clip.
        frames: The frames of this run.

    Raises:
        UsageError: An input or a setting that the frames depend on has changed.
    """
    for output in planned:
        for before in earlier:
            is_alike = (before.extension is None) == (output.extension is None)
            if before.kind == output.kind and is_alike and output.made_from:
                then = before.made_from or {}
                _compare(then, output.made_from)
                if not (output.is_at(before) and isinstance(src, ImageFolder)):
                    continue
                if "images" not in output.made_from:  # each frame is made from all of them
                    continue
                made = _made(root, before, output, frames)
                if have_changed(then.get("images"), src, frames.numbering, made):
                    path = output.made_from["flags"]["video_src"]
                    raise UsageError(
                        f"--resume: {path} has changed since the earlier run; --overwrite?"
                    )


def _compare(before: dict[str, Any], now: dict[str, Any]) -> None:
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
    for path, digest in now["files"].items():
        if files.get(path) != digest:
            raise UsageError(f"--resume: {path} has changed since the earlier run; --overwrite?")
    if before.get("weights") != now["weights"]:
        raise UsageError("--resume: the built-in weights have changed since then; --overwrite?")


def _in_words(value: object) -> str:
    return {"None": "not given", "True": "on", "False": "off"}.get(str(value), str(value))


def _made(root: Path, before: Output, output: Output, frames: FrameNumbers) -> dict[int, str]:
    """The frames of this run that an earlier one has made and that are there, by number."""
    folder = str(root / output.path)
    there = before.held.among(output.existing(root))
    if not frames.is_whole:
        there &= set(frames.numbers())
    return {number: os.path.join(folder, output.file_name(number)) for number in sorted(there)}
