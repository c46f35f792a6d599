"""``inference-video join``: checks and joins what runs with ``--frames`` have written."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from media import FrameRange, MattingError, UsageError

from .visible import visible


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {visible(message)} (join --help describes it)\n")


def join(argv: Sequence[str]) -> int:
    """Run ``inference-video join``.

    Args:
        argv: The arguments after ``join``.

    Returns:
        The exit status: 0 if every frame is there and whole, 1 if not, 2 for a wrong command line.
    """
    parser = _Parser(
        prog="inference-video join",
        description="Check that runs with --frames have written every frame once and whole, and "
        "join their videos without encoding them again.",
    )
    parser.add_argument("folder", type=Path, metavar="OUT", help="the --output-dir of the runs")
    parser.add_argument(
        "--frames", type=_frame_range, metavar="RANGE", help="expect these frames, and not the clip"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    from pipeline import join_parts  # which takes a moment

    try:
        joined = join_parts(args.folder, args.frames, lambda text: _say(f"warning: {text}"))
    except MattingError as error:
        if args.debug:
            _say(traceback.format_exc(), as_it_is=True)
        _say(f"error: {error}")
        return 2 if isinstance(error, UsageError) else 1
    outputs = ", ".join(map(str, joined.outputs))
    _say(f"frames {joined.frames}: all {joined.count} are there and whole: {outputs}")
    return 0


def _frame_range(text: str) -> FrameRange:
    try:
        return FrameRange.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _say(text: str, *, as_it_is: bool = False) -> None:
    print(text if as_it_is else visible(text), file=sys.stderr)
