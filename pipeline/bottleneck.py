"""What a run waited for most, and what would make it faster."""

from collections.abc import Collection, Mapping
from typing import Literal, get_args

Stage = Literal["read", "network", "write"]
STAGES: tuple[Stage, ...] = get_args(Stage)

#: Advice is given for runs longer than this, in seconds, if a stage took more than this share.
_MIN_SECONDS, _MIN_SHARE = 10.0, 0.5


def bottleneck(waited: Mapping[Stage, float]) -> Stage:
    """The stage that a run waited for longest; of equals, the first."""
    return max(STAGES, key=lambda stage: waited[stage])


def explain(
    waited: Mapping[Stage, float],
    *,
    on_cuda: bool,
    images_in: bool,
    aligned: bool,
    plate: float = 0,
    repaired: bool = False,
    written: Collection[tuple[str, str]],
) -> str:
    """Say which stage took longest, and what would help.

    Args:
        waited: Share of the time, in [0, 1], that the run waited for each stage.
        on_cuda: Whether the network ran on a CUDA device.
        images_in: Whether the clip was a folder of images.
        aligned: Whether the plate was laid over each frame.
        plate: Share of the time, part of that for reading, in which a plate was made or repaired.
        repaired: Whether it was repaired.
        written: Kind and extension of every output; empty for sinks of the caller.
    """
    stage = bottleneck(waited)
    share = f"took {waited[stage]:.0%} of the time"
    if stage == "network":
        fewer = "fewer --model-refine-sample-pixels" if on_cuda else "a CUDA device"
        return f"the network {share}; {fewer} or a smaller --video-resize would help"
    if stage == "read":
        if repaired and plate > waited["read"] / 2:
            return (
                f"repairing the plate {share}; its plate.png as --video-bgr, without --mend-plate, "
                "spares that next time"
            )
        if plate > waited["read"] / 2:
            return (
                f"reading the clip for a plate {share}; --video-bgr plate.png spares that next time"
            )
        if aligned:
            return f"reading and aligning {share}; more cores, or a camera that stands still, help"
        remedy = "JPEG instead of PNG or TIFF" if images_in else "an intermediate codec"
        return f"reading the clip {share}; {remedy} or a faster disk would help"
    extensions = sorted({extension for _, extension in written})
    remedies = ["more cores", "a faster disk"]
    if "png" in extensions and all(kind != "com" for kind, _ in written):
        remedies.insert(0, "--image-extension jpg")
    if len(written) > 1:
        remedies.insert(0, "fewer --output-types")
    what = f"writing {' and '.join(extensions)}" if extensions else "writing"
    return f"{what} {share}; {', '.join(remedies[:-1])} or {remedies[-1]} would help"


def last_words(
    explained: str,
    waited: Mapping[Stage, float],
    *,
    seconds: float,
    matted: int,
    resumed: int,
) -> str:
    """What :func:`explain` said, with its advice only where following it would be worth it.

    Args:
        explained: What it said.
        waited: As for :func:`explain`.
        seconds: Duration of the run.
        matted: Frames that this run matted.
        resumed: Frames that an earlier run had matted.
    """
    if resumed and not matted:
        return f"all {resumed} frames were there already"
    if seconds > _MIN_SECONDS and max(waited.values()) > _MIN_SHARE:
        return explained
    return explained.partition(";")[0]
