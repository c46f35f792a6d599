"""What an output format is, and which picture each kind of output shows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from torch import Tensor

from .base import FrameWriter
from .composite import error_map, over, refined_map
from .outputs import Kind, Output


class Matte(Protocol):
    """What is known of a batch; ``model.Prediction`` says what each means."""

    @property
    def pha(self) -> Tensor: ...
    @property
    def fgr(self) -> Tensor: ...
    @property
    def err(self) -> Tensor: ...
    @property
    def ref(self) -> Tensor | None: ...
    @property
    def padded_size(self) -> tuple[int, int]: ...
    def cut_out(self) -> Tensor: ...


#: From a matte and a target to the frames (B, C, H, W) of one kind.
Composer = Callable[[Matte, Tensor | None], Tensor]


@dataclass(frozen=True)
class Clip:
    """What a sink may need to know of the clip and of the user's wishes.

    Attributes:
        size: (height, width) of every frame.
        frame_rate: Frames per second.
        time_base: Tick in seconds of which every time is a multiple; None without times.
        timestamps: Gives a fresh iterator over the times of the frames as they arrive.
        audio: A file with the sound of the clip; None without any.
        image_extension: For all images, where the user chose one.
        start_number: Number of the first image.
        done: Frames that an earlier run has finished, and that this one does not write.
        crf: Quality of videos.
        on_card: Encode videos on an NVIDIA card, where there is one that can.
        warn: Told of what a sink leaves out.
        origin: Time of the clip that is 0 in the output, in seconds.
    """

    size: tuple[int, int]
    frame_rate: Fraction
    time_base: Fraction | None
    timestamps: Callable[[], Iterator[Fraction | None]]
    audio: Path | None
    image_extension: str | None
    start_number: int
    crf: int
    on_card: bool
    warn: Callable[[str], None]
    done: int = 0
    origin: Fraction = Fraction(0)


@dataclass(frozen=True)
class Format:
    """An output format.

    Attributes:
        plan: Which files it makes of a kind of output.
        open: Opens the sink that writes them.
        has_alpha: Whether it holds alpha.
        resumable: Whether frames can be added to what a stopped run has written.
    """

    plan: Callable[[Kind, Clip], Output]
    open: Callable[[Output, Path, Clip], FrameWriter]
    has_alpha: bool
    resumable: bool


def composer(kind: Kind, *, has_alpha: bool) -> Composer:
    """How to make the frames of a kind; ``com`` depends on whether the sink holds alpha."""
    composers: dict[Kind, Composer] = {
        "com": _com_with_alpha if has_alpha else _com_over_target,
        "pha": lambda matte, target: matte.pha,
        "fgr": lambda matte, target: matte.fgr,
        "err": _err,
        "ref": _ref,
    }
    return composers[kind]


def _com_with_alpha(matte: Matte, target: Tensor | None) -> Tensor:
    return matte.cut_out()


def _com_over_target(matte: Matte, target: Tensor | None) -> Tensor:
    assert target is not None, "there is one wherever a sink holds no alpha"
    return over(matte.pha, matte.fgr, target.to(matte.pha.device))


def _err(matte: Matte, target: Tensor | None) -> Tensor:
    return _crop(error_map(matte.err, matte.padded_size), matte)


def _ref(matte: Matte, target: Tensor | None) -> Tensor:
    if matte.ref is None:
        raise ValueError("ref needs a network with a refiner")
    return _crop(refined_map(matte.ref, matte.padded_size), matte)


def _crop(frames: Tensor, matte: Matte) -> Tensor:
    return frames[..., : matte.pha.shape[2], : matte.pha.shape[3]]
