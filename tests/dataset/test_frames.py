"""Frame truth: every frame once, in order, with its number, time and colours."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import footage
import numpy as np
import pytest
from footage import make_clip, make_plate, numbered, read_number, read_video

from dataset import VideoSource
from inference_video import matte_video

_TURN = 65536
ROTATIONS = {
    "upright": [_TURN, 0, 0, 0, _TURN, 0, 0, 0, 1 << 30],
    "right": [0, _TURN, 0, -_TURN, 0, 0, 0, 0, 1 << 30],
    "upside down": [-_TURN, 0, 0, 0, -_TURN, 0, 0, 0, 1 << 30],
    "left": [0, -_TURN, 0, _TURN, 0, 0, 0, 0, 1 << 30],
    "mirrored": [-_TURN, 0, 0, 0, _TURN, 0, 0, 0, 1 << 30],
}
CLIPS = {
    "one frame": dict(count=1),
    "two frames": dict(count=2),
    "99 frames": dict(count=99),
    "100 frames, B-frames": dict(count=100, options={"bf": "3", "g": "25"}),
    "open GOPs": dict(count=60, options={"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
    "23.976": dict(count=30, rate=Fraction(24000, 1001)),
    "59.94": dict(count=30, rate=Fraction(60000, 1001)),
    "10 bits": dict(count=12, codec="libx265", pix_fmt="yuv420p10le"),
    "odd size": dict(count=12, size=(51, 99), pix_fmt="yuv444p"),
    "lossless": dict(count=12, codec="ffv1", pix_fmt="bgr0", suffix=".mkv"),
    "matroska": dict(count=30, rate=Fraction(30000, 1001), suffix=".mkv"),
    "matroska at 59.94": dict(count=60, rate=Fraction(60000, 1001), suffix=".mkv"),
    "flash with B-frames": dict(count=30, suffix=".flv", options={"bf": "3"}),
    "avi with sound": dict(count=30, codec="mpeg4", suffix=".avi", sound="libmp3lame"),
    "avi with pictures never taken": dict(
        count=20,
        codec="mjpeg",
        pix_fmt="yuvj420p",
        suffix=".avi",
        times=[Fraction(n if n < 10 else n + 3, 25) for n in range(20)],
    ),
    "vp9": dict(count=30, codec="libvpx-vp9", suffix=".webm", options={"lag-in-frames": "16"}),
    "vp8 with hidden frames": dict(
        count=60,
        codec="libvpx",
        suffix=".webm",
        options={"auto-alt-ref": "1", "lag-in-frames": "16", "b": "400k"},
    ),
    "mpeg-4 with B-frames": dict(
        count=30, codec="mpeg4", suffix=".avi", options={"bf": "2", "b": "3M"}
    ),
    "avi with B-frames": dict(count=40, suffix=".avi", options={"bf": "3"}),
    "mxf with B-frames": dict(count=90, suffix=".mxf", options={"bf": "3", "g": "12"}),
    "variable rate": dict(
        count=40,
        times=[Fraction(n * n + 90 * n, 3000) for n in range(40)],
        time_base=Fraction(1, 3000),
    ),
    "jitter at a timescale of 600": dict(
        count=30,
        times=[Fraction(20 * n + (n * 7) % 3, 600) for n in range(30)],
        time_base=Fraction(1, 600),
        suffix=".mov",
    ),
    "late start": dict(
        count=20,
        times=[Fraction(n, 25) + Fraction(7, 100) for n in range(20)],
        time_base=Fraction(1, 12800),
    ),
}


def clip(tmp_path: Path, count: int, suffix: str = ".mp4", **options) -> Path:
    return make_clip(tmp_path / f"clip{suffix}", count, **options)


@pytest.mark.parametrize("name", CLIPS)
def test_pngs_are_the_frames_of_the_clip(tmp_path, name):
    src = clip(tmp_path, **CLIPS[name])
    shown = [read_number(picture) for picture in read_video(src)[0]]
    assert shown == list(range(CLIPS[name]["count"])), "the clip itself is as it was meant"
    result = matte_video(
        video_src=src,
        video_bgr=make_plate(tmp_path / "plate.png", CLIPS[name].get("size", footage.SIZE)),
        output_dir=tmp_path / "out",
        output_types=["com", "fgr"],
        output_format="image_sequences",
        image_extension="png",
        network=SourceNetwork(),
    )
    keeps_rate = name not in ("variable rate", "avi with pictures never taken", "avi with sound")
    assert all("frame rate varies" in warning for warning in result.warnings)
    assert len(result.warnings) == (not keeps_rate)
    assert (result.times is None) == keeps_rate
    for kind in ("com", "fgr"):
        files = sorted((tmp_path / "out" / kind).iterdir())
        assert [file.name for file in files] == [f"{n:05d}.png" for n in range(len(shown))]
        assert [read_number(cv2.imread(str(file))) for file in files] == shown


@pytest.mark.parametrize("name", [n for n in CLIPS if n not in ("lossless", "vp9")])
def test_video_has_the_count_the_rate_and_the_times_of_the_clip(tmp_path, name):
    src = clip(tmp_path, **CLIPS[name])
    matte_video(
        video_src=src,
        video_bgr=make_plate(tmp_path / "plate.png", CLIPS[name].get("size", footage.SIZE)),
        output_dir=tmp_path / "out",
        output_types=["com", "fgr"],
        batch_size=3,
        network=SourceNetwork(),
    )
    pictures, times = read_video(tmp_path / "out/fgr.mp4")
    wanted = sorted(read_video(src)[1])  # as the file has them, unless its format rounds
    if src.suffix in (".mkv", ".webm"):
        wanted = [Fraction(n) / CLIPS[name].get("rate", 25) for n in range(len(wanted))]
    assert [read_number(picture) for picture in pictures] == list(range(CLIPS[name]["count"]))
    assert times == wanted
    with av.open(str(src)) as before, av.open(str(tmp_path / "out/fgr.mp4")) as after:
        old, new = before.streams.video[0], after.streams.video[0]
        if not CLIPS[name].keys() & {"times", "sound"}:  # beside sound, AVI shifts pictures
            assert new.average_rate == CLIPS[name].get("rate", old.average_rate)


def test_matroska_times_are_those_before_it_rounded_them(tmp_path):
    rate = Fraction(30000, 1001)
    src = make_clip(tmp_path / "clip.mkv", 50, rate=rate)
    assert [f.time for f in VideoSource(src, warn=pytest.fail)] == [n / rate for n in range(50)]


def test_variable_rate_survives_matroska(tmp_path):
    times = [Fraction(n * n + 90 * n, 1000) for n in range(20)]
    src = make_clip(tmp_path / "clip.mkv", 20, times=times, time_base=Fraction(1, 1000))
    assert [f.time for f in VideoSource(src, warn=pytest.fail)] == times


@pytest.mark.parametrize("name", ROTATIONS)
def test_rotation_is_applied(tmp_path, name):
    """Against the matrix itself: it maps a pixel at (x, y) to (ax + cy, bx + dy)."""
    matrix = ROTATIONS[name]
    src = make_clip(tmp_path / "clip.mp4", 1, matrix=matrix)
    upright = numbered(0)
    a, b, c, d = (matrix[i] // _TURN for i in (0, 1, 3, 4))
    y, x = np.mgrid[: upright.shape[0], : upright.shape[1]]
    column, row = a * x + c * y, b * x + d * y
    turned = np.empty((*(np.ptp(row) + 1, np.ptp(column) + 1), 3), np.uint8)
    turned[row - row.min(), column - column.min()] = upright
    source = VideoSource(src, warn=pytest.fail)
    assert source.size == turned.shape[:2]
    (frame,) = source
    assert np.abs(frame.image.astype(int) - turned).mean() < 3


class SourceNetwork(footage.KnownNetwork):
    """Takes the whole source as foreground, opaque."""

    def forward(self, src, bgr):
        known = super().forward(src, bgr)
        return known._replace(pha=src[:, :1] * 0 + 1, fgr=src)
