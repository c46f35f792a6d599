"""Progress and warnings on stderr, and a Ctrl-C that closes every file."""

import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Self

from tqdm import tqdm

from pipeline.result import MattingResult, logger
from pipeline.run import abandon_runs

from .events import FILES, ProgressForm, events_for
from .visible import visible

#: Seconds that a run has to close its files after a second Ctrl-C, and to report after that.
_GRACE, _LAST_WORDS = 2.0, 1.0


class Console(logging.Handler):
    """Shows a run on stderr, and stops it on a signal.

    The first Ctrl-C or SIGTERM lets the current frames finish. A second one ends the program within
    seconds: at once if the files are closed by then. No signal raises an error where it arrives,
    as that might be where files are closed.

    Args:
        line_interval: Seconds between two lines of progress where stderr is not a terminal.
        level: Lowest level of the messages to show, as in :mod:`logging`.
        form: How progress is told.

    Attributes:
        signal: The signal that stopped the run; None if there was none.
    """

    def __init__(
        self,
        line_interval: float = 10.0,
        level: int = logging.WARNING,
        form: ProgressForm = "auto",
    ) -> None:
        self._events = events_for(form)
        super().__init__(min(level, FILES) if form == "json" else level)
        self._form = form
        self._line_interval = line_interval
        self.signal: int | None = None
        self._again: SimpleQueue[int | None] = SimpleQueue()  # further signals; None at the end
        self._bar: tqdm | None = None
        self._stage: str | None = None  # before the run: what is counted there
        self._last_line = time.monotonic()
        self._last_done = 0
        self._since = (0, self._last_line)  # done when the run or the stage began, and the time

    def progress(self, done: int, expected: int | None) -> None:
        """Show how many frames are done.

        Raises:
            KeyboardInterrupt: A signal asked the run to stop.
        """
        self._show(None, done, expected)

    def preparing(self, stage: str, done: int, total: int | None) -> None:
        """Show how far a stage before the first frame is; see :func:`pipeline.matte_video`.

        Raises:
            KeyboardInterrupt: A signal asked the run to stop.
        """
        self._show(stage, done, total)

    def _show(self, stage: str | None, done: int, total: int | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        now = time.monotonic()
        if stage != self._stage:
            self._drop_bar()
            self._stage, self._since = stage, (done, now)
        elif stage is None and done == self._last_done:  # the run has not begun yet
            self._since = done, now
        self._last_done = done
        made, started = done - self._since[0], self._since[1]
        speed = made / (now - started) if made else 0.0
        if self._events is not None:
            self._events.progress(stage, done, total, speed)
        elif self._has_bar:
            if self._bar is None:
                self._bar = _open_bar(stage, done, total)
            self._bar.update(done - self._bar.n)
        elif now - self._last_line >= self._line_interval:
            self._last_line = now
            self.say(_line(stage, done, total, speed))

    @property
    def _has_bar(self) -> bool:
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
        return self._form == "bar" or (self._form == "auto" and is_terminal)

    def _drop_bar(self) -> None:
        """Make room for another bar."""
        if self._bar is not None:
            self._bar.leave = False
            self._bar.close()
            self._bar = None

    def say(self, message: str, level: str = "note") -> None:
        """Print a line on stderr, above the bar if there is one; a closed stderr is no error.

        Control characters in it are made visible. Programs get it with its level.
        """
        if self._events is not None:
            self._events.message(level, message)
        elif sys.stderr is not None:
            with suppress(OSError, ValueError):
                tqdm.write(visible(message), file=sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        if record.levelno == FILES:
            if self._events is not None:
                self._events.file(record.getMessage())
        elif self._events is not None:
            self._events.message(level, record.getMessage())
        else:
            self.say(f"{level}: {record.getMessage()}")

    def failed(self, message: str, status: int) -> int:
        """Say why the program ends; returns the exit status."""
        if self._events is not None:
            self._events.failed(message, status)
        else:
            self.say(f"error: {message}" if status < 128 else message)
        return status

    def done(self, result: MattingResult) -> None:
        """Say what a run has done."""
        if self._events is not None:
            self._events.done(
                {
                    "frames": result.frames,
                    "resumed": result.resumed,
                    "seconds": round(result.seconds, 3),
                    "outputs": result.outputs,
                    "status": 0,
                }
            )
            return
        self.close_bar()
        outputs = ", ".join(str(path) for path in result.outputs) or "standard output"
        count = result.frames - result.resumed
        self.say(
            f"{count} frame{'s' * (count != 1)} in {result.seconds:.1f} s "
            f"({result.speed:.1f} a second): {outputs}"
        )
        self.say(result.bottleneck)
        if result.note is not None:
            self.say(result.note)

    def begin(self, message: str) -> None:
        """Say that another clip begins."""
        self._drop_bar()
        self.say(message)
        self._last_done, self._since = 0, (0, time.monotonic())

    def __enter__(self) -> Self:
        logger.addHandler(self)
        logger.setLevel(self.level)
        logger.propagate = False
        self._handlers = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and & ignore signals
                    self._handlers[number] = signal.signal(number, self._stop)
            # Before any signal: a handler may interrupt what starts a thread.
            threading.Thread(target=self._end_at_once_if_asked, name="signals", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._again.put(None)
        logger.removeHandler(self)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
        self.close_bar()

    def close_bar(self) -> None:
        """Leave the bar as it is; lines come below it from now on."""
        if self._bar is not None:
            self._bar.close()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Only take note: the signal may arrive while a line is printed or a file is closed."""
        if self.signal is not None:
            self._again.put(number)
            return
        self.signal = number
        again = "; press Ctrl-C again to stop at once" if number == signal.SIGINT else ""
        self._say_at_once(f"stopping after the current frames{again}")

    def _end_at_once_if_asked(self) -> None:
        """After a second signal, end the program, unless the run ends by itself soon."""
        if self._again.get() is None:
            return
        with suppress(Empty):
            if self._again.get(timeout=_GRACE) is None:
                return
        # Threads, as a disk that does not answer must not keep the program.
        last_words = threading.Thread(target=abandon_runs, daemon=True)
        last_words.start()
        last_words.join(_LAST_WORDS)
        self._say_at_once("stopped at once; what was written until now is kept")
        os._exit(128 + (self.signal or signal.SIGINT))

    def _say_at_once(self, message: str) -> None:
        """Print a line without the locks of stderr, which the interrupted code may hold."""
        with suppress(Exception):  # stderr may be closed, or no file
            line = f"{message}\n" if self._bar is None else f"\n{message}\n"
            os.write(sys.stderr.fileno(), line.encode())


def _open_bar(stage: str | None, done: int, total: int | None) -> tqdm:
    if stage is None:
        return tqdm(total=total, initial=done, unit="frame", dynamic_ncols=True)
    form = "{desc}: {n_fmt} of {total_fmt} |{bar}| {remaining} left" if total else None
    return tqdm(total=total, initial=done, desc=stage, bar_format=form, dynamic_ncols=True)


def _line(stage: str | None, done: int, expected: int | None, speed: float) -> str:
    left = (expected or 0) - done
    line = f"{done} of {expected}" if left >= 0 else f"{done}"
    line = f"{line} frames" if stage is None else f"{stage}: {line}"
    if speed and stage is None:
        line += f", {speed:.1f} a second"
    if speed and left >= 0:
        line += f", {left / speed:.0f} s left"
    return line
