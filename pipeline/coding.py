"""How the clip of a run is read: by flags, by its tags, by its plate, or as is usual."""

from dataset import FrameSource, ImageFolder, StillImage, VideoSource, has_profile
from media import Warn
from plate import coding_by_plate

from .inputs import Inputs
from .result import NOTE, logger
from .settings import Settings

_TITLES = {"bt601": "BT.601", "bt709": "BT.709"}


def settle_coding(settings: Settings, inputs: Inputs, warn: Warn) -> dict[str, str | None] | None:
    """Let the plate decide what an untagged clip is read as, where flags do not.

    Args:
        settings: May say how the clip is read.
        inputs: The clip, which is read so from now on, and its plate.
        warn: Told that a flag has no effect.

    Returns:
        Matrix and range, and what decided each, for ``run.json``; None for images.
    """
    src, bgr = inputs.src, inputs.bgr
    asked = {"matrix": settings.input_matrix, "range": settings.input_range}
    if not isinstance(src, VideoSource):
        for name, value in asked.items():
            if value != "auto" and not isinstance(bgr, VideoSource):
                warn(f"--input-{name} {value} has no effect on {src.name}, which is not a video")
        return None
    lacks = {"matrix": src.lacks_matrix, "range": src.lacks_range}
    decider = {
        name: "flag" if asked[name] != "auto" else "convention" if lacks[name] else "tags"
        for name in asked
    }
    is_open = "convention" in decider.values() and not src.once and _is_image(bgr)
    found = coding_by_plate(src, bgr) if is_open else None
    if found is not None:
        src.read_as(found)
        decider = {n: "plate" if by == "convention" else by for n, by in decider.items()}
        missing = " and ".join(name for name, by in decider.items() if by == "plate")
        logger.log(
            NOTE,
            f"{src.name}: has no tags for its {missing}, and is read as "
            f"{_TITLES.get(src.matrix or '', src.matrix)} of {src.range} range, in which it agrees "
            f"with {bgr.name}",
        )
    return {
        "matrix": src.matrix,
        "range": src.range,
        **{f"{name}_by": by for name, by in decider.items()},
    }


def _is_image(bgr: FrameSource) -> bool:
    """Whether a plate is an image, or one for each frame, whose levels another tool may have made.

    The program reads videos as it reads the clip. A profile says that colours were managed.
    """
    if isinstance(bgr, StillImage):
        return not has_profile(bgr.path)
    return isinstance(bgr, ImageFolder) and not has_profile(bgr.paths[0])
