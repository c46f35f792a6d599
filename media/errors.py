"""What users are told: errors that they can mend, and warnings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Takes one sentence for the user about something that was repaired or assumed.
Warn = Callable[[str], None]


class MattingError(Exception):
    """Something that a user can mend; the message says what to do, in one line.

    Every such error derives from this class and from the built-in exception that fits. Any other
    exception is a defect of the program.
    """


class UsageError(MattingError, ValueError):
    """Settings that do not go together, or a value out of its range."""


@contextmanager
def os_errors_as(kind: type[MattingError], path: Path, *also: type[Exception]) -> Iterator[None]:
    """Raise errors of the operating system, and ``also`` those, as ``kind`` with the path."""
    try:
        yield
    except MattingError:
        raise
    except (OSError, *also) as error:  # type: ignore[misc]
        raise kind(f"{path}: {getattr(error, 'strerror', None) or error}") from error
