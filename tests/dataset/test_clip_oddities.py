"""Clips with grey levels, alpha, times or sizes of their own; and files that are no media."""

from fractions import Fraction
from pathlib import Path

import av
import footage
import numpy as np
import pytest
import torch
from footage import make_clip, numbered, read_number
from PIL import Image
from runs import assert_error, matte, numbers, report, run

from dataset import MediaError, VideoSource, sample_evenly, thumbnails
from media import open_media
from media.ffmpeg import ReferringFileError
from writers import OutputsExistError

# Grey


def grey_clip(path: Path, codec: str, pix_fmt: str, tag: int | None, levels: np.ndarray) -> Path:
    """One frame of 96 columns of these levels, tagged as limited (1) or full (2), or not at all."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25)
        stream.height, stream.width, stream.pix_fmt = 48, 96, pix_fmt
        stream.options = {
            "x265-params": "lossless=1:bframes=0:log-level=none",
            "crf": "0",
            "qp": "0",
        }
        if tag is not None:
            stream.codec_context.color_range = tag
        picture = av.VideoFrame(96, 48, pix_fmt)
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        kind = np.uint8 if pix_fmt == "gray" else np.uint16
        plane = picture.planes[0]
        rows = np.zeros((48, plane.line_size // kind().itemsize), kind)
        rows[:, :96] = levels
        plane.update(rows)
        if tag is not None:
            picture.color_range = tag
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "bits", "tag", "limited"),
    [
        ("c.mp4", "libx265", "gray", 8, None, True),
        ("c.mp4", "libx265", "gray", 8, 1, True),
        ("c.mp4", "libx265", "gray", 8, 2, False),
        ("c.mp4", "libx265", "gray10le", 10, None, True),
        ("c.mp4", "libx265", "gray12le", 12, 1, True),
        ("c.mp4", "libx265", "gray10le", 10, 2, False),
        ("c.mp4", "libx264", "gray", 8, None, True),
        ("c.mp4", "libx264", "gray10le", 10, 1, True),
        ("c.mkv", "ffv1", "gray", 8, 1, True),
        ("c.mkv", "ffv1", "gray", 8, 2, False),
        ("c.mkv", "ffv1", "gray", 8, None, False),
        ("c.mov", "png", "gray", 8, None, False),
        ("c.mov", "png", "gray16be", 16, None, False),
    ],
)
def test_grey_levels_are_those_of_their_range(tmp_path, name, codec, pix_fmt, bits, tag, limited):
    unit = 2 ** (bits - 8)
    low, high = (16 * unit, 235 * unit) if limited else (0, 2**bits - 1)
    levels = np.linspace(low, high, 96).round()
    stored = levels.astype(np.uint16).byteswap() if pix_fmt.endswith("be") else levels
    (frame,) = VideoSource(grey_clip(tmp_path / name, codec, pix_fmt, tag, stored), pytest.fail)
    wanted = (levels - low) / (high - low)
    got = frame.image[20] / np.iinfo(frame.image.dtype).max
    assert frame.image.dtype == (np.uint8 if bits == 8 else np.uint16)
    lossy = codec == "libx264"  # at 10 bits, whatever its quality
    assert np.abs(got - wanted[:, None]).max() <= (0.51 if bits == 8 or lossy else 0.02) / 255
    assert got[0].max() == 0 and got[-1].min() == 1


# Alpha


def clear_clip(path: Path, codec: str, pix_fmt: str, alpha: int = 50) -> Path:
    picture = np.dstack([numbered(0), np.full(footage.SIZE, alpha, np.uint8)])
    with av.open(str(path), "w") as container:
        options = {"auto-alt-ref": "0"} if codec == "libvpx-vp9" else {}
        stream = container.add_stream(codec, 25, options=options)
        stream.height, stream.width, stream.pix_fmt = *footage.SIZE, pix_fmt
        frame = av.VideoFrame.from_ndarray(picture, "rgba").reformat(format=pix_fmt)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.mov", "qtrle", "argb"),
        ("a.mov", "png", "rgba"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.mkv", "ffv1", "gbrap16le"),
    ],
)
def test_that_the_alpha_of_a_clip_is_ignored_is_told(tmp_path, name, codec, pix_fmt):
    told: list[str] = []
    VideoSource(clear_clip(tmp_path / name, codec, pix_fmt), told.append)
    (warning,) = told
    assert str(tmp_path / name) in warning and "alpha channel, which is ignored" in warning


def test_a_gif_without_clear_parts_has_no_alpha(tmp_path):
    VideoSource(make_clip(tmp_path / "c.gif", 3, codec="gif", pix_fmt="rgb8"), pytest.fail)


@pytest.mark.parametrize("clear", [[0], [4], [], [0, 1, 2, 3, 4]])
def test_that_the_alpha_of_images_is_ignored_is_told(folder, clear):
    (folder / "shots").mkdir()
    for number in range(5):
        alpha = np.full(footage.SIZE, 100 if number in clear else 255, np.uint8)
        picture = np.dstack([numbered(number), alpha])
        Image.fromarray(picture).save(folder / f"shots/{number}.png")
    result = matte(folder, folder / "shots")
    told = [warning for warning in result.warnings if "alpha" in warning]
    assert len(told) == bool(clear) and result.frames == 5
    assert all(f"shots/{clear[0]}.png" in warning for warning in told)


# Times


def test_the_times_of_images_are_listed_where_the_rate_varies(folder):
    times = [Fraction(n if n < 12 else n + 8, 30) for n in range(24)]
    make_clip(folder / "clip.mp4", 24, rate=Fraction(30), times=times, time_base=Fraction(1, 600))
    result = matte(folder, folder / "clip.mp4")
    (warning,) = result.warnings
    assert "clip.mp4: its frame rate varies" in warning and "run.json" in warning
    out = folder / "out"
    assert report(out)["times"] == result.times == [round(float(time), 6) for time in times]
    assert out / "timecodes.txt" in result.outputs
    header, *lines = (out / "timecodes.txt").read_text().splitlines()
    assert header == "# timestamp format v2" and lines[:2] == ["0.000", "33.333"]
    assert lines == [f"{float(1000 * time):.3f}" for time in times]
    matte(folder, folder / "clip.mp4", frames="10-13", output_dir=folder / "some")
    some = (folder / "some/timecodes.10-13.txt").read_text().splitlines()
    assert some[1:] == ["0.000", "33.333", "333.333", "366.667"]
    assert "timecodes.txt" in [output["path"] for output in report(out)["outputs"]]


@pytest.mark.parametrize("flag", ["overwrite", "resume"])
def test_the_file_of_times_belongs_to_its_run(folder, flag):
    uneven = [Fraction(n if n < 6 else n + 8, 30) for n in range(12)]
    tick, out = Fraction(1, 600), folder / "out"
    varying = make_clip(folder / "clip.mp4", 12, rate=Fraction(30), times=uneven, time_base=tick)
    constant = make_clip(folder / "constant.mp4", 12, rate=Fraction(30))
    matte(folder, varying)
    whole = (out / "timecodes.txt").read_bytes()
    if flag == "overwrite":
        matte(folder, constant, overwrite=True)
        assert not (out / "timecodes.txt").exists()
        assert "timecodes.txt" not in [output["path"] for output in report(out)["outputs"]]
        return
    (out / "com/00011.png").unlink()
    (out / "timecodes.txt").write_text("of the frames until then")
    assert matte(folder, varying, resume=True).resumed == 11
    assert (out / "timecodes.txt").read_bytes() == whole
    matte(folder, varying, output_types=["pha"])  # beside com
    assert (out / "timecodes.txt").read_bytes() == whole


def test_times_of_somebody_else_stay(folder):
    make_clip(folder / "clip.mp4", 3)
    (folder / "out").mkdir()
    (folder / "out/timecodes.txt").write_text("mine")
    with pytest.raises(OutputsExistError, match=r"timecodes\.txt is there already"):
        matte(folder, folder / "clip.mp4")
    assert (folder / "out/timecodes.txt").read_text() == "mine"


def test_a_constant_rate_needs_no_times(folder):
    make_clip(folder / "clip.mkv", 24, rate=Fraction(30000, 1001))
    assert matte(folder, folder / "clip.mkv").times is None
    assert "times" not in report(folder / "out")
    assert not (folder / "out/timecodes.txt").exists()


def test_a_video_has_times_of_its_own(folder):
    times = [Fraction(n * n, 600) for n in range(12)]
    make_clip(folder / "clip.mp4", 12, times=times, time_base=Fraction(1, 600))
    result = matte(folder, folder / "clip.mp4", output_format="video")
    assert result.times is None and not result.warnings


# Sizes


@pytest.fixture
def changing(folder) -> Path:
    first = make_clip(folder / "a.ts", 12)
    second = make_clip(folder / "b.ts", 12, size=(64, 128))
    (folder / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    return folder / "both.ts"


def test_a_clip_that_changes_size_says_what_to_do(folder, changing):
    result = run(folder, video_src=changing.name)
    assert_error(result, 1, "both.ts", "frame 12", "128x64", "--video-resize WIDTH HEIGHT")


def test_each_frame_is_resized_from_its_own_size(folder, changing):
    flags = {"video_resize": (96, 48), "video_src": changing.name}
    assert run(folder, **flags).returncode == 0
    written = numbers(folder / "out/com")
    assert len(written) == 24 and written[:13] == [*range(12), 0]


def test_few_frames_of_a_clip_that_changes_size(changing):
    clip = VideoSource(changing, pytest.fail)
    clip.any_size = True
    assert sample_evenly(clip, most=24).shape == (24, *footage.SIZE, 3)
    assert all(image.shape == (24, 48, 3) for _, image in thumbnails(clip, [0, 20], (24, 48)))


# Files that are no media

REFERRING = {
    "live.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n",
    "named.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n",
    "marked.m3u": "\ufeff#EXTM3U\n{clip}\n",
    "list.txt": "ffconcat version 1.0\nfile '{clip}'\n",
    "call.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash.mpd": '<?xml version="1.0"?>\n<MPD type="static"><Period><BaseURL>{clip}</BaseURL>'
    "</Period></MPD>",
}


@pytest.mark.parametrize("name", REFERRING)
def test_a_file_that_names_others_is_refused(tmp_path, name):
    clip = make_clip(tmp_path / "part.ts", 10)
    (tmp_path / name).write_text(REFERRING[name].format(clip=clip), encoding="utf-8")
    with pytest.raises(MediaError, match=f"{name}: a .*which holds no video itself"):
        VideoSource(tmp_path / name, pytest.fail)
    with pytest.raises(ReferringFileError, match=name):
        open_media(tmp_path / name)


def test_a_live_playlist_ends_at_once(folder):
    text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:0\n"
    (folder / "live.m3u8").write_text(text)
    assert_error(run(folder, video_src="live.m3u8"), 1, "live.m3u8", "playlist")


def test_a_name_with_a_pattern_is_one_file(tmp_path):
    for name in ("f%d.tga", "f0.tga", "f1.tga"):
        with av.open(str(tmp_path / "one.tga"), "w", format="image2") as container:
            stream = container.add_stream("targa", 25, options={"update": "1"})
            stream.height, stream.width, stream.pix_fmt = *footage.SIZE, "bgr24"
            picture = av.VideoFrame.from_ndarray(numbered(len(name)), "rgb24")
            container.mux(stream.encode(picture.reformat(format="bgr24")))
            container.mux(stream.encode(None))
        (tmp_path / "one.tga").rename(tmp_path / name)
    frames = list(VideoSource(tmp_path / "f%d.tga", pytest.fail))
    assert [read_number(frame.image) for frame in frames] == [len("f%d.tga")]


def test_levels_stay_those_of_the_frames(tmp_path):
    """Limited grey is expanded once, whatever the thread and the size."""
    levels = np.full(96, 126)
    source = VideoSource(
        grey_clip(tmp_path / "c.mp4", "libx265", "gray", None, levels), pytest.fail
    )
    ((_, small),) = thumbnails(source, [0], (24, 48))
    assert torch.from_numpy(small).float().mean() == pytest.approx(128, abs=1)
