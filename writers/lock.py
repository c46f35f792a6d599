"""Locks of an output folder: only one run at a time writes the same frames."""

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from media import MattingError, os_errors_as

from .base import WriteError


class OutputsExistError(MattingError, FileExistsError):
    """The folder holds files that the new outputs would overwrite or mix with."""


class FolderLock:
    """Exclusive lock on an output folder, or on some frames in it; ends with the process.

    On a disk without locks, the folder stays unlocked.

    Args:
        folder: The folder, which exists.
        label: The frames, as :func:`writers.report.label_of` puts it; empty for the whole folder.
        wait: Seconds to wait for another run.

    Raises:
        OutputsExistError: Another run holds the lock.
        WriteError: The folder cannot be accessed, or something else has the name of the lock.
    """

    def __init__(self, folder: Path, label: str = "", *, wait: float = 0):
        self._path = folder / (f".run.{label}.lock" if label else ".run.lock")
        self._lock = FileLock(self._path, timeout=wait)
        with os_errors_as(WriteError, folder):
            self._refuse_other_file()
        try:
            self._lock.acquire()
        except Timeout as error:
            frames = f"frames {label} " if label else ""
            raise OutputsExistError(
                f"{folder}: another run is writing {frames}there; wait for it, or give "
                "another --output-dir"
            ) from error
        except (OSError, NotImplementedError):
            return

    def release(self) -> None:
        """Release the lock. A second call is harmless."""
        if not self._lock.is_locked:
            return
        if os.name != "nt":  # before others can lock the file; Windows removes no open file
            with suppress(OSError):
                self._path.unlink()
        self._lock.release()
        if os.name == "nt":
            with suppress(OSError):
                self._path.unlink()

    def _refuse_other_file(self) -> None:
        """Refuse a link, or a file with content: locking would empty it."""
        try:
            status = self._path.lstat()
        except FileNotFoundError:
            return
        if self._path.is_symlink() or (self._path.is_file() and status.st_size):
            raise WriteError(f"{self._path}: is not the lock of a run; move it away")


def is_locked(folder: Path, label: str) -> bool:
    """Whether a run is writing some frames to a folder."""
    try:
        FolderLock(folder, label).release()
    except OutputsExistError:
        return True
    return False
