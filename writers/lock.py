"""One run a folder: two at once would mix their frames."""

import os
import weakref
from pathlib import Path

from .outputs import OutputsExistError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class FolderLock:
    """Keeps a folder from other runs, until it is released or the process ends, however it does.

    Nothing is written for it. A folder that is not there, and a system or a disk without such
    locks, is left unlocked.

    Args:
        folder: The folder.

    Raises:
        OutputsExistError: Another run has it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._close: weakref.finalize | None = None
        self.take()

    def take(self) -> None:
        """Take the lock, unless it is taken; raises as the constructor does."""
        if fcntl is None or self._close is not None:
            return
        try:
            descriptor = os.open(self._folder, os.O_RDONLY)
        except OSError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise OutputsExistError(
                    f"{self._folder}: another run is writing there; wait for it, or give another "
                    "--output-dir"
                ) from error
            return
        self._close = weakref.finalize(self, os.close, descriptor)

    def release(self) -> None:
        """Let others have the folder. Harmless a second time."""
        if self._close is not None:
            self._close()
            self._close = None
