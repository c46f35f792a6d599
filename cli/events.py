"""Progress that programs read: lines of JSON, or of Open Job Description."""

import json
import logging
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, Literal, get_args

from .visible import visible

#: How a run tells its progress; auto is a bar on a terminal, and plain lines elsewhere.
ProgressForm = Literal["auto", "bar", "plain", "json", "openjd"]
PROGRESS_FORMS: tuple[ProgressForm, ...] = get_args(ProgressForm)
#: Those that are told on stdout.
EVENT_FORMS: tuple[ProgressForm, ...] = ("json", "openjd")
#: Level of messages that are the path of a complete file; :data:`writers.FILES`.
FILES = logging.INFO
#: Seconds between two lines of progress.
_INTERVAL = 0.2


class Events(ABC):
    """Tells on stdout what happens, a line for each event; a closed stdout is no error."""

    def __init__(self) -> None:
        self._last = -_INTERVAL
        self._stage: str | None = None

    def progress(self, stage: str | None, done: int, total: int | None, rate: float) -> None:
        """Tell how far the run is, or a stage before its first frame; not too often.

        Args:
            stage: What is counted before the first frame; None for the frames of the run.
            done: How many are done.
            total: How many there are, if known.
            rate: How many are done in a second; 0 if unknown.
        """
        now = time.monotonic()
        if now - self._last >= _INTERVAL or done == total or stage != self._stage:
            self._last, self._stage = now, stage
            self._tell_progress(stage, done, total, rate)

    @abstractmethod
    def _tell_progress(
        self, stage: str | None, done: int, total: int | None, rate: float
    ) -> None: ...

    @abstractmethod
    def message(self, level: str, text: str) -> None:
        """Tell a warning or the like."""

    @abstractmethod
    def file(self, path: str) -> None:
        """Tell that a file is complete."""

    @abstractmethod
    def failed(self, text: str, status: int) -> None:
        """Tell why the run ends, and its exit status."""

    @abstractmethod
    def done(self, facts: dict[str, Any]) -> None:
        """Tell that a run is done, and its results."""

    def _print(self, line: str) -> None:
        if sys.stdout is not None:
            with suppress(OSError, ValueError):
                print(line, file=sys.stdout, flush=True)


class JsonEvents(Events):
    """One JSON object a line, whose ``event`` says what it is."""

    def _tell_progress(self, stage: str | None, done: int, total: int | None, rate: float) -> None:
        left = (total - done) / rate if total is not None and rate and total >= done else None
        self._tell(
            "progress",
            stage=stage or "frames",
            done=done,
            expected=total,
            rate=round(rate, 3),
            seconds_left=None if left is None else round(left, 1),
        )

    def message(self, level: str, text: str) -> None:
        self._tell(level, message=text)

    def file(self, path: str) -> None:
        self._tell("file", path=path)

    def failed(self, text: str, status: int) -> None:
        self._tell("error", message=text, status=status)

    def done(self, facts: dict[str, Any]) -> None:
        self._tell("done", **facts)

    def _tell(self, event: str, **facts: Any) -> None:
        self._print(json.dumps({"event": event, **facts}, default=str))


class OpenJdEvents(Events):
    """The messages that an Open Job Description session understands."""

    def _tell_progress(self, stage: str | None, done: int, total: int | None, rate: float) -> None:
        if stage is not None:
            self._print(f"openjd_status: {visible(stage)}: {done}")
        elif total:
            self._print(f"openjd_progress: {min(100.0, 100 * done / total):.1f}")
            self._print(f"openjd_status: {done} of {total} frames, {rate:.1f} a second")
        else:
            self._print(f"openjd_status: {done} frames, {rate:.1f} a second")

    def message(self, level: str, text: str) -> None:
        self._print(f"{level}: {visible(text)}")

    def file(self, path: str) -> None:
        pass

    def failed(self, text: str, status: int) -> None:
        self._print(f"openjd_fail: {visible(text)}")

    def done(self, facts: dict[str, Any]) -> None:
        self._print("openjd_progress: 100.0")
        self._print(f"openjd_status: {facts.get('frames', 0)} frames done")


def events_for(form: ProgressForm) -> Events | None:
    """What tells a program of a run; None where people are told."""
    return {"json": JsonEvents, "openjd": OpenJdEvents}.get(form, lambda: None)()
