"""Where sinks are chosen: each names the format that it writes."""

from . import images, video

FORMATS = {
    "image_sequences": images.FORMAT,
    "video": video.FORMAT,
}
