"""Messages for the user: errors that a user can mend, and warnings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Called with one sentence about something that was repaired or assumed.
Warn = Callable[[str], None]


class MattingError(Exception):
    """An error that a user can mend; the message says what to do, in one line.

    Every such error derives from this class and from the built-in exception that fits. Any other
    exception is a defect of the program.
    """


class UsageError(MattingError, ValueError):
    """Settings that contradict each other, or a value out of its range."""


@contextmanager
def os_errors_as(kind: type[MattingError], path: Path, *also: type[Exception]) -> Iterator[None]:
    """Convert ``OSError`` and the types ``also`` to ``kind``, with the path in the message."""
    try:
        yield
    except MattingError:
        raise
    except (OSError, *also) as error:  # type: ignore[misc]
        raise kind(f"{path}: {getattr(error, 'strerror', None) or error}") from error
