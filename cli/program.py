"""The program behind the command line: it runs, shows progress, and says how it ended."""

import atexit
import ctypes
import logging
import os
import signal
import traceback
import warnings
from contextlib import suppress
from typing import Any

import cv2
from PIL import _imaging

from media import MattingError, UsageError
from pipeline import matte_video

from .allocator import configure_allocator
from .console import Console


def run(args: dict[str, Any]) -> int:
    """Matte with the settings of a command line, by name, and ``debug``.

    Returns:
        The exit status; see :func:`inference_video.main`.
    """
    _end_silently_on_ctrl_c()
    configure_allocator()
    _silence_libraries()
    debug = args.pop("debug")
    with Console(level=logging.DEBUG if debug else logging.WARNING) as console:
        try:
            result = matte_video(**args, progress=console.progress, preparing=console.preparing)
        except KeyboardInterrupt:
            console.say("stopped; what was written until now is kept")
            return 128 + (console.signal or signal.SIGINT)
        except Exception as error:
            if debug:
                for line in traceback.format_exc().splitlines():
                    console.say(line)
            console.say(f"error: {_one_line(error)}")
            return 2 if isinstance(error, UsageError) else 1
        console.close_bar()
        outputs = ", ".join(str(path) for path in result.outputs)
        console.say(
            f"{result.frames - result.resumed} frames in {result.seconds:.1f} s "
            f"({result.speed:.1f} a second): {outputs}"
        )
        console.say(result.bottleneck)
        if result.note is not None:
            console.say(result.note)
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
