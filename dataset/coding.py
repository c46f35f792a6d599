"""How the levels of a video encode colours: its matrix and its range."""

from dataclasses import dataclass
from typing import Literal

#: The matrix of a video, and the range of its levels: black at 16 and white at 235, or at 0 and 255
#: (of 8 bits). ``auto`` leaves them to the tags.
Matrix = Literal["auto", "bt601", "bt709", "bt2020"]
Range = Literal["auto", "limited", "full"]


@dataclass(frozen=True)
class YuvCoding:
    """What a video is read as, whatever its tags say.

    Attributes:
        matrix: The matrix.
        range: The range.
    """

    matrix: Matrix = "auto"
    range: Range = "auto"
