"""Times and frame rates in the notation of users."""

import re
from fractions import Fraction

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?|\.\d+)")


def exact_rate(rate: Fraction | float) -> Fraction:
    """The exact frame rate for a rounded one: 30000/1001 for 29.97, for example."""
    for nominal in (24, 30, 48, 60, 120, 240):
        broadcast = Fraction(nominal * 1000, 1001)
        if abs(float(rate) - float(broadcast)) < 0.005:
            return broadcast
    return Fraction(rate).limit_denominator(1_000_000)


def parse_time(text: str) -> Fraction | None:
    """Seconds from ``2.5``, ``01:02.5`` or ``00:01:02.5``; None if ``text`` is not a time."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + Fraction(seconds)


def format_time(seconds: Fraction) -> str:
    """A time as ``00:01:02.500``."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
