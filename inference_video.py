"""Video matting with a background plate: clip and plate in, subject with transparency out."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace

    from media import MattingError, UsageError
    from pipeline import MattingResult, matte_video
    from pipeline.version import __version__
    from writers import ImageSequenceWriter, VideoWriter

__all__ = [
    "ImageSequenceWriter",
    "MattingError",
    "MattingResult",
    "UsageError",
    "VideoWriter",
    "__version__",
    "main",
    "matte_video",
    "parse_args",
]

#: Where to find what is imported from here: PyTorch is loaded when it is needed, not for --help.
_EXPORTS = {
    "ImageSequenceWriter": "writers",
    "MattingError": "media",
    "MattingResult": "pipeline",
    "UsageError": "media",
    "VideoWriter": "writers",
    "__version__": "pipeline.version",
    "matte_video": "pipeline",
}
#: The packages that stand beside this file.
_ROOMS = ("cli", "dataset", "media", "model", "pipeline", "plate", "writers")


def _check_rooms() -> None:
    """Check that no module of somebody else hides one of our packages.

    Raises:
        ImportError: One does, such as a ``model.py`` in the folder of the importing script.
    """
    here = Path(__file__).resolve().parent
    for room in _ROOMS:
        module = sys.modules.get(room)
        found = getattr(module, "__file__", None)
        if module is None and (spec := find_spec(room)) is not None:
            found = spec.origin or next(iter(spec.submodule_search_locations or ()), None)
        if found is not None and Path(found).resolve().parent != here / room:
            raise ImportError(
                f"{found} hides the package {room!r} of inference_video; rename it, or import "
                "inference_video from another folder",
                name=room,
                path=found,
            )


_check_rooms()


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def parse_args(argv: Sequence[str] | None = None) -> "Namespace":
    """Read the command line; what it leaves out has the default of ``pipeline.Settings``."""
    from cli.flags import read_flags
    from pipeline.version import __version__

    return read_flags(sys.argv[1:] if argv is None else argv, version=__version__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0, 1 for a failure, 2 for settings that do not go together, 130 after
        Ctrl-C and 143 after SIGTERM.
    """
    given = sys.argv[1:] if argv is None else argv
    with _ended_by_ctrl_c(for_good=argv is None):
        if given[:1] == ["join"]:
            from cli.join import join

            return join(given[1:])
        args = vars(parse_args(given))
        # Before PyTorch loads OpenMP, whose idle threads otherwise spin, and take the cores from
        # those that decode and encode.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from cli.program import run

        return run(args)


@contextmanager
def _ended_by_ctrl_c(*, for_good: bool) -> Iterator[None]:
    """Unless the program listens to Ctrl-C, it ends there and then, without a traceback.

    Args:
        for_good: Leave it so afterwards, for a process that does nothing else.
    """
    try:
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # not the main thread
        before = None
    try:
        yield
    finally:
        if before is signal.default_int_handler and not for_good:
            signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
