"""Several clips in one go: a list of jobs, each with settings of its own."""

import csv
import json
from pathlib import Path
from typing import Any

from media import MattingError, UsageError
from pipeline.declaration import Setting
from pipeline.settings import Settings, declared_settings

#: Bytes of a list, and jobs in it, at most.
_MAX_BYTES, _MAX_JOBS = 2**24, 100_000
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_jobs(path: Path, common: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings of each job of a list.

    Args:
        path: CSV with a row of names first, or JSON with a list of objects. Names are those of
            flags; a cell that is empty leaves the setting as it is.
        common: Settings of the command line, which those of a job replace.

    Raises:
        UsageError: The list, or a setting in it, is wrong; all jobs are checked.
        MattingError: The list cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise MattingError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{path}: larger than {_MAX_BYTES // 2**20} MiB, which is no list of jobs")
    try:
        text = data.decode("utf-8-sig")
        rows = _from_json(text) if text.lstrip()[:1] in ("[", "{") else _from_csv(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise UsageError(
            f"{path}: neither CSV with a row of names nor a JSON list of objects ({error})"
        ) from error
    if not rows or len(rows) > _MAX_JOBS:
        raise UsageError(f"{path}: holds {len(rows)} jobs; expected 1 to {_MAX_JOBS}")
    settings = declared_settings(Settings)
    jobs = []
    for number, row in enumerate(rows, start=1):
        try:
            given = dict(_value(settings, name, value) for name, value in row.items())
            job = {**common, **{name: x for name, x in given.items() if x is not None}}
            missing = [s.option for s in settings.values() if s.is_required and not job.get(s.name)]
            if missing or not job.get("output_dir"):
                raise UsageError(f"{(missing or ['--output-dir'])[0]} is needed")
            Settings(**{name: job[name] for name in settings if name in job})
        except UsageError as error:
            raise UsageError(f"{path}, job {number}: {error}") from error
        jobs.append(job)
    return jobs


def _from_json(text: str) -> list[dict[str, Any]]:
    rows = json.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("not a list of objects")
    return rows


def _from_csv(text: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True, strict=True)
    rows = [row for row in reader if any(row.values())]
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row has more or fewer cells than there are names")
    return rows


def _value(settings: dict[str, Setting], name: str, value: Any) -> tuple[str, Any]:
    """A setting of a job by its name, as a program would give it."""
    key = name.strip().removeprefix("--").replace("-", "_")
    if key not in settings:
        raise UsageError(f"{name!r} is no setting; the names are those of the flags")
    setting = settings[key]
    if not isinstance(value, str):
        return key, value
    text = value.strip()
    if not text:
        return key, None
    if text.lower() in _WORDS and (setting.is_switch or setting.count == "?"):
        return key, _WORDS[text.lower()]
    try:
        if setting.count in (None, "?"):
            return key, setting.parse(text)
        return key, [setting.parse(part) for part in text.split()]
    except ValueError as error:
        raise UsageError(f"{setting.option} {text}: {error}") from error
