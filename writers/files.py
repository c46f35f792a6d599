"""Creates and removes files in the output folder, never through links."""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from media import os_errors_as

from .base import WriteError
from .encoded import Encoded

#: What the name of a file that is not complete ends with.
PARTIAL = ".part"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_CREATE |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def partial_name(path: Path) -> Path:
    """The name of a file until it is complete."""
    return path.with_name(path.name + PARTIAL)


def create_partial(path: Path) -> int:
    """Create the file that becomes ``path`` once it is complete; returns its descriptor.

    One that an earlier run left is removed first. Of a link, that is the link, not its target.

    Raises:
        WriteError: Something else has the name.
        OSError: The file cannot be created.
    """
    partial = partial_name(path)
    unlink_file(partial)
    try:
        return os.open(partial, _CREATE, 0o666)
    except FileExistsError as error:
        raise WriteError(f"{partial}: is no file, and in the way; move it away") from error


def save_whole(path: Path, parts: Encoded, *, durable: bool = False) -> None:
    """Write a file under another name, then rename it, so that it is complete or absent.

    Args:
        path: The file; an existing one is replaced.
        parts: Its content.
        durable: Wait until the content is on the disk, so that a power cut cannot empty the file.

    Raises:
        WriteError: The file cannot be written.
    """
    partial = partial_name(path)
    with os_errors_as(WriteError, path, ValueError):  # ValueError: a NUL character in the path
        descriptor = create_partial(path)
        try:
            with open(descriptor, "wb") as file:
                file.writelines(parts)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise


def save_text(path: Path, text: str) -> None:
    """Write a text in UTF-8; the file is whole or absent.

    Raises:
        WriteError: The file cannot be written.
    """
    save_whole(path, [text.encode()])


def unlink_file(path: Path) -> None:
    """Remove a plain file or a link, if one is there; anything else stays."""
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            path.unlink()


def make_folders(folder: Path) -> list[Path]:
    """Create a folder and its parents; returns those that were missing, the outermost first.

    Raises:
        OSError: A folder cannot be created; those created before are removed again.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            with suppress(FileExistsError):  # another run was faster
                path.mkdir()
                made.append(path)
        folder.mkdir(exist_ok=True)  # raises if it is no folder
    except OSError:
        remove_folders(made)
        raise
    return made


def remove_folders(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty, the last one first."""
    for folder in reversed([*folders]):
        with suppress(OSError):
            folder.rmdir()
