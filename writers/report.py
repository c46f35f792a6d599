"""The reports of runs, read, checked and written: ``run.json``, ``run.1001-1100.json``."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from media import os_errors_as

from .base import WriteError
from .files import save_whole
from .lock import OutputsExistError
from .outputs import Output

#: Characters of a range in a name, at most; a longer one is cut and gets a checksum.
_MAX_LABEL = 60
_REPORT = re.compile(r"run\.([0-9,x~a-z-]+)\.json")
#: Bytes of spaces at the end, into which the report can grow when the disk is full.
_ROOM = 2048


def label_of(numbers: str) -> str:
    """What a run of some frames is called in the names of its report, its lock and its videos.

    Args:
        numbers: The frames, as a range.
    """
    if len(numbers) <= _MAX_LABEL:
        return numbers
    first, last = re.match(r"-?\d+", numbers), re.search(r"-?\d+$", numbers)
    assert first is not None and last is not None
    return f"{first[0]}-{last[0].lstrip('-')}~{crc32(numbers.encode()):08x}"


def report_name(label: str = "") -> str:
    """The name of a report; without a label that of a run over the whole clip."""
    return f"run.{label}.json" if label else "run.json"


def read_reports(root: Path) -> dict[str, dict[str, Any]]:
    """The reports of a folder by label; files that are none of this program are left out.

    Raises:
        WriteError: The folder or a report cannot be read.
    """
    with os_errors_as(WriteError, root):
        names = [path.name for path in root.iterdir()] if root.is_dir() else []
    labels = [match[1] for name in sorted(names) if (match := _REPORT.fullmatch(name))]
    found = {}
    for label in ([""] if report_name() in names else []) + labels:
        with suppress(OutputsExistError):
            found[label] = read_report(root, label)
    return found


def read_report(root: Path, label: str = "") -> dict[str, Any]:
    """The content of a report; empty if there is none.

    Raises:
        OutputsExistError: The file was not written by this program.
        WriteError: The file cannot be read.
    """
    path = root / report_name(label)
    with os_errors_as(WriteError, path, ValueError):  # ValueError: a NUL character in the path
        try:
            content = path.read_bytes() if path.is_file() or not path.exists() else b""
        except (FileNotFoundError, NotADirectoryError):
            return {}
    try:
        report = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        report = None
    versions = report.get("versions") if isinstance(report, dict) else None
    if not isinstance(versions, dict) or "bgmv2" not in versions:
        raise OutputsExistError(
            f"{path}: was not written by this program and would be lost; "
            "move it away, or give another --output-dir"
        )
    return dict(report)


def write_report(root: Path, report: dict[str, Any], label: str = "") -> None:
    """Write a report; the file is whole or absent.

    On a full disk the file is overwritten in place, if the report fits.

    Raises:
        WriteError: The report cannot be written.
    """
    path = root / report_name(label)
    text = json.dumps(report, indent=2, default=str).encode()
    try:
        save_whole(path, [text, b" " * _ROOM, b"\n"], durable=True)  # --resume reads it
    except WriteError:
        if not _write_in_place(path, text):
            raise


def _write_in_place(path: Path, text: bytes) -> bool:
    """Overwrite a file without making it longer; returns whether the text fits."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        with open(descriptor, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if len(text) < size:
                file.seek(0)
                file.write(text + b" " * (size - len(text) - 1) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                return True
    return False


def listed_outputs(report: dict[str, Any]) -> list[Output]:
    """The outputs that a report lists; invalid entries are skipped."""
    entries = report.get("outputs")
    listed = []
    for entry in entries if isinstance(entries, list) else []:
        with suppress(TypeError):
            output = Output(**entry)
            if output.is_valid():
                listed.append(output)
    return listed
