"""Animated WebP, which FFmpeg does not decode."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from statistics import median

from media import Warn, exact_rate

from .alpha import alpha_of_image
from .colourspace import ColourSpace
from .images import DAMAGE_ERRORS, open_image, to_rgb
from .limits import check_file_size, check_pixels
from .sources import Frame, FrameSource, MediaError

_MILLISECOND = Fraction(1, 1000)
#: Milliseconds for which browsers show a frame without a duration.
_DEFAULT_DURATION = 100


class AnimatedWebp(FrameSource):
    """The frames of an animated WebP.

    Args:
        path: The file.
        warn: Called if its colour profile cannot be applied.
        space: The colour space of its frames, if they have no profile.
        alpha: Read alpha, too.

    Raises:
        MediaError: It cannot be read.
    """

    time_base = _MILLISECOND
    frame_rate: Fraction

    def __init__(self, path: Path, warn: Warn, space: ColourSpace, *, alpha: bool = False):
        self.name, self._path, self._warn = str(path), path, warn
        self._space, self._alpha = space, alpha
        check_file_size(path)
        data = path.read_bytes()
        try:
            durations = list(_durations(data))
            with open_image(data) as image:
                check_pixels(path, image.size, len(data), deep=False, form="WEBP")
                self.size = image.height, image.width
                self.has_alpha = alpha and image.has_transparency_data
                self.length_hint = getattr(image, "n_frames", 1)
        except DAMAGE_ERRORS as error:
            if isinstance(error, MediaError):
                raise
            raise MediaError(f"{path}: not a readable image") from error
        self._durations = durations
        if len(durations) != self.length_hint:
            raise MediaError(f"{path}: a damaged animation; save it again")
        self.frame_rate = exact_rate(Fraction(1000) / Fraction(median(durations)))

    def __iter__(self) -> Iterator[Frame]:
        warn, self._warn = self._warn, _ignore_warning  # once
        time = 0
        with open_image(self._path.read_bytes()) as image:
            for number, duration in enumerate(self._durations):
                try:
                    image.seek(number)
                    image.load()
                    pixels = to_rgb(image, self._path, warn if number == 0 else _ignore_warning)
                    pha = alpha_of_image(image) if self._alpha else None
                except DAMAGE_ERRORS as error:
                    raise MediaError(
                        f"{self.name}: frame {number} of this animation cannot be read"
                    ) from error
                pixels = pixels if image.info.get("icc_profile") else self._space(pixels)
                yield replace(Frame.of(pixels, pha), time=time * _MILLISECOND)
                time += duration


def _durations(data: bytes) -> Iterator[int]:
    """Milliseconds for each frame; see the WebP container specification, ANMF."""
    place = 12
    while place + 8 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if data[place : place + 4] == b"ANMF":
            duration = int.from_bytes(data[place + 20 : place + 23], "little")
            yield duration or _DEFAULT_DURATION
        place += 8 + length + length % 2


def _ignore_warning(message: str) -> None:
    """For all frames but the first."""
