"""The frame writer: the base class of everything that takes frames."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from media import MattingError

from .formats import Depth

if TYPE_CHECKING:
    from .encoded import Encoded

logger = logging.getLogger("bgmv2")

#: Level of messages that are the path of a file that has just been completed.
FILES = logging.INFO


class WriteError(MattingError, OSError):
    """Output that could not be written; the message names the file."""


class FrameWriter(ABC):
    """Takes frames, batch after batch, until it is closed.

    An error in a background thread is raised by the next ``add_batch``, or by ``close``.

    Attributes:
        depth: Bits per level, or the type of float; a run rounds frames to these levels.
        linear: Colours are linear light, rather than levels of sRGB.
        premultiplied: Colours of frames with alpha are multiplied by it.
        margin: Pixels around the subject in which frames with straight alpha keep its colours: a
            lossy codec mixes neighbours, and those at the edge should not get darker.
        holds: What the files of the writer hold, for the report of a run.
        busy_seconds: Working time so far in seconds, averaged over the threads of the writer.
    """

    depth: Depth = 8
    linear: bool = False
    premultiplied: bool = False
    margin: int = 0
    holds: Mapping[str, Any] = MappingProxyType({})
    busy_seconds: float = 0.0

    @abstractmethod
    def add_batch(self, frames: Tensor) -> None:
        """Take frames.

        Args:
            frames: (B, C, H, W), float or integer levels of ``depth``, on any device; RGB (C = 3),
                RGB and alpha (C = 4) or one level (C = 1). The writer stores them as they are:
                colours are levels of sRGB in [0, 1] with straight alpha, unless ``linear`` or
                ``premultiplied`` say otherwise. The caller may change the tensor afterwards.

        Raises:
            ValueError: The writer cannot hold such frames, or is closed.
            OSError: Earlier frames could not be written.
        """

    def add_encoded(self, content: "Encoded") -> None:
        """Take one frame as the content of its file, which another process has encoded.

        Raises:
            TypeError: This writer makes no file for each frame.
        """
        raise TypeError(f"{type(self).__name__} takes frames, not files")

    @abstractmethod
    def close(self) -> None:
        """Finish writing all frames. A second call is harmless."""

    def abort(self) -> None:
        """Close after a failure elsewhere; frames taken so far are written all the same."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(Exception):  # what ended the work matters more
                self.abort()
