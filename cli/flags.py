"""The flags of the command line, made from the declarations of the settings."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from pipeline.declaration import Group, Setting
from pipeline.settings import Settings, declared_settings, format_list

from .events import PROGRESS_FORMS
from .visible import visible

#: The flags of the paper's script. Any abbreviation that was unambiguous among them stays so; no
#: other flag can be abbreviated.
_ORIGINAL_FLAGS = (
    "--model-type",
    "--model-backbone",
    "--model-backbone-scale",
    "--model-checkpoint",
    "--model-refine-mode",
    "--model-refine-sample-pixels",
    "--model-refine-threshold",
    "--model-refine-kernel-size",
    "--video-src",
    "--video-bgr",
    "--video-target-bgr",
    "--video-resize",
    "--device",
    "--preprocess-alignment",
    "--output-dir",
    "--output-types",
    "--output-format",
)


def read_flags(argv: Sequence[str], *, version: str) -> argparse.Namespace:
    """Read a command line; exits with status 2 if it is wrong.

    Args:
        argv: The arguments.
        version: What ``--version`` prints.
    """
    parser = _Parser(
        prog="inference-video",
        description="Cut a subject out of a clip, given the empty scene (the plate).",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bgmv2 {version}")
    parser.add_argument(
        "--list-formats",
        action=_ListFormats,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show what can be written, and exit",
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        help="show the traceback of an error, and which form of the network is used",
    )
    parser.add_argument(
        "--progress",
        dest="progress_form",
        choices=PROGRESS_FORMS,
        default="auto",
        help="how to tell progress: a bar, plain lines, or on stdout one JSON object a line or the "
        "messages of Open Job Description; auto is a bar on a terminal, and plain lines elsewhere "
        "(default: auto)",
    )
    parser.add_argument(
        "--jobs",
        type=Path,
        metavar="LIST",
        help="matte several clips: a CSV or JSON list with a row for each, whose names are those "
        "of flags and whose values replace those of the command line",
    )
    has_jobs = any(argument.partition("=")[0] == "--jobs" for argument in argv)
    for name in get_args(Group):
        group = parser.add_argument_group(name)
        for setting in declared_settings(Settings).values():
            if setting.flag.group == name:
                _add(group, setting, required=not has_jobs)
    return parser.parse_args(_joined([_unabbreviated(argument) for argument in argv]))


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {visible(message)} (--help describes every flag)\n")


class _ListFormats(argparse.Action):
    """Prints the formats and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(format_list())
        parser.exit()


def _add(group: argparse._ArgumentGroup, setting: Setting, *, required: bool) -> None:
    options: dict[str, Any] = {"dest": setting.name, "help": help_of(setting)}
    if setting.is_switch:
        group.add_argument(
            setting.option, action="store_false" if setting.default else "store_true", **options
        )
        return
    options["type"] = _parser_of(setting)
    options["metavar"] = setting.flag.metavar
    if setting.choices:
        options["choices"] = setting.choices
    if setting.count is not None:
        options["nargs"] = setting.count
    if setting.count == "?":
        options["const"] = True
    if setting.name == "output_dir" or setting.is_required:  # programs may give sinks instead
        options["required"] = required
    if not setting.is_required:
        options["default"] = setting.default
    group.add_argument(setting.option, **options)


def help_of(setting: Setting) -> str:
    """The help of a flag, with its default if it has one."""
    default = default_of(setting)
    return setting.flag.help + (f" (default: {default})" if default else "")


def default_of(setting: Setting) -> str:
    """The default of a flag in words; empty where there is none to tell."""
    if setting.flag.default is not None:
        return setting.flag.default
    if setting.is_required or setting.default is None or isinstance(setting.default, bool):
        return ""
    values = setting.default if isinstance(setting.default, tuple) else (setting.default,)
    return " ".join(map(str, values))


def _parser_of(setting: Setting) -> Any:
    def parse(text: str) -> Any:
        try:
            return setting.parse(text)
        except ValueError as error:
            told = setting.flag.parse is not None
            reason = str(error) if told else f"{text!r}: expected {setting.expected}"
            raise argparse.ArgumentTypeError(reason) from error

    return parse


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join ``--frames`` and a negative range, which argparse would take for another flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--frames" and re.match(r"-\d", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _unabbreviated(argument: str) -> str:
    """Complete a shortened flag of the paper's script."""
    flag, equals, value = argument.partition("=")
    if not flag.startswith("--") or len(flag) < 3 or flag in _ORIGINAL_FLAGS:
        return argument
    meant = [name for name in _ORIGINAL_FLAGS if name.startswith(flag)]
    return meant[0] + equals + value if len(meant) == 1 else argument


def flag_table() -> str:
    """The flags as a table in Markdown, for the docs."""
    lines = ["| flag | values | default | what |", "| --- | --- | --- | --- |"]
    for setting in declared_settings(Settings).values():
        if setting.is_switch:
            values = ""
        elif setting.choices:
            values = ", ".join(map(str, setting.choices))
        else:
            metavar = setting.flag.metavar or setting.expected.removeprefix("one of ")
            values = " ".join(metavar) if isinstance(metavar, tuple) else metavar
        values = values.replace("|", " or ")
        lines.append(
            f"| `{setting.option}` | {values} | {default_of(setting)} | {setting.flag.help} |"
        )
    return "\n".join(lines)
