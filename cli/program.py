"""The program behind the command line: it runs, shows progress, and says how it ended."""

import atexit
import ctypes
import logging
import os
import signal
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import cv2
from PIL import _imaging

from media import MattingError, UsageError
from pipeline import Networks, matte_video

from .allocator import configure_allocator
from .console import Console
from .events import EVENT_FORMS
from .jobs import read_jobs


def run(args: dict[str, Any]) -> int:
    """Matte with the settings of a command line, by name, and ``debug``.

    Returns:
        The exit status; see :func:`inference_video.main`.
    """
    _end_silently_on_ctrl_c()
    configure_allocator()
    _silence_libraries()
    debug, form, listed = args.pop("debug"), args.pop("progress_form"), args.pop("jobs")
    level = logging.DEBUG if debug else logging.WARNING
    with Console(level=level, form=form) as console:
        if form in EVENT_FORMS and str(args.get("output_dir")) == "-":
            message = f"--progress {form}: standard output is taken by --output-dir -"
            return console.failed(message, 2)
        if listed is None:
            return _matte(args, console, debug=debug)
        try:
            jobs = read_jobs(listed, args)
        except MattingError as error:
            return console.failed(_one_line(error), 2 if isinstance(error, UsageError) else 1)
        return _matte_all(jobs, console, debug=debug)


def _matte(
    args: dict[str, Any], console: Console, *, debug: bool, networks: Networks | None = None
) -> int:
    """Matte one clip; returns the exit status."""
    try:
        result = matte_video(
            **args, networks=networks, progress=console.progress, preparing=console.preparing
        )
    except KeyboardInterrupt:
        status = 128 + (console.signal or signal.SIGINT)
        return console.failed("stopped; what was written until now is kept", status)
    except Exception as error:
        if debug:
            for line in traceback.format_exc().splitlines():
                console.say(line)
        return console.failed(_one_line(error), 2 if isinstance(error, UsageError) else 1)
    console.done(result)
    return 0


def _matte_all(jobs: Sequence[dict[str, Any]], console: Console, *, debug: bool) -> int:
    """Matte several clips, those after one that fails, too; returns the exit status."""
    failed: list[str] = []
    networks = Networks()
    for number, job in enumerate(jobs, start=1):
        name = f"job {number} of {len(jobs)}, {job['video_src']}"
        console.begin(name)
        status = _matte(job, console, debug=debug, networks=networks)
        if status >= 128:
            return status
        if status:
            failed.append(name)
    console.say(f"{len(jobs) - len(failed)} of {len(jobs)} jobs are done")
    if failed:
        return console.failed(f"failed: {'; '.join(failed)}", 1)
    return 0


def _silence_libraries() -> None:
    """Let our errors alone say what is wrong with a file, in one line."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with suppress(OSError, AttributeError):  # where Pillow holds libtiff within itself
        pillow = ctypes.CDLL(_imaging.__file__)
        pillow.TIFFSetErrorHandler(None)
        pillow.TIFFSetWarningHandler(None)


def _end_silently_on_ctrl_c() -> None:
    """While the console does not listen, Ctrl-C has its status: nothing is open then.

    ``inference_video.main`` has set the default action if this process is the command line's.
    """
    with suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
            # Python resets its handlers when it ends, which takes a moment.
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _one_line(error: Exception) -> str:
    if isinstance(error, MattingError):
        return str(error).strip()
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}; this is a defect, --debug shows where"
