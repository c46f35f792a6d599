"""Numbered names of images: their order, and the sequences that a folder holds."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path

#: A number; a hyphen is a minus unless it separates the number from a letter or a digit.
_NUMBER = re.compile(r"(?:(?<![^._ \-])-)?\d+")
#: A whole number, a point and digits: perhaps a decimal number.
_DECIMAL = re.compile(r"(?<![\d.,])(\d+[.,])(\d+)(?=\D*$)")
#: What file managers append to the name of a copy.
_COPY_MARK = re.compile(r"(?: ?\(\d+\)| - copy(?: ?\(\d+\))?| copy(?: \d+)?|_copy)$", re.IGNORECASE)


@dataclass(frozen=True)
class Numbered:
    """A file whose name was taken apart: ``texts`` lie around the ``numbers``."""

    path: Path
    texts: tuple[str, ...]
    numbers: tuple[str, ...]

    @cached_property
    def shape(self) -> tuple[str, ...]:
        """Equal for names that differ in their numbers, or in case, alone."""
        return tuple(text.lower() for text in self.texts)

    @property
    def key(self) -> list[tuple[int, int, str]]:
        """Sort key: texts by letter, numbers by value."""
        key = [(0, 0, self.texts[0].lower())]
        for number, text in zip(self.numbers, self.texts[1:], strict=True):
            key += [(1, int(number), number), (0, 0, text.lower())]
        return key


@dataclass(frozen=True)
class Numbers:
    """A sequence: files whose names differ in one number.

    Attributes:
        paths: The files in the order of their numbers.
        numbers: Their numbers, ascending.
        pattern: The common name, such as ``shot.%04d.png``.
    """

    paths: list[Path]
    numbers: list[int]
    pattern: str

    @property
    def digits(self) -> int:
        """How many digits the numbers have at least, zeros in front included; 0 if that varies."""
        width = re.search(r"%0(\d+)d", self.pattern)
        return int(width[1]) if width else 0

    def __str__(self) -> str:
        return f"{self.pattern} ({len(self.paths)} images)"


def take_apart(paths: Iterable[Path]) -> list[Numbered]:
    """Take names apart.

    A hyphen behind a blank or another hyphen is a minus only if the same name has numbers without
    it, too.
    """
    names = [_split(path, _NUMBER) for path in paths]
    if not any(number[0] == "-" for name in names for number in name.numbers):
        return names
    unsigned: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for name in names:
        unsigned[name.shape] |= {n for n, number in enumerate(name.numbers) if number[0] != "-"}
    for place, name in enumerate(names):
        doubtful = any(
            number[0] == "-" and n not in unsigned[name.shape] and name.texts[n][-1:] in (" ", "-")
            for n, number in enumerate(name.numbers)
        )
        if doubtful:
            names[place] = _split(name.path, re.compile(r"\d+"))
    return names


def _split(path: Path, number: re.Pattern[str]) -> Numbered:
    numbers = tuple(number.findall(path.name))
    # Digits of other scripts may be ones that int() does not know.
    if not all(found.lstrip("-").isdecimal() for found in numbers):
        return Numbered(path, (path.name,), ())
    return Numbered(path, tuple(number.split(path.name)), numbers)


def in_order(paths: Iterable[Path]) -> tuple[list[Path], str | None]:
    """Sort files by their names: ``2`` before ``10``, ``-2`` before ``-1``, ``0.04`` before 0.2.

    Returns:
        The files, and a sentence for the user where the order is not certain.
    """
    names = sorted(take_apart(paths), key=lambda name: name.key)
    ordered = [name.path for name in names]
    only_negative = bool(names) and all(
        any(number[0] == "-" for number in name.numbers) for name in names
    )
    if only_negative and len(names) > 1:
        return ordered, (
            f"the numbers are read as negative ones, from {names[0].path.name} to "
            f"{names[-1].path.name}; if the hyphen only separates, replace it by another character"
        )
    return _with_decimals(ordered)


def _with_decimals(ordered: list[Path]) -> tuple[list[Path], str | None]:
    """Sort decimal numbers of unequal length by their value, if they are plainly decimal."""
    found = {path: _DECIMAL.search(path.stem) for path in ordered}
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path, match in found.items():
        if match:
            around = path.stem[: match.start()], path.stem[match.end() :] + path.suffix
            groups[around].append(path)
    told = None

    def value(path: Path) -> float:
        match = found[path]
        assert match is not None
        return float(match[1][:-1] + "." + match[2])

    for members in groups.values():
        by_value = sorted(members, key=value)
        if by_value == members:
            continue
        digits = [match[2] for path in members if (match := found[path])]
        if any(len(x) > 1 and x[0] == "0" for x in digits) and len(members) == len(ordered):
            return by_value, None
        wholes = defaultdict(list)
        for path in members:
            if match := found[path]:
                wholes[match[1]].append(int(match[2]))
        if all(set(range(min(x), max(x) + 1)) == set(x) and len(x) > 2 for x in wholes.values()):
            continue  # frame numbers behind a point
        first, second = next((a, b) for a, b in pairwise(members) if value(a) > value(b))
        told = (
            f"{first.name} is read before {second.name}, by whole numbers; if these are decimal "
            "numbers, give all of them as many digits"
        )
    return ordered, told


def copies_in(paths: Sequence[Path]) -> list[Path]:
    """Files named as a file manager names the copy of another, numbered one of ``paths``."""
    names = {path.name.lower() for path in paths}
    copies = []
    for path in paths:
        if "(" not in path.name and "copy" not in path.name.lower():  # nearly all, and fast
            continue
        original = _COPY_MARK.sub("", path.stem)
        has_original = (original + path.suffix).lower() in names
        if original != path.stem and re.search(r"\d", original) and has_original:
            copies.append(path)
    return copies if 2 * len(copies) <= len(paths) else []


def sequences_in(paths: Iterable[Path]) -> tuple[list[Numbers], list[Path]]:
    """The numbered sequences among some files, the longest first, and the files in none."""
    shapes: dict[tuple[str, ...], list[Numbered]] = defaultdict(list)
    for name in take_apart(paths):
        shapes[name.shape].append(name)
    sequences: list[Numbers] = []
    for members in shapes.values():
        sequences += _sequences_of(members)
    sequences = _joined(sequences)
    held = {path for one in sequences for path in one.paths}
    rest = [name.path for members in shapes.values() for name in members if name.path not in held]
    return sorted(sequences, key=lambda one: -len(one.paths)), rest


def only_numbers(paths: Iterable[Path]) -> tuple[list[int], int]:
    """The numbers of files whose names differ in one number alone, however far these lie apart.

    Returns:
        The numbers in the order of the files, ascending, and the digits that they have at least;
        no numbers if the names differ in more than that.
    """
    names = take_apart(paths)
    if len({name.shape for name in names}) != 1:
        return [], 0
    columns = list(zip(*(name.numbers for name in names), strict=True))
    changing = [column for column in columns if len(set(column)) > 1]
    if len(changing) != 1:
        return [], 0
    numbers = [int(number) for number in changing[0]]
    if any(b <= a for a, b in pairwise(numbers)):
        return [], 0
    return numbers, digits_of(changing[0])


def digits_of(numbers: Sequence[str]) -> int:
    """How many digits numbers have at least, zeros in front included; 0 if that varies."""
    widths = {len(number) for number in numbers}
    padded = any(n.lstrip("-")[0] == "0" and len(n) > 1 for n in numbers)
    is_fixed = padded or (len(widths) == 1 and min(widths) > 1)
    return min(widths, default=0) if is_fixed else 0


def _sequences_of(members: list[Numbered]) -> list[Numbers]:
    """The sequences among names of one shape; none where several numbers change at random."""
    values = list(zip(*(name.numbers for name in members), strict=True))
    changing = [n for n, column in enumerate(values) if len(set(column)) > 1]
    if len(members) < 2 or not changing:
        return []
    if len(changing) == 1:
        return [one for one in _by_padding(members, changing[0]) if one]
    for field in sorted(changing, key=lambda n: (-len(set(values[n])), -n)):
        groups = defaultdict(list)
        for name in members:
            groups[name.numbers[:field] + name.numbers[field + 1 :]].append(name)
        found = [_sequence(group, field) for group in groups.values()]
        whole = [one for one in found if one is not None]
        spans = [range(one.numbers[0], one.numbers[-1] + 1) for one in whole]
        single = [g[0] for g, one in zip(groups.values(), found, strict=True) if one is None]
        fits = all(any(int(name.numbers[field]) in span for span in spans) for name in single)
        apart = all(a.stop <= b.start for a, b in pairwise(sorted(spans, key=lambda s: s.start)))
        if len(whole) + len(single) == len(groups) and fits and (single or not apart):
            return whole
    return []


def _by_padding(members: list[Numbered], field: int) -> list[Numbers | None]:
    """One sequence, or two where numbers with and without leading zeros are the same."""
    numbers = [name.numbers[field] for name in members]
    if len(set(map(int, numbers))) == len(numbers):
        return [_sequence(members, field)]
    width = max(len(number) for number in numbers if number.lstrip("-")[0] == "0")
    padded = [name for name in members if len(name.numbers[field]) == width]
    return [_sequence(padded, field), _sequence([x for x in members if x not in padded], field)]


def _sequence(members: list[Numbered], field: int) -> Numbers | None:
    """The names as a sequence; None if their numbers are too far apart for one."""
    members = sorted(members, key=lambda name: int(name.numbers[field]))
    numbers = [int(name.numbers[field]) for name in members]
    steps = {b - a for a, b in pairwise(numbers)}
    if len(members) < 2 or 0 in steps:
        return None
    even = len(steps) == 1 and len(members) > 2
    if numbers[-1] - numbers[0] >= 2 * len(numbers) and not even:
        return None
    texts, held = members[0].texts, list(members[0].numbers)
    widths = {len(name.numbers[field]) for name in members}
    padded = any(name.numbers[field].lstrip("-")[0] == "0" for name in members) and max(widths) > 1
    held[field] = f"%0{min(widths)}d" if padded or (len(widths) == 1 and min(widths) > 1) else "%d"
    pattern = texts[0] + "".join(a + b for a, b in zip(held, texts[1:], strict=True))
    return Numbers([name.path for name in members], numbers, pattern)


def _joined(sequences: list[Numbers]) -> list[Numbers]:
    """Join sequences that differ in their extension and have no number in common."""
    joined: list[Numbers] = []
    for one in sequences:
        stem = Path(one.pattern).stem.lower()
        for place, other in enumerate(joined):
            alike = Path(other.pattern).stem.lower() == stem
            if alike and not set(one.numbers) & set(other.numbers):
                both = sorted(
                    zip(one.numbers + other.numbers, one.paths + other.paths, strict=True)
                )
                pattern = str(Path(one.pattern).with_suffix(".*"))
                joined[place] = Numbers([p for _, p in both], [n for n, _ in both], pattern)
                break
        else:
            joined.append(one)
    return joined


def overlap(sequences: Iterable[Numbers]) -> bool:
    """Whether two sequences have a number in common."""
    return any(set(a.numbers) & set(b.numbers) for a, b in combinations(sequences, 2))
