"""Makes control characters visible: names of files may hold some that a terminal would obey."""

import unicodedata

#: Categories of Unicode: control characters, surrogates, ends of lines and of paragraphs.
_HIDDEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
#: Characters that change the direction of the text around them.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """The text as one line that a terminal only shows: an escape, for one, becomes ``\\x1b``."""
    return "".join(
        char.encode("unicode_escape").decode()
        if char in _DIRECTIONS or unicodedata.category(char) in _HIDDEN
        else char
        for char in text
    )
