"""Whether a plate covers what a clip shows."""

from dataset import FrameSource, MediaError, evenly_spaced, resize, thumbnails

from .align import PlateAligner, uncovered_share
from .diagnosis import camera_moves, working_size

#: Frames in which it is looked whether a plate covers them, and the share, in [0, 1], that it may
#: leave open.
_FRAMES, _MAX_UNCOVERED = 5, 0.05


def covers_a_part(src: FrameSource, bgr: FrameSource) -> bool:
    """Whether the camera moves in a clip, and leaves what a still plate shows, by a few frames."""
    small = working_size(src.size)
    if small is None or not camera_moves(src):
        return False
    try:
        frames = thumbnails(src, evenly_spaced(src.length_hint, _FRAMES), small)
        plate = resize(next(iter(bgr)).image, small)
    except MediaError:
        return False  # the run says so
    aligner = PlateAligner()
    for _, frame in frames:
        found = aligner.solve(frame, plate)
        if found is None or uncovered_share(found, small) > _MAX_UNCOVERED:
            return True
    return False
