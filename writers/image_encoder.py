"""Encodes frames as the content of image files, also for another process that saves them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from media import UsageError

from .encoded import About, Encoded
from .formats import Depth, Format, encoder_of
from .quantize import to_host_levels
from .threaded import ThreadedWriter


@dataclass(frozen=True)
class ImageEncoder:
    """Makes the content of a frame's file. It can be sent to another process.

    Attributes:
        form: The format.
        depth: Bits per level, or the type of float, that the format holds.
        about: What all files say.
    """

    form: Format
    depth: Depth
    about: About

    def __call__(self, frame: Tensor, number: int) -> Encoded:
        """Encode a frame.

        Args:
            frame: (C, H, W), integers or floats of the depth, on the host.
            number: That of its file.

        Raises:
            WriteError: The format cannot hold it.
        """
        about = replace(self.about, number=number)
        encoded: Encoded = encoder_of(self.form).encode(frame.permute(1, 2, 0).numpy(), about)
        return encoded

    def levels(self, frames: Tensor) -> Tensor:
        """Frames (B, C, H, W), on the host and rounded to the depth.

        Raises:
            UsageError: They have alpha, which the format does not hold.
        """
        if frames.shape[1] == 4 and not self.form.alpha:
            name = self.form.extension
            raise UsageError(f"{name} holds no alpha; use png for frames with 4 channels")
        return to_host_levels(frames, self.depth)


class EncodedFrames(ThreadedWriter):
    """Keeps frames as the content of their files, for a process that saves them.

    Args:
        encoder: Encodes them.
        numbers: Those of the files, read one by one as frames arrive.
        workers: Number of encoding threads.
    """

    def __init__(self, encoder: ImageEncoder, numbers: Iterator[int], *, workers: int):
        self.depth, self._encoder, self._numbers = encoder.depth, encoder, numbers
        self._files: dict[int, np.ndarray] = {}
        super().__init__(workers=workers, queue_size=2 * workers + 1)

    def add_batch(self, frames: Tensor) -> None:
        self._check()
        for frame in self._encoder.levels(frames):
            self._submit(self._keep, frame, next(self._numbers))

    def _keep(self, frame: Tensor, number: int) -> None:
        content = b"".join(self._encoder(frame, number))
        self._files[number] = np.frombuffer(content, np.uint8)

    @property
    def files(self) -> list[np.ndarray]:
        """The bytes of each file, uint8, in the order of their numbers, once it is closed."""
        return [self._files[number] for number in sorted(self._files)]

    def _finalize(self, *, aborted: bool) -> None:
        pass
