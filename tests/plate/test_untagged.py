"""Clips without colour tags: the plate tells how they are read."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageCms
from runs import matte, report

from pipeline.result import NOTE

MATRICES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
RANGES = {"limited": ColorRange.MPEG, "full": ColorRange.JPEG}
CODINGS = [(matrix, range) for matrix in MATRICES for range in RANGES]
SD, HD = (120, 160), (720, 192)


def scene(size: tuple[int, int]) -> np.ndarray:
    """A wall of many colours, dark and light."""
    tiles = np.random.default_rng(3).integers(20, 236, (6, 8, 3), np.uint8)
    return cv2.resize(tiles, size[::-1], interpolation=cv2.INTER_NEAREST)


def with_subject(plate: np.ndarray, number: int) -> np.ndarray:
    frame = plate.copy()
    height, width = plate.shape[:2]
    left = width // 8 + number * width // 16
    frame[height // 3 :, left : left + width // 5] = (200, 30, 60)
    return frame


def encode(
    path: Path, plate: np.ndarray, matrix: str, range: str, *, tags=(2, 0), count: int = 6
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.height, stream.width, stream.pix_fmt = *plate.shape[:2], "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tags
        for number in np.arange(count):
            frame = av.VideoFrame.from_ndarray(with_subject(plate, number), "rgb24").reformat(
                format="yuv420p",
                src_color_range=ColorRange.JPEG,
                dst_colorspace=MATRICES[matrix],
                dst_color_range=RANGES[range],
            )
            frame.colorspace, frame.color_range = tags
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def said(caplog):
    caplog.set_level(NOTE, "bgmv2")
    return lambda: [r.getMessage() for r in caplog.records if "agrees with" in r.getMessage()]


def decided(result) -> tuple[str | None, ...]:
    return tuple(result.coding[name] for name in ("matrix", "range", "matrix_by", "range_by"))


@pytest.mark.parametrize("size", [SD, HD], ids=["SD", "HD"])
@pytest.mark.parametrize(("matrix", "range"), CODINGS)
def test_the_plate_tells_how_a_clip_without_tags_is_read(tmp_path, said, size, matrix, range):
    plate = scene(size)
    src = encode(tmp_path / "clip.mkv", plate, matrix, range, count=2)
    Image.fromarray(plate).save(tmp_path / "plate.png")
    result = matte(tmp_path, src, output_types=["fgr"], image_extension="png")
    usual = ("bt601" if size == SD else "bt709", "limited")
    by = "convention" if (matrix, range) == usual else "plate"
    assert decided(result) == (matrix, range, by, by)
    assert report(tmp_path / "out")["coding"] == result.coding
    told = said()
    assert len(told) == (by == "plate")
    if told:
        assert all(part in told[0] for part in (str(src), matrix[-3:], range, "matrix and range"))
    fgr = cv2.imread(str(tmp_path / "out/fgr/00001.png"))[..., ::-1]
    apart = np.abs(255.0 - fgr - plate)[: size[0] // 4]  # the network negates the frame
    assert np.median(apart) <= 2
    assert not result.warnings


def test_a_range_of_frames_and_a_resumed_run_read_the_clip_alike(tmp_path):
    plate = scene(SD)
    src = encode(tmp_path / "clip.mkv", plate, "bt709", "full")
    Image.fromarray(plate).save(tmp_path / "plate.png")
    matte(tmp_path, src)
    matte(tmp_path, src, output_dir=tmp_path / "part", frames="4-5")
    whole, part = (tmp_path / name / "com" for name in ("out", "part"))
    assert (part / "00005.png").read_bytes() == (whole / "00005.png").read_bytes()
    (whole / "00005.png").unlink()
    assert decided(matte(tmp_path, src, resume=True))[:2] == ("bt709", "full")
    assert (part / "00005.png").read_bytes() == (whole / "00005.png").read_bytes()


@pytest.mark.parametrize(
    ("tags", "by"),
    [((1, 1), ("tags", "tags")), ((1, 0), ("tags", "convention")), ((2, 1), ("plate", "tags"))],
)
def test_tags_stand(tmp_path, said, tags, by):
    """The clip is BT.709 of limited range, which is not usual at its size."""
    plate = scene(SD)
    src = encode(tmp_path / "clip.mkv", plate, "bt709", "limited", tags=tags)
    Image.fromarray(plate).save(tmp_path / "plate.png")
    assert decided(matte(tmp_path, src)) == ("bt709", "limited", *by)
    assert len(said()) == ("plate" in by)


@pytest.mark.parametrize("why", ["grey", "another scene", "profile", "a frame of the clip", "auto"])
def test_where_the_plate_does_not_tell_the_clip_is_read_as_usual(tmp_path, said, why):
    plate = scene(SD)
    if why == "grey":
        plate = plate[..., :1].repeat(3, axis=2)
    src = encode(tmp_path / "clip.mkv", plate, "bt709", "limited")
    shown = plate[::-1] if why == "another scene" else plate
    more = {}
    if why == "profile":
        more["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(np.ascontiguousarray(shown)).save(tmp_path / "plate.png", **more)
    names = {"a frame of the clip": f"{src}@0", "auto": "auto"}
    result = matte(tmp_path, src, video_bgr=names.get(why, tmp_path / "plate.png"))
    assert decided(result) == ("bt601", "limited", "convention", "convention")
    assert not said()


def test_flags_decide_also_against_the_tags(tmp_path, said):
    plate = scene(SD)
    src = encode(tmp_path / "clip.mkv", plate, "bt709", "full", tags=(6, 1))
    Image.fromarray(plate).save(tmp_path / "plate.png")
    result = matte(tmp_path, src, input_matrix="bt709", input_range="full")
    assert decided(result) == ("bt709", "full", "flag", "flag")
    told = [text for text in result.warnings if "by its tags" in text]
    assert len(told) == 2 and "bt601" in told[0] and "--input-matrix bt709" in told[0]
    assert "limited" in told[1] and "--input-range full" in told[1]
    assert not said()


def test_a_flag_leaves_the_rest_to_the_plate(tmp_path):
    plate = scene(SD)
    src = encode(tmp_path / "clip.mkv", plate, "bt709", "full")
    Image.fromarray(plate).save(tmp_path / "plate.png")
    result = matte(tmp_path, src, input_matrix="bt709")
    assert decided(result) == ("bt709", "full", "flag", "plate")


def test_flags_without_a_video_are_told_to_have_no_effect(tmp_path):
    (tmp_path / "frames").mkdir()
    Image.fromarray(scene(SD)).save(tmp_path / "frames/1.png")
    Image.fromarray(scene(SD)).save(tmp_path / "plate.png")
    result = matte(tmp_path, tmp_path / "frames", input_range="full")
    assert result.coding is None
    assert any("--input-range full has no effect" in text for text in result.warnings)
