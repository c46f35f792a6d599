"""Patterns: the names of a sequence, as ``shot.%04d.png``, ``shot.####.png`` or ``shot.*.png``."""

import re
from collections.abc import Iterable
from pathlib import Path

from .names import digits_of

#: The number in a pattern, as FFmpeg, Nuke, fileseq and Houdini write it; then wildcards.
_PARTS = re.compile(r"%0?(\d*)d|(#+)|(@@+|(?<=[._])@(?=\.))|\$F(\d*)|(\*)|(\?)")


def is_pattern(path: Path) -> bool:
    """Whether a path that does not exist may be a pattern of names."""
    return bool(_PARTS.search(path.name))


def matching(pattern: str, paths: Iterable[Path]) -> tuple[list[Path], bool]:
    """The files whose names match a pattern.

    Args:
        pattern: A name. A number of n places holds numbers of n digits, and longer ones without
            leading zeros. Where there are none, and for one place, numbers of any length; where
            these are there with and without leading zeros, those without.
        paths: The files.

    Returns:
        The files, and whether they are in the order of their numbers.
    """
    paths = list(paths)
    for exact in (True, False):
        expression = _expression(pattern, exact)
        found = [(match, path) for path in paths if (match := expression.fullmatch(path.name))]
        if found and expression.groups:
            found.sort(key=lambda item: ([int(number) for number in item[0].groups()], item[1]))
        values = [tuple(map(int, match.groups())) for match, _ in found] if exact else []
        if expression.groups and len(set(values)) < len(values):  # f_1 and f_0001
            found = [x for x in found if not any(re.match("-?0.", n) for n in x[0].groups())]
        if found:
            return [path for _, path in found], bool(expression.groups)
    return [], False


def numbers_of(pattern: str, paths: Iterable[Path]) -> tuple[list[int], int]:
    """The numbers of files that match a pattern, in ascending order.

    Returns:
        The numbers, and how many digits they have at least, 0 if that varies; no numbers unless
        the pattern has one place for them.
    """
    expression = _expression(pattern, False)
    if expression.groups != 1:
        return [], 0
    names = [match[1] for path in paths if (match := expression.fullmatch(path.name))]
    return [int(name) for name in names], digits_of(names)


def _expression(pattern: str, exact: bool) -> re.Pattern[str]:
    parts, end = [], 0
    for match in _PARTS.finditer(pattern):
        parts.append(re.escape(pattern[end : match.start()]))
        end = match.end()
        if match[5] or match[6]:
            parts.append(".*" if match[5] else ".")
            continue
        width = int(match[1] or match[4] or len(match[2] or match[3] or " "))
        if exact and width > 1:
            parts.append(rf"([0-9]{{{width}}}|[1-9][0-9]{{{width},}}|-[0-9]{{{width - 1},}})")
        else:
            parts.append(r"(-?[0-9]+)")
    return re.compile("".join(parts) + re.escape(pattern[end:]), re.DOTALL)
