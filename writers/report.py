"""The report of a run, ``run.json``: read, checked and written."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from media import os_errors_as

from .base import WriteError
from .files import save_whole
from .lock import OutputsExistError
from .outputs import Output

REPORT_NAME = "run.json"
#: Bytes of spaces at the end, into which the report can grow when the disk is full.
_ROOM = 2048


def read_report(root: Path) -> dict[str, Any]:
    """The content of ``run.json``; empty if there is none.

    Raises:
        OutputsExistError: The file was not written by this program.
        WriteError: The file cannot be read.
    """
    path = root / REPORT_NAME
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


def write_report(root: Path, report: dict[str, Any]) -> None:
    """Write ``run.json``; the file is whole or absent.

    On a full disk the file is overwritten in place, if the report fits.

    Raises:
        WriteError: The report cannot be written.
    """
    path = root / REPORT_NAME
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
