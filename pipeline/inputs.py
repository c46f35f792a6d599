"""What a run works with: the clip, its plate, a new background, and the network."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dataset import (
    ColourSpace,
    FlatColour,
    FrameSource,
    HeldFrames,
    ImageFolder,
    MediaError,
    PickedFrames,
    Places,
    SampledFrames,
    VideoSource,
    evenly_spaced,
    is_opaque,
    open_source,
    parse_colour,
    warn_if_transparent,
)
from media import UsageError, Warn
from model import (
    MattingBase,
    MattingRefine,
    Predictor,
    default_sample_pixels,
    default_scale,
    load_network,
)
from plate import FramePlates, open_plate
from writers import Kind

from .frames import FramePlan
from .loader import PairLoader
from .mattes import Mattes, open_mattes
from .settings import Settings

S = TypeVar("S", bound=Settings)

#: Default frame rate of an image folder.
_IMAGE_RATE = 30
#: Images of a folder that are looked at for alpha.
_IMAGES_LOOKED_AT = 3
#: Relative difference of frame rates from which a target plays at another speed.
_MAX_RATE_DIFFERENCE = 0.005
#: Flat background of composited videos.
_GREEN = (120, 255, 155)


@dataclass(frozen=True)
class Inputs:
    """What the frames of a run are made from.

    Attributes:
        src: The clip.
        bgr: Its plate.
        target: What to composite over; None where the output keeps its alpha.
        size: (height, width) of every frame of the output.
        frame_rate: Frames per second of the output.
        mattes: What an artist drew for the frames.
    """

    src: FrameSource
    bgr: FrameSource
    target: FrameSource | None
    size: tuple[int, int]
    frame_rate: Fraction
    mattes: Mattes = field(default_factory=Mattes)


def open_inputs(
    settings: Settings, kinds: Sequence[Kind], warn: Warn, *, plate: FrameSource | None = None
) -> Inputs:
    """Open the clip, the plate and the target.

    Args:
        settings: Name them.
        kinds: The outputs, of which only a composited ``com`` shows the target.
        warn: Told of what has no effect, and more.
        plate: The plate, if it is known already.

    Raises:
        UsageError: The target is neither a file nor a colour.
        MediaError: Something cannot be read; the message names it.
    """
    besides = settings.files_read()
    space = ColourSpace(
        settings.input_colorspace, matrix=settings.input_matrix, range=settings.input_range
    )
    src = open_source(
        settings.video_src,
        warn,
        hold=False,
        on_card=settings.on_card,
        besides=besides,
        space=space,
        alpha=settings.input_alpha == "multiply",
    )
    if isinstance(src, VideoSource) and settings.video_resize:
        src.any_size = True  # each frame is resized from its own
    if settings.input_alpha == "multiply":
        _look_for_alpha(src, warn)
    elif isinstance(src, ImageFolder):
        _warn_of_alpha(src, warn)
    size = src.size
    if settings.video_resize:
        width, height = settings.video_resize
        size = height, width
    mattes = open_mattes(settings, src, size, warn)
    marks = mattes.marks if mattes else None
    bgr = plate or open_plate(settings.video_bgr, src, warn, space, marks)
    if src.frame_rate and settings.frame_rate:
        warn(f"--frame-rate has no effect on {src.name}, which has a rate of its own")
    for flag in settings.flags_without_effect():
        warn(f"{flag} has no effect on {settings.formats_in_words}")
    rate = src.frame_rate or Fraction(settings.frame_rate or _IMAGE_RATE)
    target = _open_target(settings, kinds, size, warn)
    if target is not None and target.frame_rate:
        difference = abs(target.frame_rate / rate - 1)
        if difference > _MAX_RATE_DIFFERENCE:
            warn(
                f"{target.name} has {float(target.frame_rate):.5g} frames per second, and "
                f"{src.name} {float(rate):.5g}: every frame gets the next frame of the target, "
                f"which plays at {float(rate / target.frame_rate):.2g} times its speed"
            )
    return Inputs(src, bgr, target, size, rate, mattes)


def _warn_of_alpha(folder: ImageFolder, warn: Warn) -> None:
    """Warn if images of a clip, of which a few are looked at, have transparent pixels."""
    for number in evenly_spaced(len(folder.paths), _IMAGES_LOOKED_AT):
        path = folder.paths[number]
        try:
            is_transparent = not is_opaque(path)
        except Exception:  # a damaged image; reading it says so
            continue
        if is_transparent:
            warn(
                f"{path}: is transparent in parts; the alpha of {folder.name} is ignored, so "
                "hidden colours are used; --input-alpha multiply keeps them out"
            )
            return


def _look_for_alpha(src: FrameSource, warn: Warn) -> None:
    """Warn if a clip has no alpha; of images, a few are looked at."""
    if not src.has_alpha and isinstance(src, ImageFolder):
        some = Places(evenly_spaced(len(src.paths), _IMAGES_LOOKED_AT), None)
        with suppress(MediaError):  # the run says so
            src.has_alpha = any(frame.pha is not None for frame in src.pick(some))
    if not src.has_alpha:
        warn(f"{src.name}: has no alpha channel, so that --input-alpha multiply changes nothing")


def pick_frames(inputs: Inputs, count: int, places: Places) -> Inputs:
    """The same with ``count`` frames evenly over a part of the clip, with plates and no target."""
    if not places.are_all or inputs.src.has_alpha:  # sampled frames have none
        known = range(inputs.src.length_hint or count) if places.are_all else places.some
        some = [known[n] for n in evenly_spaced(len(known), count)]
        src = PickedFrames(inputs.src, Places(some, None))
        src.consecutive = False
        held = HeldFrames(inputs.bgr, Places(some, None))
        return replace(inputs, src=src, bgr=held, target=None, mattes=inputs.mattes.at(some))
    numbers = evenly_spaced(inputs.src.length_hint, count)
    bgr = inputs.bgr
    if isinstance(bgr, FramePlates):
        bgr = HeldFrames(bgr, Places(numbers, None))
    elif not bgr.still:
        bgr = SampledFrames(bgr, numbers)
    sampled, mattes = SampledFrames(inputs.src, numbers), inputs.mattes.at(numbers)
    return replace(inputs, src=sampled, bgr=bgr, target=None, mattes=mattes)


def _open_target(
    settings: Settings, kinds: Sequence[Kind], size: tuple[int, int], warn: Warn
) -> FrameSource | None:
    value = settings.video_target_bgr
    if settings.keeps_alpha or "com" not in kinds:
        if value is not None:
            reason = "without com"
            if settings.keeps_alpha:
                reason = "where com keeps its alpha"
            warn(f"--video-target-bgr has no effect {reason}")
        return None
    if value is None:
        return FlatColour(_GREEN, size)
    path, colour = Path(value), parse_colour(str(value))
    if path.exists() and (colour is None or not path.is_dir()):
        target = open_source(path, warn)
        warn_if_transparent(target, path, warn)
        return target
    if colour is None:
        raise UsageError(
            f"--video-target-bgr {value}: neither a file nor a colour such as #78ff9b, "
            "120,255,155 or teal"
        )
    return FlatColour(colour, size)


def open_loader(
    settings: Settings,
    inputs: Inputs,
    plan: FramePlan,
    predictor: Predictor,
    *,
    warn: Warn,
    waiting: Callable[[], None] = lambda: None,
    static: np.ndarray | None,
) -> PairLoader:
    """The loader of a run; arguments are as of :class:`PairLoader`.

    Plates that are cut out of a wide one for each frame lie where they should.
    """
    return PairLoader(
        inputs.src,
        inputs.bgr,
        target=inputs.target,
        mattes=inputs.mattes,
        size=inputs.size if settings.video_resize else None,
        align=None if isinstance(inputs.bgr, FramePlates) else settings.align,
        match=settings.match_plate,
        plan=plan,
        static=static,
        batch_size=settings.batch_size,
        pin=predictor.device.type == "cuda",
        waiting=waiting,
        warn=warn,
    )


class Networks:
    """Keeps the last network that was loaded, for a run over another clip with the same one."""

    def __init__(self) -> None:
        self._asked: dict[str, Any] | None = None
        self._network: MattingBase | None = None

    def load(self, checkpoint: str | Path | None, **asked: Any) -> MattingBase:
        """As :func:`model.load_network`, which is not asked twice for the same."""
        now = {"checkpoint": checkpoint, **asked}
        if checkpoint is not None and Path(checkpoint).exists():
            now["changed"] = Path(checkpoint).stat().st_mtime_ns
        if self._network is None or now != self._asked:
            self._network, self._asked = load_network(checkpoint, **asked), now
        return self._network


def open_network(
    settings: S, *, longer_side: int, networks: Networks | None = None
) -> tuple[S, MattingBase]:
    """Load the network; the settings come back with what the checkpoint and the size decided.

    Args:
        settings: As the user gave them.
        longer_side: Of a frame, in pixels.
        networks: Where the network may be already.

    Raises:
        CheckpointError: The checkpoint does not fit; the message says why.
    """
    scale, pixels = settings.model_backbone_scale, settings.model_refine_sample_pixels
    usual = default_scale(longer_side)
    if scale is None:
        scale = "auto" if settings.region == "auto" else usual
    pixels = default_sample_pixels(longer_side) if pixels is None else pixels
    network = (networks or Networks()).load(
        settings.model_checkpoint,
        model_type=settings.model_type,
        backbone=settings.model_backbone,
        backbone_scale=usual if scale == "auto" else scale,
        refine_mode=settings.model_refine_mode,
        refine_sample_pixels=pixels,
        refine_threshold=settings.model_refine_threshold,
        refine_kernel_size=settings.model_refine_kernel_size,
    )
    kernel: Any = settings.model_refine_kernel_size
    if isinstance(network, MattingRefine):
        kernel = network.refiner.kernel_size
    settings = replace(
        settings,
        model_type="mattingrefine" if isinstance(network, MattingRefine) else "mattingbase",
        model_backbone=network.backbone_name,
        model_backbone_scale=scale,
        model_refine_sample_pixels=pixels,
        model_refine_kernel_size=kernel,
    )
    return settings, network
