"""How one setting is declared: its flag, its help, its range, and what depends on it."""

import os
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass
from functools import cached_property
from math import inf, isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, Union, get_args, get_origin

from media import MattingError, UsageError

Group = Literal["input", "network", "output", "machine"]


class Rule(NamedTuple):
    """Which values fit, and how a message describes them."""

    fits: Callable[[Any], object]
    expected: str


def within(least: float, most: float = inf, unit: str = "") -> Rule:
    """The numbers from ``least`` to ``most``."""
    text = f"{least} or more" if most == inf else f"{least} to {most}"
    return Rule(lambda value: least <= value <= most, text + unit)


def matching(pattern: str, expected: str) -> Rule:
    """The texts that a regular expression matches as a whole."""
    return Rule(re.compile(pattern).fullmatch, expected)


A_NUMBER = Rule(isfinite, "a number")


@dataclass(frozen=True, kw_only=True)
class Flag:
    """What the declaration of a setting says beyond its name, type and default.

    Attributes:
        group: Heading in ``--help``.
        help: Its text there.
        metavar: What stands for the value there.
        default: The default in words, where it depends on other things.
        choices: The values that fit; by default those that a ``Literal`` type names.
        rule: Which values fit; by default all of the type.
        parse: Converts the text of a command line, where the type alone cannot.
        bare: What the flag means without a value; the setting's type then includes ``bool``.
        affects: What changes with it: ``frames`` (the bytes of images, so that ``--resume``
            compares it), ``video`` (videos alone), or ``nothing`` of the output.
        reads: Its value may name a file that the run reads.
    """

    group: Group
    help: str
    metavar: str | tuple[str, ...] | None = None
    default: str | None = None
    choices: tuple[str, ...] | None = None
    rule: Rule | None = None
    parse: Callable[[str], Any] | None = None
    bare: Any = None
    affects: Literal["frames", "video", "nothing"] = "frames"
    reads: bool = False


def flag(group: Group, help: str, **more: Any) -> Mapping[str, Flag]:
    """Metadata of a dataclass field; keywords as of :class:`Flag`."""
    return {"flag": Flag(group=group, help=help, **more)}


class Setting:
    """One declared setting, as argparse, the checks and the docs read it.

    Args:
        field: The field of the settings class.
        annotation: Its resolved type.
    """

    def __init__(self, field: Field[Any], annotation: Any):
        self.name, self.default = field.name, field.default
        self.flag: Flag = field.metadata["flag"]
        self._types = _alternatives(annotation)

    @property
    def is_required(self) -> bool:
        return self.default is MISSING

    @property
    def option(self) -> str:
        """The flag on the command line; a switch that is on by default has a ``--no-`` flag."""
        prefix = "no-" if self.is_switch and self.default is True else ""
        return f"--{prefix}{self.name.replace('_', '-')}"

    @property
    def is_switch(self) -> bool:
        return self._types == [bool]

    @property
    def choices(self) -> tuple[Any, ...]:
        """The only values, where they are named; of a sequence, those of its items."""
        if self.flag.choices is not None:
            return self.flag.choices
        return tuple(v for t in self._items for v in get_args(t) if get_origin(t) is Literal)

    @property
    def count(self) -> int | Literal["+", "?"] | None:
        """How many values follow the flag, as argparse puts it; None for one."""
        if bool in self._types:
            return "?"
        if self._sequence is None:
            return None
        return len(get_args(self._sequence)) if get_origin(self._sequence) is tuple else "+"

    def parse(self, text: str) -> Any:
        """The value for a text of the command line.

        Raises:
            ValueError: There is none.
        """
        if self.flag.parse is not None:
            return self.flag.parse(text)
        if self.choices:
            return next((value for value in self.choices if str(value) == text), text)
        return next((kind(text) for kind in (int, float) if kind in self._items), text)

    def checked(self, value: Any) -> Any:
        """The value as the program uses it.

        Raises:
            UsageError: The value does not fit.
            MattingError: The value is a path, and there is no access to it.
        """
        if value is None and None in self._types:
            return None
        if bool in self._types and isinstance(value, bool):
            return self.flag.bare if value and not self.is_switch else value
        if self._sequence is not None:
            is_one = isinstance(value, Iterable) and not isinstance(value, str)
            items = tuple(map(self._whole, value)) if is_one else ()
            wrong = [item for item in items if not self._fits(item)]
            if wrong or not items or self.count not in ("+", len(items)):
                self._refuse(wrong or value)
            return items
        if isinstance(value, str) and self.flag.parse is not None:
            try:
                value = self.flag.parse(value)
            except ValueError:
                self._refuse(value)
        if Path in self._types and isinstance(value, str | Path):
            _check_path(self.option, value)
        value = self._whole(value)
        if not self._fits(value):
            self._refuse(value)
        return value

    @cached_property
    def _sequence(self) -> Any:
        return next((t for t in self._types if get_origin(t) in (tuple, Sequence)), None)

    @cached_property
    def _items(self) -> list[Any]:
        """The types of one value."""
        types = get_args(self._sequence) if self._sequence is not None else self._types
        return [t for t in types if t not in (None, bool)]

    def _whole(self, value: Any) -> Any:
        """Whole numbers of any type, NumPy's too, as Python's."""
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)
        takes_whole = int in self._items or any(type(choice) is int for choice in self.choices)
        return int(value) if is_whole and takes_whole else value

    def _fits(self, value: Any) -> bool:
        if self.choices:
            return any(type(value) is type(choice) and value == choice for choice in self.choices)
        numbers = {int: Integral, float: Real}
        kinds = tuple(numbers.get(kind, kind) for kind in self._items)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        return self.flag.rule is None or bool(self.flag.rule.fits(value))

    def _refuse(self, value: Any) -> NoReturn:
        text = " ".join(map(str, value)) if isinstance(value, tuple | list) else value
        raise UsageError(f"{self.option} {text}: expected {self.expected}")

    @property
    def expected(self) -> str:
        """Which values fit, in words."""
        if self.choices:
            several = "one" if self._sequence is None else "some"
            return f"{several} of {', '.join(map(str, self.choices))}"
        if isinstance(self.flag.metavar, tuple):
            return " ".join(self.flag.metavar)
        return self.flag.rule.expected if self.flag.rule is not None else self.flag.metavar or ""


def _check_path(option: str, path: str | Path) -> None:
    """Refuse a path that cannot be looked at; whether something is there is another question."""
    if not str(path):  # would mean the current folder
        raise UsageError(f"{option} is empty; give a path")
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except ValueError as error:
        raise UsageError(f"{option} {path!r}: {error}") from error
    except OSError as error:
        raise MattingError(f"{path}: {error.strerror}") from error


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [None if t is type(None) else t for t in get_args(annotation)]
    return [annotation]
