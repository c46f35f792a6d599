"""The program behind the command line: it runs, shows progress, and says how it ended."""

import logging
import signal
import traceback
import warnings
from typing import Any

import cv2

from media import MattingError, UsageError
from pipeline import matte_video

from .allocator import configure_allocator
from .console import Console


def run(args: dict[str, Any]) -> int:
    """Matte with the settings of a command line, by name, and ``debug``.

    Returns:
        The exit status; see :func:`inference_video.main`.
    """
    configure_allocator()
    # errors say in one line what is wrong with a file
    warnings.filterwarnings("ignore", module=r"PIL\.")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    debug = args.pop("debug")
    console = Console(level=logging.DEBUG if debug else logging.WARNING)
    with console:
        try:
            result = matte_video(**args, progress=console.progress)
        except KeyboardInterrupt:
            console.say("stopped; what was written until now is kept")
            return 128 + (console.signal or signal.SIGINT)
        except Exception as error:
            if debug:
                traceback.print_exc()
            console.say(f"error: {_one_line(error)}")
            return 2 if isinstance(error, UsageError) else 1
    outputs = ", ".join(str(path) for path in result.outputs)
    console.say(
        f"{result.frames - result.resumed} frames in {result.seconds:.1f} s "
        f"({result.speed:.1f} a second): {outputs}"
    )
    console.say(result.bottleneck)
    return 0


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MattingError):
        return text
    return f"{type(error).__name__}: {text}; this is a defect, --debug shows where"
